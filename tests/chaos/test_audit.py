"""The audit sees what it is there for: each kind of broken promise, in a log written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.audit import Move, broken_promises

FREE: dict[str, Any] = {
    "status": "queued", "attempts": 0, "failures": 0, "claimed_by": None, "lease_expires_at": None,
    "total_chunks": 1, "completed_chunks": 0,
}  # fmt: skip
# How a row changes, and whose session did it.
Change = tuple[str, dict[str, Any]]
CLAIM: Change = ("w0", {"status": "processing", "attempts": 1, "claimed_by": "w0", "lease_expires_at": "10:00"})
BEAT: Change = ("w0", {"lease_expires_at": "10:01"})
COMPLETE: Change = ("w0", {"status": "completed", "lease_expires_at": None})
RESCUE: Change = ("w1", {"status": "queued", "failures": 1, "claimed_by": None, "lease_expires_at": None})
CLAIM_AGAIN: Change = ("w1", CLAIM[1] | {"attempts": 2, "claimed_by": "w1"})
COMPLETE_AGAIN: Change = ("w1", COMPLETE[1])
JOB_CLAIM: Change = ("a", {"attempts": 1, "claimed_by": "a", "lease_expires_at": "10:00"})
BEGIN: Change = ("w0", {"status": "processing", "lease_expires_at": None})
ADVANCE: Change = ("w0", {"status": "aggregating", "completed_chunks": 1})
JOB_CLAIM_AGAIN: Change = ("b", {"attempts": 2, "claimed_by": "b", "lease_expires_at": "10:02"})
DONE: Change = ("b", {"status": "done", "lease_expires_at": None})
ONWARD: Change = ("b", {"status": "processing", "total_chunks": 3, "lease_expires_at": None})
ADVANCE_AGAIN: Change = ("w0", {"status": "aggregating", "completed_chunks": 3})
JOIN: Change = ("a", {"attempts": 3, "claimed_by": "a", "lease_expires_at": "10:04"})
JOINED: Change = ("a", DONE[1])
TWO_PHASES = [JOB_CLAIM, BEGIN, ADVANCE, JOB_CLAIM_AGAIN, ONWARD, ADVANCE_AGAIN, JOIN, JOINED]


def log(what: str, *changes: Change) -> list[Move]:
    moves = [Move(what, "1", "client", None, FREE)]
    for writer, change in changes:
        moves.append(Move(what, "1", writer, moves[-1].new, moves[-1].new | change))
    return moves


def test_a_log_in_which_every_promise_was_kept_has_no_complaint() -> None:
    assert not broken_promises(log("chunk", CLAIM, BEAT, RESCUE, CLAIM_AGAIN, COMPLETE_AGAIN))
    assert not broken_promises(log("job", JOB_CLAIM, BEGIN, ADVANCE, JOB_CLAIM_AGAIN, DONE))
    assert not broken_promises(log("job", *TWO_PHASES))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ([CLAIM, RESCUE, CLAIM_AGAIN, COMPLETE], "written by a stale claim"),
        ([CLAIM, RESCUE, CLAIM_AGAIN, BEAT, COMPLETE_AGAIN], "written by a stale claim"),
        ([CLAIM, COMPLETE, CLAIM_AGAIN, COMPLETE_AGAIN], "completed 2 times"),
        ([CLAIM, COMPLETE, ("w0", {"artifact_sha256": "other"})], "what is finished stays"),
        ([CLAIM, CLAIM_AGAIN, COMPLETE_AGAIN], "only a free row is claimed"),
        ([("w0", CLAIM[1] | {"attempts": 0}), COMPLETE], "every claim raises attempts"),
        ([("w0", CLAIM[1] | {"attempts": 2}), COMPLETE], "raises attempts by one"),
        ([CLAIM, RESCUE, ("w1", CLAIM[1] | {"attempts": 0}), COMPLETE_AGAIN], "nothing lowers them"),
        ([CLAIM, ("w1", RESCUE[1] | {"failures": 2}), CLAIM_AGAIN, COMPLETE_AGAIN], "failures rise by one"),
        ([CLAIM, ("w1", RESCUE[1] | {"lease_expires_at": "10:00"})], "a failure ends the claim"),
        ([("w0", CLAIM[1] | {"claimed_by": "w1"}), COMPLETE], "a claim names its worker"),
        ([("w0", {"status": "completed"})], "no such move"),
        ([CLAIM, RESCUE], "completed 0 times"),
        ([CLAIM, ("w1", RESCUE[1] | {"failures": 0}), CLAIM_AGAIN, COMPLETE_AGAIN], "without counting a failure"),
    ],
)
def test_each_broken_promise_of_a_chunk_is_named(changes: list[Change], complaint: str) -> None:
    assert any(complaint in sentence for sentence in broken_promises(log("chunk", *changes)))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ([JOB_CLAIM, BEGIN, ADVANCE, JOB_CLAIM_AGAIN, ("a", DONE[1])], "written by a stale claim"),
        ([JOB_CLAIM, BEGIN, ADVANCE, ("w1", {"status": "processing"}), ADVANCE, DONE], "moved to aggregating 2 times"),
        ([JOB_CLAIM, BEGIN, ("w0", {"status": "aggregating"}), JOB_CLAIM_AGAIN, DONE], "completed_chunks went"),
        ([JOB_CLAIM, BEGIN, ADVANCE, JOB_CLAIM_AGAIN], "moved to done 0 times"),
        ([*TWO_PHASES[:4], ("a", ONWARD[1]), *TWO_PHASES[5:]], "written by a stale claim"),
        ([*TWO_PHASES[:5], JOIN, JOINED], "moved to aggregating 1 times instead of 2"),
    ],
)
def test_each_broken_promise_of_a_job_is_named(changes: list[Change], complaint: str) -> None:
    assert any(complaint in sentence for sentence in broken_promises(log("job", *changes)))
