"""What the API answers, typed. `raw` is the whole answer; fields that a newer server adds are in it alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FINAL_STATUSES = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True)
class Output:
    """`url` is a path of the API, `uri` where the result lies."""

    uri: str
    url: str
    content_type: str
    size_bytes: int | None


@dataclass(frozen=True)
class JobError:
    code: str
    message: str
    retryable: bool


@dataclass(frozen=True)
class Job:
    id: str
    kind: str
    status: str  # uploading, queued, processing, aggregating, done, failed, cancelled
    stage: str
    progress_pct: int
    eta_seconds: int | None
    paused: bool
    input_name: str
    params: dict[str, Any]
    output: Output | None  # of a job that is done
    error: JobError | None  # of a job that failed
    warnings: list[str]
    created_at: str
    started_at: str | None
    completed_at: str | None
    links: dict[str, str]
    raw: dict[str, Any] = field(repr=False)

    @property
    def is_over(self) -> bool:
        return self.status in FINAL_STATUSES

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Job:
        output, error = raw["output"], raw["error"]
        return cls(
            id=raw["id"],
            kind=raw["kind"],
            status=raw["status"],
            stage=raw["stage"],
            progress_pct=raw["progress_pct"],
            eta_seconds=raw["eta_seconds"],
            paused=raw["paused"],
            input_name=raw["input"]["name"],
            params=raw.get("params") or {},
            output=Output(output["uri"], output["url"], output["content_type"], output["size_bytes"])
            if output
            else None,
            error=JobError(error["code"], error["message"], error["retryable"]) if error else None,
            warnings=list(raw["warnings"]),
            created_at=raw["created_at"],
            started_at=raw["started_at"],
            completed_at=raw["completed_at"],
            links=dict(raw["links"]),
            raw=raw,
        )


@dataclass(frozen=True)
class Delivery:
    """A message to a job's webhook, and what became of it."""

    id: str
    type: str
    status: str  # pending, delivered, dead
    tries: int
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Delivery:
        return cls(raw["id"], raw["type"], raw["status"], raw["tries"], raw)
