"""How long the work in hand may go on, by who asked the worker to stop and how often."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from backend.queue.outcome import Drain
from backend.workers.drain import Stopper


def test_nobody_asked() -> None:
    stopper = Stopper("test", 0.0)
    stopper.check()
    assert not stopper.is_asked


def test_the_work_in_hand_has_its_time_and_no_more() -> None:
    stopper = Stopper("test", 0.2)
    stopper.ask("spot_notice")
    stopper.check()
    time.sleep(0.15)
    stopper.ask("spot_notice")  # takes nothing away, and gives nothing
    time.sleep(0.1)
    with pytest.raises(Drain):
        stopper.check()


def test_the_first_signal_after_a_spot_notice_is_not_the_second_one() -> None:
    stopper = Stopper("test", 60.0)
    stopper.ask("spot_notice")
    stopper.ask_by_signal("SIGTERM")
    stopper.check()
    stopper.ask_by_signal("SIGTERM")
    with pytest.raises(Drain):
        stopper.check()


LISTENS = """
import os, signal
from backend.workers.drain import Stopper

before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
stopper = Stopper("test", 60.0)
with stopper.listening():
    os.kill(os.getpid(), signal.SIGTERM)
    stopper.wait(60)  # returns as soon as it is heard
    assert stopper.is_asked
    stopper.check()
assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_signals_are_heard_while_it_listens_and_are_python_s_again_afterwards() -> None:
    """In a process of its own: what other tests have loaded may have signal stacks, and this one ends its process."""
    found = subprocess.run([sys.executable, "-c", LISTENS], capture_output=True, text=True, check=False)
    assert found.returncode == -signal.SIGTERM, found.stderr
