"""How a kind looks at its source before the job is planned: as a video, as sound, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backend.kinds.base import SourceType
from backend.media.budget import most_frames
from backend.media.facts import VideoFacts
from backend.media.limits import Limits
from backend.media.sandbox import MediaProcess
from backend.media.sound_facts import Probed, SoundFacts
from backend.settings import Settings
from backend.storage.range_reader import RangeReader

PROBE_THREADS = 2


def look(
    source: SourceType, reader: RangeReader, settings: Settings, check: Callable[[], None] = lambda: None
) -> Probed:
    """Raises a MediaError for what is not of that type, SandboxTimeout after PROBE_SECONDS, and what `check` raises."""
    match source:
        case SourceType.VIDEO:
            return probe_source(reader, settings, check)
        case SourceType.SOUND:
            return SoundFacts.model_validate(_looked("probe_sound", {}, reader, settings, check))
        case SourceType.BYTES:
            return None


def probe_source(reader: RangeReader, settings: Settings, check: Callable[[], None] = lambda: None) -> VideoFacts:
    """Facts of a video, parsed in a child process.

    Raises a MediaError for what is no video, SandboxTimeout after PROBE_SECONDS, and what `check` raises.
    """
    frames = most_frames(settings, reader.size_bytes)
    params = {"max_pixels": settings.max_pixels, "threads": PROBE_THREADS, "max_frames": frames}
    return VideoFacts.model_validate(_looked("probe", params, reader, settings, check))


def _looked(
    operation: str, params: dict[str, Any], reader: RangeReader, settings: Settings, check: Callable[[], None]
) -> dict[str, Any]:
    with MediaProcess(
        operation,
        params,
        reader,
        Limits.of(settings),
        check=check,
        total_sec=settings.probe_seconds,
    ) as process:
        for _ in process.messages():  # a probe says nothing until its result
            continue
        return process.result
