"""Plans in threads, of which a source that is slow to answer keeps one and holds up nobody else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, Self

AT_ONCE = 2
MOST = 8
SLOW_SEC = 5.0

P = ParamSpec("P")


class Planners:
    """`AT_ONCE` plans have a turn. One that takes longer than `SLOW_SEC` waits for its source, mostly: it gives its
    turn to the next and goes on beside, up to `MOST` in all. How many of one tenant and one host may be so slow at the
    same time is the claim's business (db/sql/claim_job.sql)."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MOST, thread_name_prefix="planner")
        self._turns = threading.Semaphore(AT_ONCE)

    def submit(self, work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Calls `work` when it is its turn; it must raise nothing that anybody should hear of."""
        self._threads.submit(self._in_turn, lambda: work(*args, **kwargs))

    def shutdown(self) -> None:
        """Waits for all that was submitted."""
        self._threads.shutdown()

    def _in_turn(self, work: Callable[[], object]) -> None:
        turn = _Turn(self._turns)
        slow = threading.Timer(SLOW_SEC, turn.give_back)
        slow.daemon = True
        slow.start()
        try:
            work()
        finally:
            slow.cancel()
            turn.give_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()


class _Turn:
    """One of the turns, given back once, by whoever is first."""

    def __init__(self, turns: threading.Semaphore) -> None:
        turns.acquire()
        self._turns = turns
        self._lock = threading.Lock()
        self._is_back = False

    def give_back(self) -> None:
        with self._lock:
            if not self._is_back:
                self._is_back = True
                self._turns.release()
