"""Commands are imported with the garbage collector at rest. Once they run, and in a library, it works as usual."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
# Python runs this in every process, before all else.
WATCH = """
import atexit, gc, sys
usual = gc.get_threshold()
atexit.register(lambda: print(gc.get_threshold() == usual, gc.get_freeze_count() > 50_000, file=sys.stderr))
"""


def ended(folder: Path, *command: str) -> str:
    """Whether the collector was as usual when it ended, and whether what was imported was left out."""
    (folder / "sitecustomize.py").write_text(WATCH)
    environment = dict(os.environ) | {"PYTHONPATH": f"{folder}{os.pathsep}{PROJECT}", "DATABASE_URL": "none"}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", [("backend", "status", "7"), ("backend.workers.janitor", "--once")])
def test_a_command_leaves_what_it_imported_alone_and_collects_the_rest(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    assert ended(tmp_path, "-m", *command) == "True True"


def test_whoever_imports_us_keeps_a_collector_of_its_own(tmp_path: Path) -> None:
    assert ended(tmp_path, "-c", "import backend.settings") == "True False"
