"""Room for bodies: disk for those that wait there until they are whole, and threads for those that are read at once."""

from __future__ import annotations

import shutil
import tempfile
import threading

from backend.api.server import limits


class Room:
    """Counts what was given. The files are waitress's, nameless, in the temporary folder (TMPDIR)."""

    def __init__(self, *, max_bytes: int, min_free_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._promised_bytes = 0
        self._streams = 0
        self._lock = threading.Lock()

    @property
    def promised_bytes(self) -> int:
        return self._promised_bytes

    def promise(self, size_bytes: int) -> bool:
        """Whether so much may go to disk. What was written of earlier promises counts twice: that errs to the safe
        side."""
        free_bytes = shutil.disk_usage(tempfile.gettempdir()).free
        with self._lock:
            promised_bytes = self._promised_bytes + size_bytes
            if promised_bytes > self._max_bytes or free_bytes - promised_bytes < self._min_free_bytes:
                return False
            self._promised_bytes = promised_bytes
            return True

    def give_back(self, size_bytes: int) -> None:
        with self._lock:
            self._promised_bytes -= size_bytes

    def begin_stream(self) -> bool:
        """Whether there is a thread for one more."""
        with self._lock:
            if self._streams >= limits.STREAMING_THREADS:
                return False
            self._streams += 1
            return True

    def end_stream(self) -> None:
        with self._lock:
            self._streams -= 1
