"""The short chaos run of every test run: each kind of fault once, on real workers with real films."""

from __future__ import annotations

import os
import secrets
import sys

from tests.chaos.faults import LONG, Deed, Strike, Trouble
from tests.chaos.fleet import ANALYSIS_WORKER, CHUNK_WORKER
from tests.chaos.points import Point
from tests.chaos.run import Plan, run

STRIKES = [
    Strike(CHUNK_WORKER, Deed.KILL, Point.CLAIM_COMMIT),
    Strike(CHUNK_WORKER, Deed.KILL, Point.MEDIA),
    Strike(CHUNK_WORKER, Deed.KILL, Point.ARTIFACT_PUT),
    Strike(CHUNK_WORKER, Deed.KILL, Point.ARTIFACT_ANSWER),
    Strike(CHUNK_WORKER, Deed.KILL, Point.HEARTBEAT),
    Strike(CHUNK_WORKER, Deed.FREEZE, Point.COMPLETE),
    Strike(CHUNK_WORKER, Deed.CUT, Point.COMPLETE_ANSWER),
    Strike(ANALYSIS_WORKER, Deed.KILL, Point.FILM_ANSWER),
    Strike(ANALYSIS_WORKER, Deed.FREEZE, Point.FINISH),
]


def test_no_fault_loses_or_doubles_a_frame_and_no_stale_claim_writes() -> None:
    seed = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(2**32))
    plan = Plan(
        seed=seed,
        jobs=4,
        chunk_workers=4,
        analysis_workers=2,
        strikes=STRIKES,
        troubles=[trouble for trouble in Trouble if trouble not in LONG],
        film_seconds=(2, 3),
        timeout_sec=240,
        stall_sec=5.0,
    )
    sys.stdout.write(f"CHAOS_SEED={seed}\n")  # replays it; pytest shows it when the test fails
    report = run(plan)
    sys.stdout.write(f"{report}\n")
    assert not report.broken, report
    assert not report.missed, report
    # Else the guards were never asked.
    assert report.stale_claims >= 1, report
    assert report.events["claim_lost"] >= 1, report
    assert report.events["phase_begun"] >= 1, report
