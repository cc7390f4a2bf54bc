"""Jobs on their way: planned, detected chunk by chunk, solved, rendered piece by piece, joined."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deploy.fleet.costs import Costs
from deploy.fleet.events import Cores, EventLoop


@dataclass
class SimulatedJob:
    number: int
    arrived_sec: float
    video_sec: float
    left_in_phase: int = 0
    done_sec: float | None = None
    stages: dict[str, float] | None = None  # when each stage was over

    @property
    def latency_sec(self) -> float | None:
        return None if self.done_sec is None else self.done_sec - self.arrived_sec


@dataclass(frozen=True)
class SimulatedChunk:
    job: SimulatedJob
    index: int
    work_sec: float
    completed: Callable[[], None]


class ChunkQueue:
    """Hands out by index, then by age of the job: a small job never waits behind a big one's thousand chunks."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, int, SimulatedChunk]] = []
        self._number = 0
        self.in_work = 0
        self.filled: Callable[[], None] = lambda: None  # somebody may claim now

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, chunks: Sequence[SimulatedChunk]) -> None:
        for chunk in chunks:
            self._number += 1
            heapq.heappush(self._waiting, (chunk.index, chunk.job.number, self._number, chunk))
        self.filled()

    def claim(self) -> SimulatedChunk | None:
        if not self._waiting:
            return None
        self.in_work += 1
        return heapq.heappop(self._waiting)[-1]

    def complete(self, chunk: SimulatedChunk) -> None:
        self.in_work -= 1
        chunk.completed()

    def give_back(self, chunk: SimulatedChunk) -> None:
        self.in_work -= 1
        self.put([chunk])


class Analysts:
    """The analysis workers: one task each, first come, first served."""

    def __init__(self, loop: EventLoop, count: int, cores: Cores) -> None:
        self._loop, self._cores = loop, cores
        self._free = count
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()

    def take(self, work_sec: float, done: Callable[[], None]) -> None:
        self._waiting.append((work_sec, done))
        self._next()

    def _next(self) -> None:
        if not self._free or not self._waiting:
            return
        self._free -= 1
        work_sec, done = self._waiting.popleft()

        def over() -> None:
            self._free += 1
            done()
            self._next()

        self._cores.start(work_sec, over)


class Jobs:
    """Moves every job through its stages. `workers` says how many chunk workers live."""

    def __init__(
        self, loop: EventLoop, queue: ChunkQueue, analysts: Analysts, costs: Costs, workers: Callable[[], int]
    ) -> None:
        self._loop, self._queue, self._analysts, self._costs, self._workers = loop, queue, analysts, costs, workers
        self.all: list[SimulatedJob] = []
        self.undone = 0

    def arrive(self, video_sec: float) -> None:
        job = SimulatedJob(len(self.all), self._loop.now_sec, video_sec, stages={})
        self.all.append(job)
        self.undone += 1
        self._loop.after(self._costs.start_sec, lambda: self._detect(job))

    def _detect(self, job: SimulatedJob) -> None:
        self._over(job, "start")
        self._fan_out(job, self._costs.chunks(job.video_sec), lambda: self._solve(job))

    def _solve(self, job: SimulatedJob) -> None:
        self._over(job, "detect")
        self._analysts.take(self._costs.solve(job.video_sec), lambda: self._render(job))

    def _render(self, job: SimulatedJob) -> None:
        self._over(job, "solve")
        pieces = self._costs.pieces(job.video_sec, self._workers())
        if pieces:
            self._fan_out(job, pieces, lambda: self._finish(job, in_pieces=True))
        else:
            self._finish(job, in_pieces=False)

    def _finish(self, job: SimulatedJob, in_pieces: bool) -> None:
        self._over(job, "render")
        self._analysts.take(self._costs.finish(job.video_sec, in_pieces), lambda: self._done(job))

    def _done(self, job: SimulatedJob) -> None:
        self._over(job, "join, upload")
        job.done_sec = self._loop.now_sec
        self.undone -= 1

    def _fan_out(self, job: SimulatedJob, works_sec: Sequence[float], then: Callable[[], None]) -> None:
        job.left_in_phase = len(works_sec)

        def completed() -> None:
            job.left_in_phase -= 1
            if job.left_in_phase == 0:
                then()

        self._queue.put([SimulatedChunk(job, index, seconds, completed) for index, seconds in enumerate(works_sec)])

    def _over(self, job: SimulatedJob, stage: str) -> None:
        assert job.stages is not None
        job.stages[stage] = self._loop.now_sec
