"""A lease is kept while work runs; whoever lost it learns so before writing anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from backend.errors import ClaimLost, DatabaseUnavailable
from backend.queue.lease import LeaseKeeper

LEASE_SEC = 0.6


class Beats:
    """A heartbeat that answers as told: an error for some beats, by their number from 0."""

    def __init__(self, answer: Callable[[int], Exception | None] = lambda number: None) -> None:
        self._answer = answer
        self.progress: list[float] = []
        self.times: list[float] = []

    def __call__(self, progress: float) -> None:
        number = len(self.times)
        self.times.append(time.monotonic())
        self.progress.append(progress)
        error = self._answer(number)
        if error is not None:
            raise error

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.times) < count:
            assert time.monotonic() < deadline, "no heartbeat came"
            time.sleep(0.005)


def away(number: int) -> Exception:
    return DatabaseUnavailable("away")


def test_it_beats_at_a_third_of_the_lease() -> None:
    beats = Beats()
    began = time.monotonic()
    with LeaseKeeper(beats, LEASE_SEC) as lease:
        beats.wait_for(3)
        lease.check()
    assert beats.times[0] - began == pytest.approx(LEASE_SEC / 3, abs=0.15)
    assert beats.times[2] - beats.times[0] == pytest.approx(LEASE_SEC * 2 / 3, abs=0.15)


def test_progress_goes_with_the_beat() -> None:
    beats = Beats()
    with LeaseKeeper(beats, LEASE_SEC / 4) as lease:
        lease.report(0.25)
        beats.wait_for(1)
        lease.report(0.75)
        beats.wait_for(3)
    assert beats.progress[0] == 0.25
    assert beats.progress[-1] == 0.75


def test_work_that_lives_longer_than_its_lease_keeps_it() -> None:
    with LeaseKeeper(Beats(), 0.3) as lease:
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            lease.check()
            time.sleep(0.01)


def test_a_lost_claim_is_known_at_the_next_check_and_no_beat_follows() -> None:
    beats = Beats(lambda number: ClaimLost("rescued") if number == 1 else None)
    with LeaseKeeper(beats, LEASE_SEC / 4) as lease:
        beats.wait_for(2)
        time.sleep(LEASE_SEC / 4)
        with pytest.raises(ClaimLost, match="rescued"):
            lease.check()
        with pytest.raises(ClaimLost, match="rescued"):
            lease.report(0.5)
    assert len(beats.times) == 2


def test_one_failed_beat_loses_nothing() -> None:
    beats = Beats(lambda number: away(number) if number == 1 else None)
    with LeaseKeeper(beats, LEASE_SEC) as lease:
        beats.wait_for(4)
        lease.check()


def test_a_whole_lease_without_an_answer_loses_the_claim() -> None:
    beats = Beats(away)
    with LeaseKeeper(beats, 0.3) as lease:
        lease.check()
        beats.wait_for(2)
        time.sleep(0.25)
        with pytest.raises(ClaimLost, match="whole lease"):
            lease.check()


def test_a_beat_that_hangs_for_a_whole_lease_loses_the_claim() -> None:
    answer = threading.Event()
    with LeaseKeeper(lambda progress: (answer.wait(5), None)[1], 0.3) as lease:
        time.sleep(0.45)
        try:
            with pytest.raises(ClaimLost):
                lease.check()
        finally:
            answer.set()


def test_the_lease_counts_from_when_a_beat_was_sent_not_from_its_answer() -> None:
    """The database set the lease somewhere in between: the earlier moment is the safe one."""
    beats = Beats()

    def slow(progress: float) -> None:
        beats(progress)
        time.sleep(0.2)

    with LeaseKeeper(slow, 0.45) as lease:
        beats.wait_for(1)
        time.sleep(0.22)  # answered now, sent 0.22 s ago
        sent_at = beats.times[0]
        while time.monotonic() - sent_at < 0.3:
            time.sleep(0.005)
        lease.check()


def test_the_thread_ends_with_the_work_even_if_the_work_fails() -> None:
    beats = Beats()
    with pytest.raises(ZeroDivisionError), LeaseKeeper(beats, 0.15):
        beats.wait_for(1)
        raise ZeroDivisionError
    count = len(beats.times)
    time.sleep(0.2)
    assert len(beats.times) == count
    assert "heartbeat" not in [thread.name for thread in threading.enumerate()]


def test_leaving_does_not_wait_for_the_next_beat() -> None:
    began = time.monotonic()
    with LeaseKeeper(Beats(), 60.0):
        pass
    assert time.monotonic() - began < 1
