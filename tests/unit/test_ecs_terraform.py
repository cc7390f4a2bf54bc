"""Terraform's own look at deploy/ecs/. No account, no network: what AWS would say to it, nothing here can tell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.ecs.sources import HERE
from tests.terraform import module_copy, terraform


def test_files_are_formatted() -> None:
    done = terraform(HERE, "fmt", "-check", "-recursive", "-diff")
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return module_copy(tmp_path_factory.mktemp("terraform"))


def test_the_module_is_valid(module: Path) -> None:
    done = terraform(module, "validate", "-no-color")
    assert done.returncode == 0, done.stderr


def test_what_it_makes_is_what_is_meant(module: Path) -> None:
    """tests/fleet.tftest.hcl, with a provider that makes up what AWS would answer."""
    done = terraform(module, "test", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed" in done.stdout


@pytest.mark.parametrize(
    ("file", "before", "after", "says"),
    [
        ("scaling.json", '"max_capacity": 10', '"max_capacity": 11', "The GPU service has 0 to 10 tasks."),
        ("task_definitions/gpu_worker.json", '"stopTimeout": 120', '"stopTimeout": 30', "may take 120 s to stop"),
    ],
)
@pytest.mark.slow
def test_it_would_tell(tmp_path: Path, file: str, before: str, after: str, says: str) -> None:
    module = module_copy(tmp_path)
    text = (module / file).read_text()
    assert before in text
    (module / file).write_text(text.replace(before, after))
    done = terraform(module, "test", "-no-color")
    assert done.returncode == 1
    assert says in " ".join(re.sub("[│╵╷]", " ", done.stdout + done.stderr).split())  # lines are broken anywhere
