"""Writes the chunks of a phase: of the first when a job is planned, of the others when the step before is done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert

from backend.db.engine import PATIENT_SEC, Database
from backend.db.models import Chunk
from backend.db.sql import statement
from backend.errors import ClaimLost
from backend.kinds.base import Onward
from backend.media.segments import Segment
from backend.queue import lanes
from backend.queue.claims import JobClaim


def write_chunks(
    connection: Connection,
    claim: JobClaim,
    phase: str,
    pieces: Sequence[Segment],
    *,
    on_hold: bool,
    needs: str | None = None,
) -> None:
    """In the transaction that moves the job on, which makes them claimable."""
    lane = {"deep_mode": claim.deep_mode.value, "tenant": claim.tenant}
    lanes.make_lane(connection, **lane)
    entry = lanes.entry(connection, claim.job_id, priority=claim.priority, **lane)
    rows = [
        {
            "job_id": claim.job_id,
            "priority": claim.priority,
            "phase": phase,
            "chunk_index": piece.index,
            "phase_chunks": len(pieces),
            "needs": needs,
            "start_pts": piece.start_pts,
            "end_pts": piece.end_pts,
            "start_sec": piece.start_sec,
            "end_sec": piece.end_sec,
            **lane,
            "claim_rank": entry.rank(number),
            "on_hold": on_hold,
        }
        for number, piece in enumerate(pieces)
    ]
    connection.execute(insert(Chunk), rows)
    lanes.lower_floor(connection, rank=entry.first_rank, **lane)


def begin_phase(
    database: Database,
    claim: JobClaim,
    phase: str,
    onward: Onward,
    *,
    plan: Mapping[str, Any],
    timings: Mapping[str, float],
) -> None:
    """The step in hand is done and the next phase's chunks can be claimed. Raises ClaimLost, DatabaseUnavailable."""
    with database.transaction(patience_sec=PATIENT_SEC) as connection:
        begun = connection.execute(
            statement("begin_phase"),
            {
                "job_id": claim.job_id,
                "attempts": claim.attempts,
                "phase": phase,
                "plan": json.dumps(plan),
                "chunks": len(onward.spans),
                "timings": json.dumps(timings),
                "warnings": json.dumps(list(onward.warnings)),
            },
        ).one_or_none()
        if begun is None:
            raise ClaimLost("The job was rescued from this worker, cancelled or finished.")
        write_chunks(connection, claim, phase, onward.spans, on_hold=begun.is_paused, needs=onward.needs)
