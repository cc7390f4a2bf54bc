"""The threads that answer: in the order of arrival, but never all of them at requests that write."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING

from waitress.utilities import logger

if TYPE_CHECKING:
    from backend.api.server.channel import Channel


class Turn(Enum):
    FIRST = auto()  # of its kind: before all others
    READ = auto()
    WRITE = auto()  # takes long: it waits for the database's disk


class Threads:
    """In place of waitress's dispatcher. At most `most_writing` threads are at writes at the same time: whoever reads,
    as those who poll do, always finds one that is soon free."""

    def __init__(self, count: int, *, most_writing: int) -> None:
        self._most_writing = max(1, most_writing)
        self._waiting: dict[Turn, deque[tuple[int, Channel]]] = {turn: deque() for turn in Turn}
        self._numbers = itertools.count()
        self._writing = 0
        self._busy = 0
        self._is_over = False
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._work, name=f"api-{n}", daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    @property
    def busy(self) -> int:
        """How many are at a request."""
        return self._busy

    def add(self, channel: Channel, turn: Turn) -> None:
        with self._changed:
            self._waiting[turn].append((next(self._numbers), channel))
            self._changed.notify()

    def shutdown(self, timeout_sec: float) -> None:
        """Takes no more; what is under way has so long."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout_sec / len(self._threads))

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            turn, channel = taken
            try:
                channel.service()
            except BaseException:  # noqa: BLE001 - of one request; the thread has others to answer
                logger.exception("A request was not answered")
            finally:
                self._end(turn)

    def _take(self) -> tuple[Turn, Channel] | None:
        """The next one, waiting for it; None at the end."""
        with self._changed:
            while not self._is_over:
                turn = self._next_turn()
                if turn is not None:
                    self._busy += 1
                    self._writing += turn is Turn.WRITE
                    return turn, self._waiting[turn].popleft()[1]
                self._changed.wait()
        return None

    def _next_turn(self) -> Turn | None:
        if self._waiting[Turn.FIRST]:
            return Turn.FIRST
        may = [Turn.READ] if self._writing >= self._most_writing else [Turn.READ, Turn.WRITE]
        come = [(self._waiting[turn][0][0], turn) for turn in may if self._waiting[turn]]
        return min(come, key=lambda pair: pair[0])[1] if come else None

    def _end(self, turn: Turn) -> None:
        with self._changed:
            self._busy -= 1
            if turn is Turn.WRITE:
                self._writing -= 1
                self._changed.notify()  # a write may have waited for this one
