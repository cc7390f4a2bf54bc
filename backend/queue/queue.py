"""The queue: claim, heartbeat, finish. Each is one guarded statement in backend/db/sql; zero rows mean ClaimLost."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

from backend.db.engine import Database
from backend.errors import DatabaseUnavailable
from backend.queue import lanes, sweep
from backend.queue.chunk_verbs import ChunkVerbs
from backend.queue.job_verbs import JobVerbs
from backend.settings import Settings

SWEEP_EVERY_SEC = 5.0
# Who asks for the turn a moment too early would otherwise come back a whole turn later.
TURN_SLACK = 0.8
# A worker whose sweep failed leaves this many turns to the others, or it would take each as it comes.
TURNS_LEFT_TO_OTHERS = (2.0, 6.0)


class Queue(ChunkVerbs, JobVerbs):
    def __init__(self, database: Database, settings: Settings, encoders: Iterable[str] = ()) -> None:
        super().__init__(database, settings, encoders)
        self._sweep_every_sec = min(SWEEP_EVERY_SEC, settings.lease_seconds / 2)
        self._sweep_at = 0.0  # of the monotonic clock

    def tend(self) -> None:
        """What every worker does beside its work: raises the floors that its claims found stale, so that no claim waits
        for that; and sweeps, when it is its turn among all workers. Raises DatabaseUnavailable."""
        self.raise_stale_floors()
        if time.monotonic() < self._sweep_at:
            return
        self._sweep_at = time.monotonic() + self._sweep_every_sec
        turn = {"worker_id": self._worker_id, "every_seconds": self._sweep_every_sec * TURN_SLACK}
        try:
            is_ours = self._database.ask("take_sweep_turn", **turn) is not None
        except DatabaseUnavailable:
            # Whose leases ran out meanwhile are alive, like this worker: they get the time to say so.
            self._sweep_at = time.monotonic() + self._lease["lease_seconds"] / 2
            raise
        if not is_ours:
            return
        try:
            self.rescue_expired()
        except Exception:
            self._sweep_at += self._sweep_every_sec * random.uniform(*TURNS_LEFT_TO_OTHERS)
            raise

    def raise_stale_floors(self) -> None:
        """Those that claims found stale. Raises DatabaseUnavailable."""
        for lane in tuple(self._stale_lanes):  # another thread may tend or claim meanwhile
            self._stale_lanes.discard(lane)
            lanes.raise_floor(self._database, *lane)

    def rescue_expired(self) -> int:
        """Sweeps now, whoever's turn it is. Returns how many claims were taken back."""
        return sweep.rescue_expired(self._database, self._backoff, self._lease)
