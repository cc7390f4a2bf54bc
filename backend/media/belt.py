"""A stage of work in a thread of its own, and the way from there to the next one. Child process only."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
QUEUED = 8
LOOK_UP_SEC = 0.2


class Belt(Generic[Item]):
    """Carries items from the thread that makes them to the one that iterates: in order, a few at a time, and at last
    the end, or the error that the maker raised. Belts of one film share `stopped`; once it is set, all of them end."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._queue: queue.Queue[Item | Exception | None] = queue.Queue(QUEUED)
        self._thread: threading.Thread | None = None

    def feed(self, make: Callable[[], Iterator[Item]]) -> None:
        """Starts the thread that makes the items."""
        self._thread = threading.Thread(target=self._run, args=(make,), daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Waits until the thread has ended, and with it whatever it did to files and decoders."""
        if self._thread is not None:
            self._thread.join()

    def put(self, item: Item | Exception | None) -> None:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=LOOK_UP_SEC)
                return
            except queue.Full:
                continue

    def _run(self, make: Callable[[], Iterator[Item]]) -> None:
        try:
            for item in make():
                if self._stopped.is_set():
                    return
                self.put(item)
            self.put(None)
        except Exception as error:  # noqa: BLE001 - crosses to the consuming thread, which raises it
            self.put(error)

    def __iter__(self) -> Iterator[Item]:
        while True:
            try:
                item = self._queue.get(timeout=LOOK_UP_SEC)
            except queue.Empty:
                if self._stopped.is_set():
                    return
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item
