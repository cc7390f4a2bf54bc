"""Which server a worker works for, and with which token: from its command line, a file, or its environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backend.errors import InvalidRequest
from backend.settings import Settings
from backend.workers.remote.access import access_of
from backend.workers.remote.place import process_name

URL = "https://fleet.example.com"
NOTHING: dict[str, Any] = {"server": None, "token": None, "token_file": None, "allow_http": False}


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("  of-the-file\n")
    return path


def test_without_a_server_a_worker_reaches_the_database_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAMEFLEET_TOKEN", "of-the-environment")
    assert access_of(Settings(), **NOTHING) is None


def test_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAMEFLEET_SERVER", URL)
    monkeypatch.setenv("FRAMEFLEET_TOKEN", "of-the-environment")
    access = access_of(Settings(), **NOTHING)
    assert access is not None and access.server == URL
    assert access.token.get_secret_value() == "of-the-environment"
    assert "of-the-environment" not in repr(access)


def test_what_is_said_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch, token_file: Path) -> None:
    monkeypatch.setenv("FRAMEFLEET_SERVER", "https://elsewhere.example.com")
    monkeypatch.setenv("FRAMEFLEET_TOKEN", "of-the-environment")
    access = access_of(Settings(), **NOTHING | {"server": URL, "token_file": token_file})
    assert access is not None and access.server == URL
    assert access.token.get_secret_value() == "of-the-file"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"server": URL}, "--token-file"),
        ({"token": "x"}, "--server"),
        ({"allow_http": True}, "--server"),
        ({"server": URL, "token_file": Path("/nonexistent/token")}, "/nonexistent/token"),
    ],
)
def test_half_of_an_access_is_refused_in_words(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        access_of(Settings(), **NOTHING | asked)


@pytest.mark.parametrize(
    ("worker_id", "name"), [("pod-0", "pod-0"), ("[w]/1 ü", "w--1--"), ("...", "worker"), ("x" * 300, "x" * 100)]
)
def test_a_workers_own_name_is_made_one_that_servers_take(worker_id: str, name: str) -> None:
    assert process_name(worker_id) == name
