"""Folders of killed workers go; folders in use, young ones and those of others stay."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.workers.leftovers import UNLOCKED_AGE_SEC, remove_leftovers, work_folder

HOUR_SEC = 3600.0


def aged(path: Path, seconds: float = HOUR_SEC) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def test_the_folder_of_a_killed_worker_is_removed_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    code = (
        "import time\nfrom backend.workers.leftovers import work_folder\n"
        "with work_folder() as folder:\n    (folder / 'output.mp4').touch()\n    print(folder, flush=True)\n"
        "    time.sleep(60)\n"
    )
    env = dict(os.environ) | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        files = Path(worker.stdout.readline().strip())
        folder = aged(files.parent)
        assert folder.parent == tmp_path
        assert remove_leftovers(parent=tmp_path) == []
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert remove_leftovers(dry_run=True, parent=tmp_path) == [folder]
    assert (files / "output.mp4").exists()
    assert remove_leftovers(parent=tmp_path) == [folder]
    assert not folder.exists()


def test_a_work_folder_is_gone_after_its_block() -> None:
    with work_folder() as folder:
        (folder / "film.mp4").touch()
    assert not folder.parent.exists()


def test_young_and_foreign_folders_files_and_links_stay(tmp_path: Path) -> None:
    kept = [tmp_path / "framefleet-work-young", tmp_path / "framefleet-media-inuse", tmp_path / "framefleet-notes"]
    for path in kept:
        path.mkdir()
    aged(kept[1])
    aged(kept[2], UNLOCKED_AGE_SEC * 2)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data").touch()
    link, file = tmp_path / "framefleet-work-link", tmp_path / "framefleet-work-file"
    link.symlink_to(precious)
    aged(precious)
    file.touch()
    aged(file)
    if os.geteuid() == 0:
        foreign = tmp_path / "framefleet-work-foreign"
        foreign.mkdir()
        os.chown(foreign, 12345, 12345)
        kept.append(aged(foreign))
    assert remove_leftovers(parent=tmp_path) == []
    assert all(path.exists() for path in [*kept, link, file, precious / "data"])


@pytest.mark.parametrize("name", ["framefleet-media-abc", "framefleet-lut-abc"])
def test_an_old_folder_of_a_media_child_is_removed(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    aged(folder, UNLOCKED_AGE_SEC + HOUR_SEC)
    assert remove_leftovers(parent=tmp_path) == [folder]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """The address of a socket has room for a hundred characters; pytest's own folders may be longer."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize("listening", [True, False])
def test_a_socket_folder_goes_when_no_server_listens(short_folder: Path, listening: bool) -> None:
    folder = short_folder / "framefleet-0123456789ab"
    folder.mkdir()
    (folder / ".s.PGSQL.5432.lock").touch()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / ".s.PGSQL.5432"))
        if listening:
            server.listen()
        aged(folder)
        assert remove_leftovers(parent=short_folder) == ([] if listening else [folder])
    assert folder.exists() is listening


def test_a_socket_folder_that_holds_something_else_stays(tmp_path: Path) -> None:
    folder = tmp_path / "framefleet-0123456789ab"
    folder.mkdir()
    (folder / "letter").touch()
    aged(folder)
    assert remove_leftovers(parent=tmp_path) == []
    assert (folder / "letter").exists()
