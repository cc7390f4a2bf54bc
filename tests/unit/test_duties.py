"""Duties come at their times, whatever the worker and the other duties do."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import pytest

from backend.errors import StorageError
from backend.workers.duties import Duties, Duty
from tests.conftest import Said


def test_a_duty_is_due_at_once_and_then_after_its_time() -> None:
    times: list[float] = []
    duties = Duties(Duty("note", 0.05, lambda: times.append(time.monotonic())))
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        duties.run_due()
        time.sleep(0.005)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) >= 3
    assert min(gaps) >= 0.05


@pytest.mark.parametrize("failure", [StorageError("away"), ValueError("a fault of ours")])
def test_a_duty_that_fails_is_said_and_stops_no_other(failure: Exception, said: list[Said]) -> None:
    done: list[int] = []

    def fail() -> None:
        raise failure

    duties = Duties(Duty("broken", 0.0, fail), Duty("sound", 0.0, lambda: done.append(1)))
    duties.run_due()
    duties.run_due()
    assert done == [1, 1]
    assert [each.event for each in said] == ["duty_failed", "duty_failed"]


def test_in_the_background_they_run_while_the_worker_works() -> None:
    ran = threading.Event()
    with Duties(Duty("note", 60.0, ran.set)).in_background():
        assert ran.wait(60)
