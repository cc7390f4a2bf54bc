"""The sound of a chunk, as far as it says when somebody speaks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from backend import telemetry
from backend.errors import MediaError, NoAudioStream
from backend.kinds.context import ChunkContext
from backend.kinds.params import Params
from backend.media.limits import Limits
from backend.media.results import opened_result
from backend.media.sandbox import MediaProcess
from backend.media.timebase import seconds
from backend.vision.speech import LEAD_SAMPLES, RATE_HZ, heard
from backend.vision.speech_record import VoiceRecord

# A chunk is a minute or so; a film without keyframes may be one. What lies beyond is silence.
LONGEST_SEC = 2 * 3600.0


def voice_of(work: ChunkContext[Params], start_pts: int) -> VoiceRecord | None:
    """From `start_pts`, the chunk's first frame, to its end. None where the film has no sound, none that can be
    decoded, or none that lies on the clock of its pictures. Raises ClaimLost from `work.report`."""
    facts = work.facts
    if not facts.has_audio or facts.clock != "pts":
        return None
    start_sec = seconds(start_pts, facts.time_base_fraction)
    order = {
        "start_sec": start_sec - LEAD_SAMPLES / RATE_HZ,
        "stop_sec": None if work.end_pts is None else seconds(work.end_pts, facts.time_base_fraction),
        "longest_sec": LONGEST_SEC,
        "rate_hz": RATE_HZ,
        "output_file": str(work.folder / "voice.pcm"),
    }
    try:
        with telemetry.part("voice"):
            return heard(_decoded(work, order), start_pts)
    except (MediaError, NoAudioStream):  # the pictures are what the job is about
        return None


def _decoded(work: ChunkContext[Params], order: Mapping[str, object]) -> np.ndarray:
    with MediaProcess(
        "voice",
        order,
        work.reader,
        Limits.of(work.settings),
        folder=work.folder,
        check=lambda: work.report(1.0),
    ) as process:
        for _ in process.messages():
            work.report(1.0)
    path = Path(str(order["output_file"]))
    with opened_result(path) as file:
        data = file.read(int(LONGEST_SEC * RATE_HZ) * 2)
    path.unlink()
    return np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int16)
