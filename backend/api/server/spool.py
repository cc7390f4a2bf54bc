"""Disk for bodies that wait there until they are whole: only as much as was agreed, and never the last of it."""

from __future__ import annotations

import shutil
import tempfile
import threading


class SpoolFull(Exception):
    """There is no room for this body now."""


class Spool:
    """Counts what is promised. The files themselves are waitress's, nameless, in the temporary folder (TMPDIR)."""

    def __init__(self, *, max_bytes: int, min_free_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._promised_bytes = 0
        self._lock = threading.Lock()

    @property
    def promised_bytes(self) -> int:
        return self._promised_bytes

    def promise(self, size_bytes: int) -> None:
        """Raises SpoolFull. What is promised and what was written of it are counted both: nothing is lost by that."""
        with self._lock:
            promised_bytes = self._promised_bytes + size_bytes
            free_bytes = shutil.disk_usage(tempfile.gettempdir()).free
            if promised_bytes > self._max_bytes or free_bytes - promised_bytes < self._min_free_bytes:
                raise SpoolFull
            self._promised_bytes = promised_bytes

    def give_back(self, size_bytes: int) -> None:
        with self._lock:
            self._promised_bytes -= size_bytes
