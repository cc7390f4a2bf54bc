"""Reads the log of every write to the queue and says which promise was broken by whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import text

from backend.db.engine import Database
from backend.states import CHUNK_MOVES, JOB_MOVES, ChunkStatus, JobStatus

INSTALL = Path(__file__).with_name("audit.sql")


@dataclass(frozen=True)
class Move:
    """One version of a row: what it was (None: it did not exist), what it became, and whose session wrote it."""

    what: str
    id: str
    writer: str
    old: dict[str, Any] | None
    new: dict[str, Any]

    @property
    def is_claim(self) -> bool:
        return self.old is not None and self.new["attempts"] != self.old["attempts"]

    def rise(self, column: str) -> int:
        return int(self.new[column] - (self.old[column] if self.old else 0))

    def becomes(self, status: str) -> bool:
        return self.new["status"] == status and (self.old is None or self.old["status"] != status)

    def __str__(self) -> str:
        seen = ("status", "attempts", "failures", "claimed_by", "lease_expires_at")
        versions = [{name: row[name] for name in seen} if row else None for row in (self.old, self.new)]
        return f"{self.what} {self.id} by {self.writer!r}: {versions[0]} -> {versions[1]}"


def install(database: Database) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql(INSTALL.read_text())


def moves(database: Database) -> list[Move]:
    """Grouped by row, in the order in which each row changed."""
    query = text("SELECT what, id, writer, old, new FROM chaos.moves ORDER BY what, id, seq")
    with database.transaction() as connection:
        return [Move(**row) for row in connection.execute(query).mappings()]


def broken_promises(found: Sequence[Move]) -> list[str]:
    """One sentence for each; empty when the queue kept its word. Only jobs that ran to their end may be in it."""
    broken = []
    for _, versions in groupby(found, key=lambda move: (move.what, move.id)):
        row = list(versions)
        broken += [f"{promise}: {move}" for move in row for promise in _broken_by(move)]
        broken += _strangers(row)
        broken += _of_chunk(row) if row[0].what == "chunk" else _of_job(row)
    return broken


def _broken_by(move: Move) -> Iterable[str]:
    """What a single write can break."""
    if move.old is None:
        if (move.new["status"], move.new["attempts"], move.new["failures"]) != ("queued", 0, 0):
            yield "a row begins queued, never tried"
        return
    before, after = move.old["status"], move.new["status"]
    allowed: Iterable[str] = CHUNK_MOVES[ChunkStatus(before)] if move.what == "chunk" else JOB_MOVES[JobStatus(before)]
    if before != after and after not in allowed:
        yield "no such move"
    if move.rise("attempts") not in (0, 1):
        yield "a claim raises attempts by one, and nothing lowers them"
    if move.is_claim and not _takes_free_row(move):
        yield "only a free row is claimed"
    if not move.is_claim and move.what == "chunk" and (before, after) == ("queued", "processing"):
        yield "every claim raises attempts"
    if move.rise("failures") not in (0, 1) and not _is_fresh_start(move):
        yield "failures rise by one"
    if move.rise("failures") > 0 and move.new["lease_expires_at"] is not None:
        yield "a failure ends the claim"
    if before in ("completed", "done") and move.old != move.new:
        yield "what is finished stays as it is"


def _takes_free_row(move: Move) -> bool:
    assert move.old is not None
    free = move.old["lease_expires_at"] is None and move.new["lease_expires_at"] is not None
    return free and (move.what == "job" or (move.old["status"], move.new["status"]) == ("queued", "processing"))


def _is_fresh_start(move: Move) -> bool:
    """Only planning's end, a phase's beginning and a retry set failures back."""
    assert move.old is not None
    return move.new["failures"] == 0 and (_begins_phase(move) or move.old["status"] == "failed")


def _begins_phase(move: Move) -> bool:
    """It brought chunks."""
    return move.what == "job" and (move.new["total_chunks"] or 0) > ((move.old or {}).get("total_chunks") or 0)


def _strangers(row: Sequence[Move]) -> Iterable[str]:
    """Writes that only the holder of the row's last claim may make, made by someone else's session."""
    holder, attempts = "", 0
    for move in row:
        if move.is_claim:
            holder, attempts = move.writer, move.new["attempts"]
            if move.new["claimed_by"] != holder:
                yield f"a claim names its worker: {move}"
            continue
        beat = move.old is not None and _renews(move.old["lease_expires_at"], move.new["lease_expires_at"])
        begins = move.old is not None and _begins_phase(move)
        finishes = begins or move.becomes("completed") or move.becomes("done")
        if (beat or finishes) and (move.writer != holder or move.new["attempts"] != attempts):
            yield f"held by {holder!r}, written by a stale claim: {move}"
        if _is_given_up(move) and move.writer != holder:
            yield f"taken from {holder!r} without counting a failure: {move}"


def _renews(before: str | None, after: str | None) -> bool:
    return after is not None and after != before


def _is_given_up(move: Move) -> bool:
    """The claim ended, and neither with success nor as a failure: only its holder may do that, when it drains."""
    if move.old is None or move.old["lease_expires_at"] is None or move.new["lease_expires_at"] is not None:
        return False
    return move.rise("failures") == 0 and move.new["status"] == (
        "queued" if move.what == "chunk" else move.old["status"]
    )


def _of_chunk(row: Sequence[Move]) -> Iterable[str]:
    claims = sum(move.is_claim for move in row)
    last = row[-1].new
    if last["attempts"] != claims:
        yield f"{claims} claims were seen, attempts say {last['attempts']}: {row[-1]}"
    completions = sum(move.becomes("completed") for move in row)
    if completions != 1 or last["status"] != "completed":
        yield f"completed {completions} times instead of once: {row[-1]}"
    ends = Counter(_end(move) for move in row if move.old and move.old["status"] == "processing")
    if sum(ends.values()) - ends["goes on"] != claims:
        yield f"{claims} claims, but they ended as {dict(ends)}: {row[-1]}"
    if last["failures"] != ends["failed"]:
        yield f"{ends['failed']} tries ended badly, failures say {last['failures']}: {row[-1]}"


def _end(move: Move) -> str:
    """How this write ends a claim."""
    if move.new["status"] == "processing":
        return "goes on"
    if move.new["status"] == "completed":
        return "completed"
    return "failed" if move.rise("failures") == 1 else "released"


def _of_job(row: Sequence[Move]) -> Iterable[str]:
    claims = sum(move.is_claim for move in row)
    last = row[-1].new
    if last["attempts"] != claims:
        yield f"{claims} claims were seen, attempts say {last['attempts']}: {row[-1]}"
    phases = sum(_begins_phase(move) for move in row)
    for status, expected in (("processing", phases), ("aggregating", phases), ("done", 1)):
        times = sum(move.becomes(status) for move in row)
        if times != expected:
            yield f"moved to {status} {times} times instead of {expected}: {row[-1]}"
    counts = [move.new["completed_chunks"] for move in row]
    if counts != sorted(counts) or last["completed_chunks"] != last["total_chunks"]:
        yield f"completed_chunks went {counts}: {row[-1]}"
