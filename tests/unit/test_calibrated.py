"""From rows to costs and back: a run that the rows describe is what the simulation then says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.fleet.calibrated import Run, costs_of, predicted, slowdown

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
OVERLAP_SEC, CHUNK_SEC = 2.0, 10.0


def at(seconds: float) -> str:
    return (CREATED + timedelta(seconds=seconds)).isoformat()


def row(index: int, began_sec: float, runtime_sec: float, worker: str = "w0", **changes: Any) -> dict[str, Any]:
    known = {"status": "completed", "start_sec": index * CHUNK_SEC, "end_sec": (index + 1) * CHUNK_SEC}
    known |= {"claimed_by": worker, "runtime_ms": round(1000 * runtime_sec)}
    return known | {"started_at": at(began_sec), "completed_at": at(began_sec + runtime_sec)} | changes


def run_of(rows: list[dict[str, Any]], rest_sec: float = 9.0, **changes: Any) -> Run:
    done_sec = max((datetime.fromisoformat(each["completed_at"]) - CREATED).total_seconds() for each in rows)
    job = {"id": "j", "status": "done", "created_at": at(0), "completed_at": at(done_sec + rest_sec)}
    job |= {"video": {"duration_seconds": CHUNK_SEC * len(rows)}, "seconds": {"stitch_and_path": 1.0, "render": 6.0}}
    return Run.of(job | changes, rows)


# Six a second of video with the overlap, a pause of half a second, from the third second on.
ALONE = run_of([row(index, 3.0 + 6.5 * index, 6.0) for index in range(4)])
TOGETHER = run_of([row(0, 3.0, 9.0), row(1, 3.0, 9.0, "w1"), row(2, 12.0, 9.0), row(3, 12.0, 9.0, "w1")])


def test_costs_are_those_of_the_rows() -> None:
    costs = costs_of(ALONE, OVERLAP_SEC, CHUNK_SEC)
    assert (costs.start_sec, costs.detect_rate, costs.chunk_fixed_sec) == (3.0, 0.5, 0.5)
    assert costs.solve_rate == 1.0 / 40
    assert costs.whole_render_rate == 6.0 / 40
    assert costs.upload_sec == pytest.approx(2.0)


def test_two_workers_slow_each_other_by_what_their_chunks_take_longer() -> None:
    assert slowdown(ALONE, TOGETHER) == 1.5
    with pytest.raises(ValueError, match="longer video"):
        slowdown(ALONE, ALONE)


def test_a_chunk_that_was_mostly_alone_tells_nothing_of_that() -> None:
    mixed = run_of([row(0, 3.0, 6.0), row(1, 8.5, 9.0, "w1"), row(2, 9.0, 8.4)])
    assert slowdown(ALONE, mixed) == pytest.approx((8.4 + 9.0) / 2 / 6.0, rel=0.01)


def test_the_simulation_says_of_the_run_what_its_rows_say() -> None:
    costs = costs_of(ALONE, OVERLAP_SEC, CHUNK_SEC)
    again = sum(predicted(costs, 40.0, [3.0], 1.5).values())
    assert again == pytest.approx(ALONE.total_sec, abs=0.6)  # the pause after the last chunk
    twice = predicted(costs, 40.0, [3.0, 3.0], 1.5)
    assert twice["detect"] == pytest.approx(2 * 1.5 * 6.5)


def test_a_second_worker_that_comes_later_is_waited_for() -> None:
    late = run_of([row(0, 3.0, 6.0), row(1, 5.0, 6.0, "w1"), row(2, 9.5, 6.0), row(3, 11.5, 6.0, "w1")])
    assert late.first_claims_sec == [3.0, 5.0]
    costs = costs_of(ALONE, OVERLAP_SEC, CHUNK_SEC)
    assert predicted(costs, 40.0, [3.0, 5.0], 1.0)["detect"] == pytest.approx(2.0 + 2 * 6.5)


def test_a_job_that_is_not_done_gives_no_costs() -> None:
    with pytest.raises(ValueError, match="not done"):
        run_of([row(0, 3.0, 6.0)], status="failed")
    with pytest.raises(ValueError, match="not done"):
        run_of([row(0, 3.0, 6.0, status="queued")])
