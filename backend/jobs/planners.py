"""Plans in threads, of which a source that is slow to answer keeps one and holds up nobody else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

AT_ONCE = 2
MOST = 8
SLOW_SEC = 5.0


class Planners:
    """`AT_ONCE` plans have a turn. One that takes longer than `SLOW_SEC` waits for its source, mostly: it gives its
    turn to the next and goes on beside, up to `MOST` in all. How many of one tenant and one host may be so slow at the
    same time is the claim's business (db/sql/claim_job.sql)."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MOST, thread_name_prefix="planner")
        self._turns = threading.Semaphore(AT_ONCE)
        self._places = threading.Semaphore(MOST)

    def submit(self, work: Callable[[], object]) -> None:
        """Calls `work` when it is its turn; it must raise nothing that anybody should hear of."""
        self._threads.submit(self._when_it_is_time, work)

    def turn(self) -> Turn | None:
        """One that can begin at once, for who claims first: a claim that waits for its turn would lose its lease. None
        where there is none now. It must be given back, or used."""
        if not self._places.acquire(blocking=False):
            return None
        if not self._turns.acquire(blocking=False):
            self._places.release()
            return None
        return Turn(self._turns, self._places)

    def use(self, turn: Turn, work: Callable[[], object]) -> None:
        """As `submit`, at once."""
        self._threads.submit(_within, turn, work)

    def shutdown(self) -> None:
        """Waits for all that was submitted."""
        self._threads.shutdown()

    def _when_it_is_time(self, work: Callable[[], object]) -> None:
        self._places.acquire()
        self._turns.acquire()
        _within(Turn(self._turns, self._places), work)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()


class Turn:
    """A plan's turn, and its place among all of them."""

    def __init__(self, turns: threading.Semaphore, places: threading.Semaphore) -> None:
        self._turns, self._places = turns, places
        self._lock = threading.Lock()
        self._is_passed_on = False

    def pass_on(self) -> None:
        """To the next plan, once, whoever is first: the end of this one, or its slowness."""
        with self._lock:
            if not self._is_passed_on:
                self._is_passed_on = True
                self._turns.release()

    def give_back(self) -> None:
        self.pass_on()
        self._places.release()


def _within(turn: Turn, work: Callable[[], object]) -> None:
    slow = threading.Timer(SLOW_SEC, turn.pass_on)
    slow.daemon = True
    slow.start()
    try:
        work()
    finally:
        slow.cancel()
        turn.give_back()
