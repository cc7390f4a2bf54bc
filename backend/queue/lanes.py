"""Lanes: the chunks of one tenant in one mode. Where new chunks stand in the claim's order, where its search begins.

docs/decisions/0010-lanes.md says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from backend.db.engine import Database
from backend.db.sql import statement

# A floor is raised this often while chunks are claimed, so that a claim walks over a second of dead index entries at
# most; the whole lane is looked at this often, for a chunk that was queued by hand and lowered no floor.
RAISE_EVERY_SEC = 1.0
CHECK_EVERY_SEC = 10.0
# claim_rank = position - priority * PRIORITY_STEP: a priority goes before every lower one.
PRIORITY_STEP = 10**12


@dataclass(frozen=True)
class Entry:
    """Where chunks that enter a lane now stand: the first at `first_rank`, each next one `stride` behind."""

    start_rank: int
    rivals: int

    @property
    def first_rank(self) -> int:
        return self.start_rank + self.rivals

    @property
    def stride(self) -> int:
        return self.rivals + 1

    def rank(self, number: int) -> int:
        return self.first_rank + number * self.stride


def entry(connection: Connection, job_id: UUID, *, deep_mode: str, tenant: str, priority: int) -> Entry:
    params = {"job_id": job_id, "deep_mode": deep_mode, "tenant": tenant, "priority": priority}
    row = connection.execute(statement("next_position"), params).one()
    return Entry(int(row.start_rank), int(row.rivals))


def make_lane(connection: Connection, *, deep_mode: str, tenant: str) -> None:
    """Before the lane's first chunk is written."""
    connection.execute(statement("make_lane"), {"deep_mode": deep_mode, "tenant": tenant})


def lower_floors(connection: Connection, queued: Iterable[Any]) -> None:
    """Last in the transaction that queued these chunks (rows with deep_mode, tenant, claim_rank)."""
    lowest: dict[tuple[str, str], int] = {}
    for chunk in queued:
        lane = (chunk.deep_mode, chunk.tenant)
        lowest[lane] = min(chunk.claim_rank, lowest.get(lane, chunk.claim_rank))
    for (deep_mode, tenant), rank in sorted(lowest.items()):  # in order, so that two do not wait for each other
        lower_floor(connection, deep_mode=deep_mode, tenant=tenant, rank=rank)


def lower_floor(connection: Connection, *, deep_mode: str, tenant: str, rank: int) -> None:
    connection.execute(statement("lower_floor"), {"deep_mode": deep_mode, "tenant": tenant, "rank": rank})


def raise_floor(database: Database, deep_mode: str | None = None, tenant: str | None = None) -> bool:
    """Raises that lane's floor, or checks the lane that waits longest for it; False when none is due."""
    due = {"raise_seconds": RAISE_EVERY_SEC, "check_seconds": CHECK_EVERY_SEC}
    with database.transaction() as connection:
        lane = connection.execute(
            statement("lock_stale_lane"), {"deep_mode": deep_mode, "tenant": tenant, **due}
        ).one_or_none()
        if lane is None:
            return False
        # A new statement, and with it a new snapshot, now that the lock is held.
        connection.execute(
            statement("raise_floor"),
            {
                "deep_mode": lane.deep_mode,
                "tenant": lane.tenant,
                "from_the_start": lane.from_the_start,
                "from_rank": None if lane.from_the_start else lane.floor_rank,
            },
        )
    return True


def keep_within_cap(database: Database, claimed: Mapping[str, Any]) -> bool:
    """Whether a claimed chunk's lane had room for it; if not, the chunk goes back, and no failure is counted.

    The claim is committed but not yet in anybody's hands. The lane's lock makes those who claimed at once come here one
    after another, so that never more chunks are handed out than the cap allows.
    """
    with database.transaction() as connection:
        # The chunk before the lane, as everywhere; undone when there is room.
        guard = {"chunk_id": claimed["chunk_id"], "attempts": claimed["attempts"]}
        released = connection.execute(statement("release_chunk"), guard).one_or_none()
        if released is None:
            return False
        lane = {"deep_mode": released.deep_mode, "tenant": released.tenant}
        connection.execute(statement("lock_lane"), lane)
        others = connection.execute(statement("count_in_work"), lane).scalar_one()
        if others < claimed["max_in_work"]:
            connection.rollback()
            return True
        if released.status == "queued":
            lower_floors(connection, [released])
    return False
