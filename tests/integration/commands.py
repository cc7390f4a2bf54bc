"""The `framefleet` command: as a process of its own, or in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

from click.testing import CliRunner

from backend.cli import cli
from backend.settings import get_settings

PROJECT = Path(__file__).resolve().parents[2]


def environment(extra: dict[str, str]) -> dict[str, str]:
    return dict(os.environ) | {"PYTHONPATH": str(PROJECT)} | extra


def framefleet(*arguments: str, cwd: Path, timeout_sec: float = 180, **env: str) -> subprocess.CompletedProcess[str]:
    """As a person types it."""
    return subprocess.run(
        [sys.executable, "-m", "backend", *arguments],
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=timeout_sec,
    )


def framefleet_here(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """The same answer, without the second that a process takes to start: for tests of what is said."""
    get_settings.cache_clear()
    try:
        with chdir(cwd):
            done = CliRunner().invoke(cli, arguments, env={"COLUMNS": "300", **env}, prog_name="framefleet")
    finally:
        get_settings.cache_clear()
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)
