"""Job kind `audio_trim`: a piece of a file's sound, exact to the sample, as a file of its own."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path
from typing import Any

from pydantic import Field

from backend.kinds.base import Done, Kind, Phase, SourceType, Whole
from backend.kinds.context import WholeContext
from backend.kinds.output_type import OutputType
from backend.kinds.params import Params
from backend.media.limits import Limits
from backend.media.results import check_result
from backend.media.sandbox import MediaProcess
from backend.states import Stage

SOUND_TYPES = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
}
LONGEST_SEC = 10.0**7
# Less is the roundness of clocks.
SHORT_SEC = 0.01


class AudioTrimParams(Params):
    start_sec: float = Field(0.0, ge=0, le=LONGEST_SEC, description="where the piece begins")
    duration_sec: float | None = Field(None, gt=0, le=LONGEST_SEC, description="how long it is; null: to the end")


class TrimSound(Whole[AudioTrimParams]):
    weight = 100.0
    stage = Stage.RENDERING
    words = "trimming the sound"

    def work(self, context: WholeContext[AudioTrimParams]) -> Done:
        """Raises MediaUndecodable, EncodeFailed, and InvalidParams when the sound ends before the start."""
        began = time.monotonic()
        target = context.folder / f"output{context.ending}"
        counts = _run(context, str(target))
        return Done(target, warnings=_told(counts, context.params), seconds={"trim": time.monotonic() - began})


def _run(context: WholeContext[AudioTrimParams], target: str) -> dict[str, Any]:
    settings, params = context.settings, context.params
    share = 0.0
    order = {
        "start_sec": _exact(params.start_sec),
        "duration_sec": None if params.duration_sec is None else _exact(params.duration_sec),
        "ending": context.ending,
        "output_file": target,
    }
    expected_sec = params.start_sec + params.duration_sec if params.duration_sec else context.sound.duration_seconds
    with MediaProcess(
        "trim",
        order,
        context.open_reader(),
        Limits.of(settings),
        folder=context.folder,
        check=lambda: context.report(share),
    ) as process:
        for message in process.messages():
            share = min(1.0, float(message["sec"]) / expected_sec) if expected_sec else 0.0
            context.report(share)
        result = process.result
    check_result(Path(target))
    return result


def _told(counts: dict[str, Any], params: AudioTrimParams) -> list[str]:
    warnings = []
    got_sec = int(counts["samples"]) / int(counts["sample_rate"])
    if params.duration_sec is not None and got_sec < params.duration_sec - SHORT_SEC:
        warnings.append(f"The sound ends after {float(counts['end_sec']):.3f} s: the piece is {got_sec:.3f} s long.")
    if counts["broken_packets"]:
        warnings.append(f"Sound packets that were broken and left out: {int(counts['broken_packets'])}.")
    return warnings


def _exact(seconds: float) -> tuple[int, int]:
    """As the request writes it: 0.1 is a tenth, not the binary number next to it."""
    return Fraction(str(seconds)).as_integer_ratio()


AUDIO_TRIM = Kind[AudioTrimParams](
    name="audio_trim",
    output=OutputType("_trimmed", SOUND_TYPES),
    params=AudioTrimParams,
    phases=(Phase[AudioTrimParams]("trim", None, TrimSound()),),
    files={},
    source=SourceType.SOUND,
)
