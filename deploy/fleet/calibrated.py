"""From what the rows of a real run say to what the simulation is fed with, and what it then predicts of another run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import fmean
from typing import Any, Self

from deploy.fleet.costs import Costs, Losses
from deploy.fleet.simulation import Setting, one_video

SHARED = 0.9  # of its time beside another: such a chunk tells how much two slow each other


@dataclass(frozen=True)
class WorkedChunk:
    """Seconds after the job was created, and of video."""

    worker: str
    began_sec: float
    ended_sec: float
    runtime_sec: float
    video_sec: float


@dataclass(frozen=True)
class Run:
    """One real job on one machine, rendered in one go."""

    video_sec: float
    total_sec: float
    chunks: Sequence[WorkedChunk]
    timings: Mapping[str, float]  # seconds by stage, of the job's row

    @classmethod
    def of(cls, job: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Self:
        """From the job's resource with `seconds`, and its chunks' resources. Raises ValueError where it is not done."""
        if job["status"] != "done" or any(row["status"] != "completed" for row in rows):
            raise ValueError(f"job {job['id']} is not done")
        created = datetime.fromisoformat(job["created_at"])

        def after(time: str) -> float:
            return (datetime.fromisoformat(time) - created).total_seconds()

        chunks = [
            WorkedChunk(
                row["claimed_by"] or "",
                after(row["started_at"]),
                after(row["completed_at"]),
                row["runtime_ms"] / 1000,
                row["end_sec"] - row["start_sec"],
            )
            for row in rows
        ]
        chunks.sort(key=lambda chunk: chunk.began_sec)
        return cls(job["video"]["duration_seconds"], after(job["completed_at"]), chunks, job["seconds"])

    @property
    def first_claims_sec(self) -> list[float]:
        """When each worker began."""
        first: dict[str, float] = {}
        for chunk in self.chunks:
            first.setdefault(chunk.worker, chunk.began_sec)
        return sorted(first.values())


def costs_of(alone: Run, overlap_sec: float, chunk_sec: float) -> Costs:
    """Of a run with one worker."""
    detected_sec = [chunk.video_sec + overlap_sec for chunk in alone.chunks]
    gaps_sec = [after.began_sec - before.ended_sec for before, after in pairwise(alone.chunks)]
    last_sec = max(chunk.ended_sec for chunk in alone.chunks)
    solve_sec, render_sec = alone.timings["stitch_and_path"], alone.timings["render"]
    return Costs(
        start_sec=alone.chunks[0].began_sec,
        detect_rate=sum(chunk.runtime_sec for chunk in alone.chunks) / sum(detected_sec),
        chunk_fixed_sec=fmean(gaps_sec) if gaps_sec else 0.0,
        chunk_sec=chunk_sec,
        overlap_sec=overlap_sec,
        solve_rate=solve_sec / alone.video_sec,
        whole_render_rate=render_sec / alone.video_sec,
        upload_sec=alone.total_sec - last_sec - solve_sec - render_sec,  # and handing over
        fanout_sec=math.inf,
    )


def slowdown(alone: Run, together: Run) -> float:
    """How many times longer a chunk takes while another is worked on beside it."""
    beside = [chunk for chunk in together.chunks if _shared(chunk, together.chunks) >= SHARED]
    if not beside:
        raise ValueError("no two chunks were worked on at the same time: take a longer video")
    return _pace(beside) / _pace(alone.chunks)


def _pace(chunks: Sequence[WorkedChunk]) -> float:
    return sum(chunk.runtime_sec for chunk in chunks) / sum(chunk.video_sec for chunk in chunks)


def _shared(chunk: WorkedChunk, others: Sequence[WorkedChunk]) -> float:
    """The share of its time in which another one was worked on."""
    beside_sec = sum(
        max(0.0, min(chunk.ended_sec, other.ended_sec) - max(chunk.began_sec, other.began_sec))
        for other in others
        if other is not chunk
    )
    return beside_sec / (chunk.ended_sec - chunk.began_sec)


def predicted(costs: Costs, video_sec: float, first_claims_sec: Sequence[float], slower: float) -> dict[str, float]:
    """Seconds of each stage of another video, on workers that come when they come and share the machine's cores."""
    setting = Setting(costs=costs, losses=Losses(spot_an_hour=0.0), slowdown=slower)
    return one_video(video_sec, first_claims_sec, setting)
