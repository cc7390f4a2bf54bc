"""How a kind looks at its source before the job is planned: as a video, as sound, or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from backend.kinds.base import SourceType
from backend.media.budget import most_frames
from backend.media.facts import POSTER_PX, VideoFacts, poster_size
from backend.media.limits import Limits
from backend.media.ring import FrameRing
from backend.media.sandbox import MediaProcess
from backend.media.sound_facts import Probed, SoundFacts
from backend.settings import Settings
from backend.storage.range_reader import RangeReader

PROBE_THREADS = 2
JPEG_QUALITY = 82


@dataclass(frozen=True)
class Seen:
    """What a look brought. `poster`: a JPEG of a video's first frame, where one could be made."""

    probed: Probed
    poster: bytes | None = None


def look(source: SourceType, reader: RangeReader, settings: Settings, check: Callable[[], None] = lambda: None) -> Seen:
    """Raises a MediaError for what is not of that type, SandboxTimeout after PROBE_SECONDS, and what `check` raises."""
    match source:
        case SourceType.VIDEO:
            return look_at_video(reader, settings, check)
        case SourceType.SOUND:
            return Seen(SoundFacts.model_validate(_looked("probe_sound", {}, reader, settings, check)))
        case SourceType.BYTES:
            return Seen(None)


def probe_source(reader: RangeReader, settings: Settings, check: Callable[[], None] = lambda: None) -> VideoFacts:
    """Facts of a video, parsed in a child process.

    Raises a MediaError for what is no video, SandboxTimeout after PROBE_SECONDS, and what `check` raises.
    """
    found = _looked("probe", _probe_order(reader, settings), reader, settings, check)
    return VideoFacts.model_validate(found)


def look_at_video(reader: RangeReader, settings: Settings, check: Callable[[], None] = lambda: None) -> Seen:
    """As `probe_source`, with the poster."""
    ring = FrameRing(1, POSTER_PX * POSTER_PX * 3)
    try:
        found = _looked("probe", _probe_order(reader, settings), reader, settings, check, ring)
        has_poster = found.pop("has_poster", False) is True
        facts = VideoFacts.model_validate(found)
        return Seen(facts, _jpeg(ring.slot(0), poster_size(facts)) if has_poster else None)
    finally:
        ring.close()


def _probe_order(reader: RangeReader, settings: Settings) -> dict[str, Any]:
    frames = most_frames(settings, reader.size_bytes)
    return {"max_pixels": settings.max_pixels, "threads": PROBE_THREADS, "max_frames": frames}


def _looked(
    operation: str,
    params: dict[str, Any],
    reader: RangeReader,
    settings: Settings,
    check: Callable[[], None],
    ring: FrameRing | None = None,
) -> dict[str, Any]:
    with MediaProcess(
        operation,
        params,
        reader,
        Limits.of(settings),
        ring=ring,
        check=check,
        total_sec=settings.probe_seconds,
    ) as process:
        for _ in process.messages():  # a probe says nothing until its result
            continue
        return process.result


def _jpeg(pixels: memoryview, size: tuple[int, int]) -> bytes:
    """Of rows of BGR. Whatever they show, the file is our own."""
    from PIL import Image  # for planners alone

    width, height = size
    # A copy: a mapping that is still looked at cannot be closed.
    picture = np.frombuffer(pixels, np.uint8, width * height * 3).reshape(height, width, 3)[..., ::-1].copy()
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()
