"""Few compute at once in the threads that answer, and few wait for them."""

from __future__ import annotations

import queue
import threading

import pytest

from backend.api.turns import Turns
from backend.errors import Busy


def test_whoever_comes_while_enough_compute_is_told_when_to_ask_again() -> None:
    turns = Turns("Others draw.", at_once=2)
    with turns.one(), turns.one(), pytest.raises(Busy, match=r"Others draw\.") as refused, turns.one():
        pass
    assert refused.value.retry_after_sec == 1
    with turns.one(), turns.one():  # both were given back, also by whoever was refused
        pass


def test_one_waits_and_comes_next_and_one_more_is_refused() -> None:
    turns = Turns("Others draw.", at_once=1, waiting=1, patience_sec=30.0)
    outcomes: queue.Queue[str] = queue.Queue()

    def ask() -> None:
        try:
            with turns.one():
                outcomes.put("came")
        except Busy:
            outcomes.put("refused")

    two = [threading.Thread(target=ask) for _ in range(2)]
    with turns.one():
        for each in two:
            each.start()
        assert outcomes.get(timeout=10) == "refused"
        assert outcomes.empty()
    assert outcomes.get(timeout=10) == "came"
    for each in two:
        each.join()


def test_patience_ends() -> None:
    turns = Turns("Others draw.", at_once=1, waiting=1, patience_sec=0.05)
    with turns.one():
        for _ in range(3):  # a wait that ends gives its room back
            with pytest.raises(Busy), turns.one():
                pass
