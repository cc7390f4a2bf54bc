"""How a piece of claimed work ends: well, failed, lost, given back by a worker that stops, or put back by one whose
surroundings failed."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from backend.errors import ClaimLost, Fault, FramefleetError, LeaseLapsed, unexpected
from backend.events import Event, emit, error, warn
from backend.queue.chunk_queue import ChunkQueue
from backend.queue.claims import ChunkClaim, JobClaim
from backend.queue.failure import tell_why
from backend.queue.queue import Queue
from backend.queue.surroundings import Surroundings, full_folder
from backend.states import JobStatus

FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


class Drain(Exception):
    """The worker must stop now: give the claim back and leave."""


@dataclass(frozen=True)
class Ends:
    """The ways in which one claim can end badly, and what is said of each.

    All are guarded and raise ClaimLost; `fail` and `put_back` return the status that the work is left in.
    """

    ids: dict[str, Any]
    failed: Event
    fail: Callable[[FramefleetError], object]
    released: Event
    release: Callable[[], None]
    was_put_back: Event
    put_back: Callable[[FramefleetError], object]

    def give_back(self) -> None:
        """Counts no failure. See `give_back`."""
        give_back(self.release, self.released, self.ids)

    def give_up(self, failure: FramefleetError) -> None:
        """Writes a failure that counts. Raises DatabaseUnavailable."""
        _write(failure, self.fail, self.failed, self.ids)


def ends_of_chunk(queue: ChunkQueue, claim: ChunkClaim) -> Ends:
    return Ends(
        claim.ids,
        failed=Event.CHUNK_FAILED,
        fail=lambda failure: queue.fail_chunk(claim, failure),
        released=Event.CHUNK_RELEASED,
        release=lambda: queue.release_chunk(claim),
        was_put_back=Event.CHUNK_PUT_BACK,
        put_back=lambda failure: queue.put_back_chunk(claim, failure),
    )


def ends_of_job(queue: Queue, claim: JobClaim) -> Ends:
    """For planning and aggregation."""
    return Ends(
        claim.ids,
        failed=Event.JOB_FAILED,
        fail=lambda failure: queue.fail_job(claim, failure),
        released=Event.JOB_RELEASED,
        release=lambda: queue.release_job(claim),
        was_put_back=Event.JOB_PUT_BACK,
        put_back=lambda failure: queue.put_back_job(claim, failure),
    )


@contextmanager
def outcome(ends: Ends, surroundings: Surroundings) -> Iterator[None]:
    """Around the work of one claim. What the work raised is written under the claim; only Drain goes on to the caller.

    Raises Drain, and DatabaseUnavailable when nothing could be written: the lease then runs out, unless this process
    comes back to it first (`Surroundings.settle`).
    """
    try:
        yield
    except LeaseLapsed as lapsed:
        _end(lapsed, ends, surroundings)
    except ClaimLost as lost:
        warn(Event.CLAIM_LOST, **ends.ids, message=lost.message)
    except Drain:
        ends.give_back()
        raise
    except FramefleetError as failure:
        _end(failure, ends, surroundings)
    except Exception as failure:  # noqa: BLE001 - a fault of ours: tried again, the log has the trace
        cause = _of_machine(failure, surroundings)
        if cause is None:
            error(ends.failed, **ends.ids, exc_info=failure)
        _end(cause or unexpected(), ends, surroundings)
    else:
        surroundings.recover()


def give_back(release: Callable[[], None], released: Event, ids: dict[str, Any]) -> None:
    """Counts no failure. What was finished, cancelled or rescued in the meantime is nobody's to give back."""
    try:
        release()
    except ClaimLost as lost:
        warn(Event.CLAIM_LOST, **ids, message=lost.message)
        return
    emit(released, **ids)


def _end(failure: FramefleetError, ends: Ends, surroundings: Surroundings) -> None:
    if failure.fault is Fault.VERSION:
        _write(failure, ends.put_back, ends.was_put_back, ends.ids)
    elif surroundings.are_to_blame(failure):
        surroundings.suffer(failure)
        surroundings.settle(lambda: _write(failure, ends.put_back, ends.was_put_back, ends.ids))
    else:
        ends.give_up(failure)


def _write(
    failure: FramefleetError, write: Callable[[FramefleetError], object], event: Event, ids: dict[str, Any]
) -> None:
    try:
        status = write(failure)
    except ClaimLost as lost:
        warn(Event.CLAIM_LOST, **ids, message=lost.message)
        return
    said = {"error_code": failure.code, "message": failure.message, "retryable": failure.retryable}
    warn(event, **ids, **said, status=status)
    if event is Event.JOB_FAILED and status == JobStatus.FAILED:
        tell_why(failure.code, failure.message, **ids)


def _of_machine(failure: Exception, surroundings: Surroundings) -> FramefleetError | None:
    """A disk that is full, or a temporary folder that is gone, shows wherever a file is written."""
    if not isinstance(failure, OSError):
        return None
    return full_folder(failure) if failure.errno in FULL_DISK else surroundings.probe()
