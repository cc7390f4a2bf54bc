"""The states: every one has its moves, final ones have none, and the tables allow exactly these."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import pytest
from sqlalchemy import CheckConstraint

from backend.db.models import Chunk, Job
from backend.states import (
    CHUNK_MOVES,
    FINAL_JOB_STATUSES,
    JOB_MOVES,
    ChunkStatus,
    DeepMode,
    JobStatus,
    Stage,
)


def test_every_state_has_its_moves() -> None:
    assert set(JOB_MOVES) == set(JobStatus)
    assert set(CHUNK_MOVES) == set(ChunkStatus)


def test_final_states_have_no_moves_but_the_retry_of_a_failure() -> None:
    assert {status for status, moves in JOB_MOVES.items() if not moves} == {JobStatus.DONE, JobStatus.CANCELLED}
    assert {JobStatus.DONE, JobStatus.CANCELLED, JobStatus.FAILED} == FINAL_JOB_STATUSES
    assert JOB_MOVES[JobStatus.FAILED] == {JobStatus.QUEUED, JobStatus.AGGREGATING}
    assert {status for status, moves in CHUNK_MOVES.items() if not moves} == {ChunkStatus.COMPLETED}


def test_whatever_is_not_over_can_fail_and_be_cancelled() -> None:
    for status in set(JobStatus) - FINAL_JOB_STATUSES:
        assert {JobStatus.FAILED, JobStatus.CANCELLED} <= JOB_MOVES[status]


@pytest.mark.parametrize("moves", [JOB_MOVES, CHUNK_MOVES], ids=["job", "chunk"])
def test_every_state_can_be_reached_from_the_first_and_no_move_stands_still(moves: dict) -> None:  # type: ignore[type-arg]
    first = next(iter(moves))
    reached, pending = set(), [first]
    while pending:
        state = pending.pop()
        assert state not in moves[state]
        if state not in reached:
            reached.add(state)
            pending.extend(moves[state])
    assert reached == set(moves)


@pytest.mark.parametrize(
    ("model", "column", "values"),
    [
        (Job, "status", JobStatus),
        (Job, "stage", Stage),
        (Job, "deep_mode", DeepMode),
    ],
)
def test_the_check_constraint_is_made_from_the_enum(model: type, column: str, values: type[StrEnum]) -> None:
    checks = [c for c in model.__table__.constraints if isinstance(c, CheckConstraint)]  # type: ignore[attr-defined]
    (check,) = [c for c in checks if c.name == f"{column}_known"]
    assert str(check.sqltext).split("'")[1::2] == [value.value for value in values]


def test_the_domain_of_a_chunks_status_is_made_from_the_enum() -> None:
    domain = Chunk.__table__.c.status.type  # type: ignore[attr-defined]
    assert str(domain.check).split("'")[1::2] == [status.value for status in ChunkStatus]


@pytest.mark.parametrize(("heading", "moves"), [("## Job", JOB_MOVES), ("## Chunk", CHUNK_MOVES)], ids=["job", "chunk"])
def test_the_diagram_in_the_docs_shows_exactly_these_moves(heading: str, moves: dict) -> None:  # type: ignore[type-arg]
    page = (Path(__file__).resolve().parents[2] / "docs" / "state_machine.md").read_text()
    diagram = page.split(heading, 1)[1].split("```mermaid", 1)[1].split("```", 1)[0]
    edges = set(re.findall(r"^ +(\w+) --> (\w+)", diagram, flags=re.MULTILINE))
    assert edges == {(state.value, after.value) for state, states in moves.items() for after in states}
