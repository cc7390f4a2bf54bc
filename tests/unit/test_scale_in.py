"""Scale-in protection is there before a claim and gone when the worker is idle; without it no claim is made."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from backend.settings import Settings
from backend.workers.ecs_agent import EcsAgent
from backend.workers.loop import WorkerLoop
from backend.workers.scale_in import (
    EMPTY_CLAIMS_BEFORE_DROP,
    MAX_PAUSE_SEC,
    UNREACHABLE_PATIENCE_SEC,
    ScaleInProtection,
)
from tests.loopback import Agent, Request, loopback, refusal


@pytest.fixture
def agent() -> Agent:
    return Agent()


@pytest.fixture
def agent_uri(agent: Agent) -> Iterator[str]:
    with loopback(agent) as address:
        yield f"{address}/api"


def protection_by(agent_uri: str, minutes: int = 60, clock: Callable[[], float] = time.monotonic) -> ScaleInProtection:
    return ScaleInProtection(EcsAgent(agent_uri), minutes, clock)


def always() -> bool:
    return True


def never() -> bool:
    return False


def test_one_request_protects_many_claims_and_a_few_empty_ones(agent: Agent, agent_uri: str) -> None:
    protection = protection_by(agent_uri)
    for _ in range(20):
        assert protection.ready(always)
        protection.note(True)
    for _ in range(EMPTY_CLAIMS_BEFORE_DROP - 1):
        assert protection.ready(always)
        protection.note(False)
    assert agent.wishes == [True]
    assert protection.ready(always)
    protection.note(False)
    assert agent.wishes == [True, False]


def test_an_idle_worker_asks_the_agent_for_nothing(agent: Agent, agent_uri: str) -> None:
    protection = protection_by(agent_uri)
    assert not any(protection.ready(never) for _ in range(10))
    assert agent.wishes == []


def test_work_that_is_seen_and_never_got_does_not_make_the_protection_flap(agent: Agent, agent_uri: str) -> None:
    protection = protection_by(agent_uri)
    for _ in range(50):  # much faster than the pause after a false alarm
        if protection.ready(always):
            protection.note(False)
    assert agent.wishes == [True, False]


def test_refused_protection_means_no_claim_and_few_questions(agent: Agent, agent_uri: str) -> None:
    agent.reply = refusal("DEPLOYMENT_BLOCKED")
    protection = protection_by(agent_uri)
    assert not any(protection.ready(always) for _ in range(50))
    assert agent.wishes == [True]


@pytest.mark.parametrize(
    ("status", "reply"),
    [
        (400, {"error": {"Code": "AccessDeniedException", "Message": "no"}, "requestID": "1"}),
        (400, {"error": {"Code": "ThrottlingException", "Message": "slow down"}}),
        (200, {"protection": {}, "failure": {"Reason": "MISSING"}}),
        (404, {}),
        (200, {}),
    ],
)
def test_whatever_is_not_a_yes_means_no_claim(agent: Agent, agent_uri: str, status: int, reply: dict[str, str]) -> None:
    agent.status, agent.reply = status, reply
    assert not protection_by(agent_uri).ready(always)


def test_a_task_of_no_service_works_without_protection(agent: Agent, agent_uri: str) -> None:
    agent.reply = refusal("TASK_NOT_VALID")
    protection = protection_by(agent_uri)
    assert all(protection.ready(always) for _ in range(5))
    assert agent.wishes == [True]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_silent_agent_holds_claims_up_for_a_minute_and_not_for_ever() -> None:
    clock = Clock()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listening
        protection = protection_by(f"http://127.0.0.1:{taken.getsockname()[1]}/api", 60, clock)
        for _ in range(12):
            assert not protection.ready(always)
            clock.now += 5
        assert all(protection.ready(always) for _ in range(3))


def test_an_agent_that_comes_back_protects_again(agent: Agent) -> None:
    clock = Clock()
    down = True

    def answer(request: Request) -> tuple[int, bytes]:
        return (503, b"") if down else agent(request)

    with loopback(answer) as address:
        protection = protection_by(f"{address}/api", 60, clock)
        assert not protection.ready(always)
        clock.now += UNREACHABLE_PATIENCE_SEC + MAX_PAUSE_SEC
        assert protection.ready(always)  # unprotected
        down = False
        clock.now += MAX_PAUSE_SEC
        assert protection.ready(always)
    assert agent.wishes == [True]


def test_protection_whose_answer_was_lost_is_dropped_by_the_idle_worker(agent: Agent) -> None:
    clock = Clock()

    def answer(request: Request) -> tuple[int, bytes]:
        said = agent(request)
        return (503, b"") if len(agent.wishes) == 1 else said

    with loopback(answer) as address:
        protection = protection_by(f"{address}/api", 60, clock)
        assert not protection.ready(always)  # the agent did it, and we never heard
        clock.now += MAX_PAUSE_SEC
        assert not any(protection.ready(never) for _ in range(5))
    assert agent.wishes == [True, False]


def test_protection_is_renewed_in_work_at_half_of_its_time(agent: Agent, agent_uri: str) -> None:
    clock = Clock()
    protection = protection_by(agent_uri, minutes=2, clock=clock)
    assert protection.ready(always)
    clock.now += 59
    protection.renew_if_due()
    assert agent.wishes == [True]
    clock.now += 2
    protection.renew_if_due()
    protection.renew_if_due()
    assert agent.wishes == [True, True]


def test_protection_that_ran_out_is_asked_for_before_the_next_claim(agent: Agent, agent_uri: str) -> None:
    clock = Clock()
    protection = protection_by(agent_uri, minutes=2, clock=clock)
    assert protection.ready(always)
    clock.now += 121
    agent.reply = refusal("DEPLOYMENT_BLOCKED")
    assert not protection.ready(always)


def test_the_loop_claims_only_after_the_agent_said_yes(agent: Agent, agent_uri: str) -> None:
    events: list[str] = []
    agent.note = lambda: events.append("agent")
    left = [True, True]

    def work_once() -> bool:
        events.append("claim")
        return bool(left and left.pop())

    quick = Settings(ecs_agent_uri=agent_uri, poll_seconds=0.01)
    loop = WorkerLoop("test", work_once, lambda: 0, quick, has_work=lambda: bool(left))
    assert loop.run(idle_exit_sec=0.3) == 0
    assert events == ["agent", "claim", "claim", *["claim"] * EMPTY_CLAIMS_BEFORE_DROP, "agent"]
    assert agent.wishes == [True, False]


def test_the_loop_claims_nothing_when_it_is_refused(agent: Agent, agent_uri: str) -> None:
    agent.reply = refusal("DEPLOYMENT_BLOCKED")
    claims: list[bool] = []
    quick = Settings(ecs_agent_uri=agent_uri, poll_seconds=0.01)
    WorkerLoop("test", lambda: claims.append(True) or True, lambda: 0, quick).run(idle_exit_sec=0.2)
    assert claims == []


def test_protection_is_dropped_when_the_worker_ends(agent: Agent, agent_uri: str) -> None:
    quick = Settings(ecs_agent_uri=agent_uri)
    WorkerLoop("test", always, lambda: 0, quick).run(once=True)
    assert agent.wishes == [True, False]


def test_it_can_be_turned_off(agent: Agent, agent_uri: str) -> None:
    off = Settings(ecs_agent_uri=agent_uri, scale_in_protection="off")
    WorkerLoop("test", always, lambda: 0, off).run(once=True)
    assert agent.wishes == []
