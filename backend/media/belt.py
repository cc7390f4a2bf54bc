"""A stage of work in a thread of its own, and the way from there to the next one. Child process only."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
QUEUED = 8


class Belt(Generic[Item]):
    """Carries items from the thread that makes them to the one that iterates: in order, a few at a time, and at last
    the end, or the error that the maker raised. Belts of one film share `stopped`; once it is set, nobody waits."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._queue: queue.Queue[Item | Exception | None] = queue.Queue(QUEUED)

    def feed(self, make: Callable[[], Iterator[Item]]) -> None:
        """Starts the thread that makes the items."""
        threading.Thread(target=self._run, args=(make,), daemon=True).start()

    def put(self, item: Item | Exception | None) -> None:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=0.5)
                return
            except queue.Full:
                continue

    def _run(self, make: Callable[[], Iterator[Item]]) -> None:
        try:
            for item in make():
                self.put(item)
            self.put(None)
        except Exception as error:  # noqa: BLE001 - crosses to the consuming thread, which raises it
            self.put(error)

    def __iter__(self) -> Iterator[Item]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
