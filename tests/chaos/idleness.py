"""Whether a worker that could work stood idle while work was due."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from sqlalchemy import text

from backend.errors import DatabaseUnavailable
from tests.chaos.fleet import CHUNK_WORKER, Slot
from tests.chaos.world import World

MAX_IDLE_SEC = 60.0


class IdleWatch:
    """The longest time that a chunk worker, alive and with its store at hand, held nothing while chunks were due."""

    def __init__(self, world: World) -> None:
        self.longest_sec = 0.0
        self._world = world
        self._since: dict[str, float] = {}

    def look(self, slots: Sequence[Slot], ailing: frozenset[str]) -> None:
        """Call often. `ailing` are the slots that cannot work right now."""
        due, holders = self._queue()
        now = time.monotonic()
        for slot in slots:
            could = slot.module == CHUNK_WORKER and slot.is_alive and slot.name not in ailing
            if due == 0 or not could or slot.worker_id in holders:
                self._since.pop(slot.name, None)
            else:
                idle_sec = now - self._since.setdefault(slot.name, now)
                self.longest_sec = max(self.longest_sec, idle_sec)

    def _queue(self) -> tuple[int, Mapping[str, int]]:
        query = text(
            "SELECT claimed_by,"
            " count(*) FILTER (WHERE status = 'queued' AND NOT on_hold AND available_at <= now()) AS due"
            " FROM video_analysis_chunks WHERE status IN ('queued', 'processing') GROUP BY claimed_by"
        )
        try:
            with self._world.database.transaction() as connection:
                rows = connection.execute(query).all()
        except DatabaseUnavailable:  # it restarts just now
            return 0, {}
        return sum(row.due for row in rows), {row.claimed_by: 1 for row in rows if row.claimed_by}
