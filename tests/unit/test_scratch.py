"""What a media process leaves in its folders."""

from __future__ import annotations

import os
import time
from pathlib import Path

from backend.media.scratch import empty_folder
from backend.workers.leftovers import remove_leftovers

DEPTH = 2500  # past Python's recursion, a process's descriptors and the length of a path


def dig(folder: Path) -> None:
    at = os.open(folder, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("d", dir_fd=at)
        inner = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)


def test_folders_in_one_another_without_end_are_removed(tmp_path: Path) -> None:
    folder, kept = tmp_path / "scratch", tmp_path / "kept"
    folder.mkdir()
    kept.write_text("somebody's")
    dig(folder)
    (folder / "closed").mkdir(mode=0)
    (folder / "d" / "link").symlink_to(tmp_path)
    empty_folder(folder)
    assert list(folder.iterdir()) == []
    assert kept.read_text() == "somebody's"


def test_a_deep_leftover_stops_neither_a_start_nor_the_removal_of_others(tmp_path: Path) -> None:
    deep, other = tmp_path / "framefleet-media-a", tmp_path / "framefleet-media-b"
    long_ago = time.time() - 30 * 24 * 3600
    for folder in (deep, other):
        folder.mkdir()
    dig(deep)
    for folder in (deep, other):
        os.utime(folder, (long_ago, long_ago))
    assert remove_leftovers(parent=tmp_path) == [deep, other]
    assert list(tmp_path.iterdir()) == []
