"""Uploads into a folder: what completing one may take of those who wait."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from backend.errors import UploadBusy
from backend.storage.local_parts import _CHECKS, LocalParts
from backend.storage.parts import Cut

DATA = b"0123456789"


def test_few_whole_files_are_checked_at_once(tmp_path: Path) -> None:
    """Hashing a hundred GiB takes minutes, and an API has few threads: who comes then is told to come again."""
    store, cut = LocalParts(tmp_path), Cut(len(DATA), len(DATA))
    handle = store.begin("jobs/a/source", cut, checks_parts=False, floor_bytes=0).handle
    part = store.write("jobs/a/source", handle, cut, 1, io.BytesIO(DATA), sha256=None, floor_bytes=0)
    wanted = hashlib.sha256(DATA).hexdigest()
    with _CHECKS, _CHECKS, pytest.raises(UploadBusy):
        store.finish("jobs/a/source", handle, cut, [part], sha256=wanted)
    assert store.finish("jobs/a/source", handle, cut, [part], sha256=wanted).size_bytes == len(DATA)
