"""Who sends which metric, and the rules that scale on it: ours, and what others do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.fleet.rules import Rules, Statistic, TargetTracking


@dataclass(frozen=True)
class Figures:
    """What the rows say at a moment."""

    queued: int
    processing: int
    running: int
    wanted: int


class Emitter:
    """What an analysis worker sends: backend/db/sql/queue_metrics.sql."""

    def __init__(self, knows_wanted: bool) -> None:
        self._knows_wanted = knows_wanted

    def metrics(self, seen: Figures) -> Mapping[str, float]:
        known = seen.wanted if self._knows_wanted else seen.running
        workers = max(seen.running, known, 1)
        return {
            "QueuedChunkCount": seen.queued,
            "BacklogPerWorker": (seen.queued + seen.processing) / workers,
            "BusyShare": min(seen.processing + 1, workers) / workers,
            "QueuedWithoutWorkers": seen.queued if known == 0 else 0,
        }


class WorkersSend(Emitter):
    """As the coach did: each GPU worker sends the queue's length. No worker, no metric."""

    def __init__(self) -> None:
        super().__init__(knows_wanted=False)

    def metrics(self, seen: Figures) -> Mapping[str, float]:
        return {"QueuedChunkCount": seen.queued} if seen.running else {}


@dataclass(frozen=True)
class Policy:
    name: str
    rules: Rules | None  # None: always so many as at the beginning
    emitter: Emitter
    begin_with: int = 0


def raw_queue(ours: Rules, min_capacity: int) -> Rules:
    """The raw queue's length as the target, cooldowns and bounds the same."""
    target = ours.inputs.target_value
    raw = TargetTracking(
        name="raw-queue-length", metric_name="QueuedChunkCount", statistic=Statistic.AVERAGE,
        target_value=target, scale_out_cooldown_seconds=60, scale_in_cooldown_seconds=300,
        disable_scale_in=False, why="What the coach had.",
    )  # fmt: skip
    return ours.model_copy(update={"min_capacity": min_capacity, "target_tracking": (raw,), "step_scaling": ()})


def compared(ours: Rules, fixed: Sequence[int] = (3,)) -> list[Policy]:
    kept = ours.model_copy(update={"min_capacity": 1})
    return [
        Policy("raw queue, sent by workers", raw_queue(ours, 0), WorkersSend()),
        Policy("the same, one worker kept", raw_queue(ours, 1), WorkersSend(), begin_with=1),
        Policy("backlog per running worker", ours, Emitter(knows_wanted=False)),
        Policy("ours: per wanted worker", ours, Emitter(knows_wanted=True)),
        Policy("ours, one worker kept", kept, Emitter(knows_wanted=True), begin_with=1),
        *(Policy(f"always {count}", None, Emitter(knows_wanted=True), begin_with=count) for count in fixed),
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so many are not above; infinite where there are none, as somebody who waits would say."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)] if ranked else math.inf
