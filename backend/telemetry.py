"""What code that works says about itself: `working` around one try, `part` around a stage of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TypeVar

from backend import tracing
from backend.counters import STAGE_SECONDS, WORK_SECONDS
from backend.errors import FramefleetError
from backend.events import Event, error, warn

Work = Literal["plan", "chunk", "aggregate"]
Item = TypeVar("Item")
# By name: a drain is raised by the workers, which are above this module.
OUTCOMES = {"ClaimLost": "lost", "Drain": "released"}

_parts: ContextVar[dict[str, float] | None] = ContextVar("parts", default=None)


@contextmanager
def working(work: Work, trace_context: str | None, **ids: Any) -> Iterator[None]:
    """Measures one try, and makes it a span of its job's trace. `ids` (`job_id` and more) are the span's attributes."""
    parts: dict[str, float] = {}
    token = _parts.set(parts)
    began, outcome = time.monotonic(), "ok"
    try:
        with tracing.span(work, trace_context or tracing.job_trace(ids["job_id"]), ids, "consumer"):
            yield
    except BaseException as failure:
        outcome = OUTCOMES.get(type(failure).__name__, "failed")
        raise
    finally:
        _parts.reset(token)
        WORK_SECONDS.labels(work, outcome).observe(time.monotonic() - began)
        for stage, seconds in parts.items():
            STAGE_SECONDS.labels(work, stage).observe(seconds)


@contextmanager
def part(stage: str) -> Iterator[None]:
    """Adds the block's seconds to a stage of the try that goes on in this thread."""
    began = time.perf_counter()
    try:
        yield
    finally:
        add_parts({stage: time.perf_counter() - began})


def poll_failed(failure: Exception, **ids: Any) -> None:
    """Tells of a failure that is no claim's: whoever asks the queue goes on. A trace where nobody foresaw it."""
    if isinstance(failure, FramefleetError):
        warn(Event.WORKER_POLL_FAILED, **ids, error_code=failure.code, message=failure.message)
    else:
        error(Event.WORKER_POLL_FAILED, **ids, exc_info=failure)


def add_parts(seconds: Mapping[str, float]) -> None:
    """Adds seconds that were measured elsewhere, by stage."""
    parts = _parts.get()
    if parts is not None:
        for stage, value in seconds.items():
            parts[stage] = parts.get(stage, 0.0) + value


def waiting(stage: str, items: Iterable[Item]) -> Iterator[Item]:
    """The same items; the time until each comes counts as that stage."""
    iterator = iter(items)
    while True:
        with part(stage):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item
