"""Where the jail is not to be had, and what else has to be in order before anything is parsed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend.errors import ObjectNotFound, SourceNotFound, TemporaryFolderUnsafe
from backend.media.hardware import layers_here
from backend.media.jail import program
from backend.media.scratch import check_temporary_folder
from backend.settings import Settings
from backend.storage import open_store
from tests.integration.jail.conftest import LIMITS, only_where_there_is_a_jail

ROOT = Path(__file__).resolve().parents[3]
# A process on whose kernel the calls of Landlock are missing, as they are on older ones: a filter of our own says so.
WITHOUT_LANDLOCK = """
import ctypes, errno, os, sys
from backend.media.jail import process, seccomp, syscalls
process.prctl(process.PR_SET_NO_NEW_PRIVS, 1)
steps = [(seccomp.LOAD, 0, 0, seccomp.NR), (seccomp.JUMP_EQUAL, 0, 1, syscalls.number("landlock_create_ruleset")),
         (seccomp.RETURN, 0, 0, seccomp.RET_ERRNO | errno.ENOSYS), (seccomp.RETURN, 0, 0, seccomp.RET_ALLOW)]
filled = (seccomp._Instruction * len(steps))(*(seccomp._Instruction(*step) for step in steps))
syscalls.call("seccomp", seccomp.SET_MODE_FILTER, 0, ctypes.byref(seccomp._Program(len(steps), filled)))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
pytestmark = only_where_there_is_a_jail


def started(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of ours on a machine without Landlock."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_LANDLOCK, *command],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_start_without_the_jail_fails_and_says_why(database_url: str, tmp_path: Path) -> None:
    worker = ("-m", "backend.workers.analysis_worker", "--once")
    where = {"DATABASE_URL": database_url, "STORAGE_URL": tmp_path.as_uri()}
    refused = started(*worker, **where)
    assert refused.returncode == 2
    assert "Landlock" in refused.stderr and "MEDIA_JAIL=best-effort" in refused.stderr
    assert "Traceback" not in refused.stderr
    up = started("-m", "backend", "up", "--data-dir", str(tmp_path / "data"))
    assert up.returncode == 2 and "MEDIA_JAIL" in up.stderr
    assert not (tmp_path / "data").exists()  # before anything is started
    allowed = started(*worker, **where, MEDIA_JAIL="best-effort")
    assert allowed.returncode == 0
    assert "jail_incomplete" in allowed.stderr and "Landlock" in allowed.stderr


def test_the_process_says_what_is_in_force(settings: Settings) -> None:
    assert {"landlock", "seccomp"} <= set(layers_here(settings))
    assert layers_here(settings.model_copy(update={"media_jail": "off"})) == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["/bin/cat", "/etc/passwd"], "denied"),
        (["/bin/sh", "-c", "cat words; true"], ""),
        (["/bin/cp", "words", "more"], "denied"),
    ],
    ids=["another file", "another program", "a new file"],
)
def test_the_drawing_command_is_closed_in(tmp_path: Path, command: list[str], said: str) -> None:
    (tmp_path / "words").write_text("hello")
    process = program.start(command, LIMITS.jail(None), tmp_path)
    out, err = process.communicate(timeout=20)
    assert out == b"" and said in err.decode()
    assert not (tmp_path / "more").exists()


def test_the_drawing_command_reads_its_folder(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("hello")
    out, _ = program.start(["/bin/cat", "words"], LIMITS.jail(None), tmp_path).communicate(timeout=20)
    assert out == b"hello"


def test_a_link_in_the_store_is_no_object(settings: Settings, tmp_path: Path) -> None:
    store = open_store(settings)
    store.put("jobs/one/secret.json", b"of one")
    folder = tmp_path / "objects" / "jobs" / "two"
    folder.mkdir()
    (folder / "output.mp4").symlink_to(tmp_path / "objects" / "jobs" / "one" / "secret.json")
    (tmp_path / "objects" / "jobs" / "three").symlink_to(tmp_path / "objects" / "jobs" / "one")
    os.mkfifo(folder / "pipe")
    for key in ("jobs/two/output.mp4", "jobs/three/secret.json", "jobs/two/pipe"):
        with pytest.raises(ObjectNotFound):
            store.get(key)
        with pytest.raises(ObjectNotFound):
            store.get_file(key, tmp_path / "taken")
        with pytest.raises(SourceNotFound):
            store.source(key)
    assert store.head("jobs/two/output.mp4") is None


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_temporary_folder_of_everybody_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(TemporaryFolderUnsafe, match="TMPDIR"):
        check_temporary_folder(tmp_path)
    tmp_path.chmod(mode | 0o1000)
    check_temporary_folder(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of somebody else's")
def test_a_temporary_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(TemporaryFolderUnsafe):
        check_temporary_folder(tmp_path)
