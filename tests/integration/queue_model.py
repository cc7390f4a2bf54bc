"""What the queue should do, in memory: the reference that the property tests hold the database against."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from backend.states import ChunkStatus, JobStatus

WORKABLE = (JobStatus.QUEUED, JobStatus.PROCESSING)
OPEN = (JobStatus.UPLOADING, JobStatus.QUEUED, JobStatus.PROCESSING, JobStatus.AGGREGATING)


@dataclass
class ChunkModel:
    id: int
    job: JobModel
    status: ChunkStatus = ChunkStatus.QUEUED
    attempts: int = 0
    failures: int = 0

    @property
    def is_claimable(self) -> bool:
        return self.status is ChunkStatus.QUEUED and self.job.status in WORKABLE and not self.job.paused

    def holds(self, attempts: int) -> bool:
        """Whether that claim is the one in force."""
        return self.status is ChunkStatus.PROCESSING and self.attempts == attempts

    def may(self, act: str, attempts: int) -> bool:
        """Whether a worker with that claim may do this now."""
        jobs = {"complete": (JobStatus.PROCESSING,), "heartbeat": WORKABLE}
        return self.holds(attempts) and (act not in jobs or self.job.status in jobs[act])

    def acted(self, act: str, max_attempts: int) -> None:
        match act:
            case "complete":
                self.completed()
            case "fail" | "fail for good":
                self.failed(max_attempts, permanent=act == "fail for good")
                self.end_its_job()
            case "release":
                self.status = ChunkStatus.QUEUED if self.job.status in WORKABLE else ChunkStatus.FAILED

    def claimed(self) -> None:
        self.status = ChunkStatus.PROCESSING
        self.attempts += 1
        self.job.status = JobStatus.PROCESSING

    def completed(self) -> None:
        self.status = ChunkStatus.COMPLETED
        if self.job.completed == len(self.job.chunks):
            self.job.status = JobStatus.AGGREGATING

    def failed(self, max_attempts: int, *, permanent: bool = False) -> None:
        """A try that ended badly; the chunk's end is the job's end too."""
        self.failures += 1
        if permanent or self.failures >= max_attempts or self.job.status not in WORKABLE:
            self.status = ChunkStatus.FAILED
        else:
            self.status = ChunkStatus.QUEUED

    def end_its_job(self) -> None:
        if self.status is ChunkStatus.FAILED:
            self.job.ended_by_chunk()

    def row(self) -> tuple[Any, ...]:
        return (str(self.status), self.attempts, self.failures, self.status is ChunkStatus.PROCESSING)


@dataclass
class JobModel:
    """`leased`: claimed for planning or aggregation."""

    id: UUID
    is_planned: bool
    status: JobStatus = JobStatus.QUEUED
    attempts: int = 0
    failures: int = 0
    leased: bool = False
    paused: bool = False
    chunks: list[ChunkModel] = field(default_factory=list)

    @property
    def completed(self) -> int:
        return sum(chunk.status is ChunkStatus.COMPLETED for chunk in self.chunks)

    def is_claimable(self, status: JobStatus) -> bool:
        fits = self.status is status and (status is not JobStatus.QUEUED or not self.is_planned)
        return fits and not self.leased and not self.paused

    def may(self, act: str, status: JobStatus, attempts: int) -> bool:
        """Whether a worker with that claim, made in that status, may do this now."""
        holds = self.leased and (self.status, self.attempts) == (status, attempts)
        return holds and (act != "finish" or status is JobStatus.AGGREGATING)

    def acted(self, act: str, max_attempts: int) -> None:
        match act:
            case "finish":
                self.status, self.leased, self.paused = JobStatus.DONE, False, False
            case "fail" | "fail for good":
                self.failed(max_attempts, permanent=act == "fail for good")
            case "release":
                self.leased = False

    def wished(self, wish: str) -> None:
        match wish:
            case "cancel":
                self._stop_queued()
                self.status, self.leased, self.paused = JobStatus.CANCELLED, False, False
            case "retry":
                self.retried()
            case "pause" | "resume":
                self.paused = wish == "pause"

    def claimed(self) -> None:
        self.attempts += 1
        self.leased = True

    def failed(self, max_attempts: int, *, permanent: bool = False) -> None:
        self.failures += 1
        self.leased = False
        if permanent or self.failures >= max_attempts:
            self.status, self.paused = JobStatus.FAILED, False

    def ended_by_chunk(self) -> None:
        self._stop_queued()
        if self.status in WORKABLE:
            self.status, self.paused = JobStatus.FAILED, False

    def retried(self) -> None:
        for chunk in self.chunks:
            if chunk.status is not ChunkStatus.COMPLETED:
                chunk.status, chunk.failures = ChunkStatus.QUEUED, 0
        whole = self.is_planned and self.completed == len(self.chunks)
        self.status = JobStatus.AGGREGATING if whole else JobStatus.QUEUED
        self.failures, self.leased = 0, False

    def row(self) -> tuple[Any, ...]:
        return (str(self.status), self.attempts, self.failures, self.leased, self.paused)

    def _stop_queued(self) -> None:
        for chunk in self.chunks:
            if chunk.status is ChunkStatus.QUEUED:
                chunk.status = ChunkStatus.FAILED
