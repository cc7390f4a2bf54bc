"""How a piece of claimed work ends: well, failed, lost to someone else, or given back by a worker that stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from backend.errors import ClaimLost, FramefleetError, unexpected
from backend.events import Event, emit, error, warn
from backend.jobs.claims import JobClaim
from backend.jobs.queue import Queue


class Drain(Exception):
    """The worker must stop now: give the claim back and leave."""


@contextmanager
def outcome(
    ids: dict[str, object],
    *,
    failed: Event,
    fail: Callable[[FramefleetError], object],
    released: Event,
    release: Callable[[], None],
) -> Iterator[None]:
    """Around the work of one claim. What the work raised is written under the claim; only Drain goes on to the caller.

    `fail` and `release` are guarded and raise ClaimLost; `fail` returns the status that the work is left in.
    Raises Drain, and DatabaseUnavailable when nothing could be written: the lease then runs out.
    """
    try:
        yield
    except ClaimLost as lost:
        warn(Event.CLAIM_LOST, **ids, message=lost.message)
    except Drain:
        give_back(release, released, ids)
        raise
    except FramefleetError as failure:
        _fail(failure, fail, failed, ids)
    except Exception as failure:  # noqa: BLE001 - a fault of ours: tried again, the log has the trace
        error(failed, **ids, exc_info=failure)
        _fail(unexpected(failure), fail, failed, ids)


def job_outcome(queue: Queue, claim: JobClaim) -> AbstractContextManager[None]:
    """`outcome` for planning and aggregation."""
    return outcome(
        {"job_id": str(claim.job_id), "attempt": claim.attempts},
        failed=Event.JOB_FAILED,
        fail=lambda failure: queue.fail_job(claim, failure),
        released=Event.JOB_RELEASED,
        release=lambda: queue.release_job(claim),
    )


def give_back_job(queue: Queue, claim: JobClaim) -> None:
    ids: dict[str, object] = {"job_id": str(claim.job_id), "attempt": claim.attempts}
    give_back(lambda: queue.release_job(claim), Event.JOB_RELEASED, ids)


def give_back(release: Callable[[], None], released: Event, ids: dict[str, object]) -> None:
    """Counts no failure. What was finished, cancelled or rescued in the meantime is nobody's to give back."""
    try:
        release()
    except ClaimLost as lost:
        warn(Event.CLAIM_LOST, **ids, message=lost.message)
        return
    emit(released, **ids)


def _fail(
    failure: FramefleetError, fail: Callable[[FramefleetError], object], failed: Event, ids: dict[str, object]
) -> None:
    try:
        status = fail(failure)
    except ClaimLost as lost:
        warn(Event.CLAIM_LOST, **ids, message=lost.message)
        return
    said = {"error_code": failure.code, "message": failure.message, "retryable": failure.retryable}
    warn(failed, **ids, **said, status=status)
