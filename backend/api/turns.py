"""How many requests compute at once: what takes a second of processor time and a few hundred MiB, in a thread that
answers requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from backend.errors import Busy

RETRY_AFTER_SEC = 1


class Turns:
    """`at_once` compute, and so many more may wait for up to `patience_sec`; whoever comes then asks again."""

    def __init__(self, words: str, *, at_once: int, waiting: int = 0, patience_sec: float = 0.0) -> None:
        self._words = words
        self._patience_sec = patience_sec
        self._room = threading.BoundedSemaphore(at_once + waiting)
        self._turns = threading.BoundedSemaphore(at_once)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Raises Busy, which says when to come again."""
        if not self._room.acquire(blocking=False):
            raise self._busy()
        try:
            if not self._turns.acquire(timeout=self._patience_sec):
                raise self._busy()
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._room.release()

    def _busy(self) -> Busy:
        busy = Busy(self._words)
        busy.retry_after_sec = RETRY_AFTER_SEC
        return busy
