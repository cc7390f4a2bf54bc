"""The API's processes in a container: counts of several are one, without those of earlier runs or of the dead."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backend.settings import get_settings
from tests.docker.compose import FOLDER


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "counts"))
    get_settings.cache_clear()
    yield runpy.run_path(str(FOLDER / "gunicorn.conf.py"))
    get_settings.cache_clear()


def test_counts_of_an_earlier_run_are_gone(hooks: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "counts"
    hooks["on_starting"](None)  # makes it
    (folder / "counter_7.db").touch()
    hooks["on_starting"](None)
    assert list(folder.iterdir()) == []


def test_gauges_of_a_dead_process_are_gone(hooks: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "counts"
    hooks["on_starting"](None)
    (folder / "gauge_liveall_41.db").touch()
    (folder / "gauge_liveall_42.db").touch()
    hooks["child_exit"](None, SimpleNamespace(pid=41))
    assert [path.name for path in folder.iterdir()] == ["gauge_liveall_42.db"]


def test_requests_under_way_have_less_time_than_the_orchestrator_gives(hooks: dict[str, Any]) -> None:
    assert hooks["graceful_timeout"] < 120
    assert hooks["control_socket_disable"] is True
