"""Whether work that is about to finish may claim the next piece with the same statement."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backend.errors import DatabaseUnavailable
from backend.settings import Settings
from backend.workers.loop import WorkerLoop
from tests.conftest import Said
from tests.loopback import Agent, loopback, refusal

QUICK = Settings(poll_seconds=0.01)


def asked_in_work(tend: Callable[[], object], *, once: bool = False) -> tuple[bool, int]:
    """What the loop said to its first piece of work, and how often it had tended by then."""
    tended: list[bool] = []
    answers: list[bool] = []

    def count() -> None:
        tended.append(True)
        if len(tended) > 1:  # the first is before the claim
            tend()

    def work_once() -> bool:
        if not answers:
            answers.append(loop.goes_on())
            return True
        return False

    loop = WorkerLoop("test", work_once, count, QUICK)
    loop.run(once=once, idle_exit_sec=0.05)
    return answers[0], len(tended)


def test_a_worker_goes_on_and_tends_in_between() -> None:
    goes_on, tended = asked_in_work(lambda: None)
    assert goes_on
    assert tended >= 2


def test_a_worker_that_is_to_do_one_piece_does_not_go_on() -> None:
    assert asked_in_work(lambda: None, once=True) == (False, 1)


@pytest.mark.parametrize("failure", [DatabaseUnavailable("gone"), RuntimeError("a bug")], ids=["database", "bug"])
def test_what_goes_wrong_in_tending_does_not_touch_the_work_in_hand(failure: Exception, said: list[Said]) -> None:
    raised: list[bool] = []

    def fail_once() -> None:
        if not raised:
            raised.append(True)
            raise failure

    goes_on, _ = asked_in_work(fail_once)
    assert not goes_on
    assert "worker_poll_failed" in [each.event for each in said]


def test_a_worker_that_is_asked_to_stop_does_not_go_on() -> None:
    answers: list[bool] = []

    def work_once() -> bool:
        loop._stopper.ask("test")
        answers.append(loop.goes_on())
        return True

    loop = WorkerLoop("test", work_once, lambda: None, QUICK)
    loop.run()
    assert answers == [False]


def test_a_worker_without_protection_from_scale_in_does_not_go_on() -> None:
    agent = Agent()
    with loopback(agent) as address:
        loop = WorkerLoop("test", lambda: True, lambda: None, Settings(ecs_agent_uri=f"{address}/api"))
        assert loop.goes_on()
        loop._protection.drop()
        agent.reply = refusal("DEPLOYMENT_BLOCKED")
        assert not loop.goes_on()
