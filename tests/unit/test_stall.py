"""What counts as progress, and what is done to work that shows none."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from backend.errors import ClaimLost, FramefleetError, WorkStalled
from backend.queue.lease import LeaseKeeper
from backend.queue.stall import StallWatch, Step

STALL_SEC = 0.3


def watch(step: str) -> StallWatch:
    found = StallWatch(STALL_SEC)
    found.begin(step)
    return found


def test_a_step_without_progress_is_named() -> None:
    still = watch(Step.UPLOAD)
    assert still.stalled() is None
    time.sleep(STALL_SEC + 0.05)
    failure = still.stalled()
    assert isinstance(failure, WorkStalled)
    assert "uploading the film" in failure.message and "STALL_SECONDS" in failure.message


def test_bytes_on_their_way_are_progress() -> None:
    moving, reading = watch(Step.UPLOAD), watch("detection")
    counted = iter(range(100))
    reading.follow(lambda: next(counted))
    for _ in range(5):
        time.sleep(STALL_SEC / 2)
        moving.moved()
        assert moving.stalled() is None
        assert reading.stalled() is None


def test_a_computation_that_says_nothing_may_take_longer() -> None:
    joining = StallWatch(STALL_SEC)
    joining.begin("joining", patience=6.0)
    time.sleep(STALL_SEC * 2)
    assert joining.stalled() is None
    joining.begin("rendering")
    time.sleep(STALL_SEC * 2)
    assert joining.stalled() is not None


class Work:
    """Under a lease whose heartbeats answer as told; `ended` is what its process would have been ended for."""

    def __init__(self, beat_failure: FramefleetError | None = None) -> None:
        self.ended = threading.Event()
        self.failure: FramefleetError | None = None
        self._beat_failure = beat_failure
        self.lease = LeaseKeeper(self._beat, 0.6, StallWatch(STALL_SEC, 0.2, self._end))

    def _beat(self, progress: float) -> None:
        if self._beat_failure is not None:
            raise self._beat_failure

    def _end(self, failure: FramefleetError) -> None:
        self.failure = failure
        self.ended.set()


@pytest.fixture(params=[None, ClaimLost("cancelled")], ids=["stalled", "cancelled"])
def work(request: pytest.FixtureRequest) -> Iterator[Work]:
    yield Work(request.param)


def test_work_that_hangs_is_ended(work: Work) -> None:
    with work.lease as lease:
        lease.watch.begin("detection")
        assert work.ended.wait(60)
    assert isinstance(work.failure, WorkStalled | ClaimLost)


def test_work_that_reacts_within_the_grace_is_not_ended(work: Work) -> None:
    with pytest.raises((WorkStalled, ClaimLost)), work.lease as lease:
        lease.watch.begin("detection")
        while True:
            lease.report(0.5)  # the same each time: no progress
            time.sleep(0.02)
    assert not work.ended.wait(0.5)
