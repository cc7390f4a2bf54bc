"""Whether work that is about to finish may claim the next piece with the same statement, and what goes on beside it."""

from __future__ import annotations

import threading
import time

from backend.errors import DatabaseUnavailable
from backend.settings import Settings
from backend.workers.loop import WorkerLoop
from tests.conftest import Said
from tests.loopback import Agent, loopback, refusal

QUICK = Settings(poll_seconds=0.01)


def answer_to_first_work(*, once: bool = False) -> bool:
    answers: list[bool] = []

    def work_once() -> bool:
        if answers:
            return False
        answers.append(loop.goes_on())
        return True

    loop = WorkerLoop("test", work_once, lambda: None, QUICK)
    loop.run(once=once, idle_exit_sec=0.05)
    return answers[0]


def test_a_worker_goes_on_unless_it_is_to_do_one_piece() -> None:
    assert answer_to_first_work()
    assert not answer_to_first_work(once=True)


def test_a_worker_that_is_asked_to_stop_does_not_go_on() -> None:
    answers: list[bool] = []

    def work_once() -> bool:
        loop._stopper.ask("test")
        answers.append(loop.goes_on())
        return True

    loop = WorkerLoop("test", work_once, lambda: None, QUICK)
    loop.run()
    assert answers == [False]


def test_a_worker_that_is_asked_to_stop_while_it_asks_for_protection_does_not_go_on() -> None:
    agent = Agent()
    with loopback(agent) as address:
        loop = WorkerLoop("test", lambda: True, lambda: None, Settings(ecs_agent_uri=f"{address}/api"))
        agent.note = lambda: loop._stopper.ask("test")
        assert not loop.goes_on()


def test_a_worker_without_protection_from_scale_in_does_not_go_on() -> None:
    agent = Agent()
    with loopback(agent) as address:
        loop = WorkerLoop("test", lambda: True, lambda: None, Settings(ecs_agent_uri=f"{address}/api"))
        assert loop.goes_on()
        loop._protection.drop()
        agent.reply = refusal("DEPLOYMENT_BLOCKED")
        assert not loop.goes_on()


def test_a_database_that_is_away_does_not_touch_the_work_in_hand(said: list[Said]) -> None:
    agent = Agent()

    def has_work() -> bool:
        raise DatabaseUnavailable("gone")

    with loopback(agent) as address:
        settings = Settings(ecs_agent_uri=f"{address}/api")
        assert not WorkerLoop("test", lambda: True, lambda: None, settings, has_work=has_work).goes_on()
    assert [each.event for each in said] == ["worker_poll_failed"]


def test_a_worker_tends_while_its_work_goes_on_for_long() -> None:
    tended_in_work = threading.Event()
    in_work = threading.Event()

    def tend() -> None:
        if in_work.is_set():
            tended_in_work.set()

    def work_once() -> bool:
        in_work.set()
        assert tended_in_work.wait(timeout=60)
        return True

    WorkerLoop("test", work_once, tend, QUICK).run(once=True)
    assert tended_in_work.is_set()


def test_work_that_went_on_for_long_is_not_idleness() -> None:
    """A chain of pieces that ends in trouble: the worker has just worked."""
    calls: list[float] = []

    def work_once() -> bool:
        calls.append(time.monotonic())
        if len(calls) == 1:
            time.sleep(0.3)
            loop.goes_on()
            raise DatabaseUnavailable("gone")
        return False

    loop = WorkerLoop("test", work_once, lambda: None, QUICK)
    loop.run(idle_exit_sec=0.2)
    assert len(calls) > 1
