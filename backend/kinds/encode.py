"""Job kind `encode`: a video with another sound, and with subtitles burned in."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from backend.errors import SubtitlesUnreadable
from backend.kinds.base import Done, Kind, Onward, Phase, Whole
from backend.kinds.context import WholeContext
from backend.kinds.every_frame import Design, PlanFilm
from backend.kinds.film import JoinFilm, RenderPieces
from backend.kinds.film_plan import Layer
from backend.kinds.output_type import film
from backend.kinds.params import Params
from backend.media.facts import VideoFacts
from backend.media.limits import Limits
from backend.media.results import check_result
from backend.media.sandbox import ByteReader, MediaProcess
from backend.states import Stage
from backend.vision.timeline import Timeline

MAX_SUBTITLE_BYTES, MAX_FONT_BYTES, MAX_FONTS = 16 * 2**20, 64 * 2**20, 20
BLOCK_BYTES = 2**20
MAX_FONTS_TOLD = 20
FONT_NAME = "font_{:02d}.ttf"
LONGEST_DELAY_SEC = 1
Uri = Annotated[str, Field(min_length=1, max_length=4096)]


class EncodeParams(Params):
    input_fields: ClassVar[tuple[str, ...]] = ("audio_uri", "subtitles_uri", "font_uris")

    audio_uri: Uri | None = Field(None, description="a file whose sound takes the place of the video's")
    subtitles_uri: Uri | None = Field(None, description="an .ass or .srt file that is burned in")
    font_uris: Annotated[list[Uri], Field(max_length=MAX_FONTS)] = Field(
        default_factory=list, description="font files for the subtitles"
    )
    language: str | None = Field(None, pattern=r"^[a-z]{3}$", description="the new sound's, as three letters: eng")
    crf: float = Field(20, ge=0, le=51)
    hdr: Literal["sdr", "keep"] = Field("sdr", description="`keep`: 10-bit and HDR sources stay so, as HEVC")
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower"] = "veryfast"


class PlanEncode(Whole[EncodeParams]):
    weight = 70.0
    stage = Stage.RENDERING
    words = "drawing the subtitles and rendering"
    patience = 4.0

    def work(self, context: WholeContext[EncodeParams]) -> Done | Onward:
        """Raises SubtitlesUnreadable, SourceNotFound, NotASound, and what rendering raises."""
        # Drawn subtitles lie in a file of this worker: such a film is rendered here, in one go.
        rendering = replace(context, fleet=list) if context.params.subtitles_uri else context
        made = PlanFilm(_design).work(rendering)
        return dubbed(context, made) if isinstance(made, Done) else made


class JoinEncoded(JoinFilm):
    """The new sound comes last."""

    def work(self, context: WholeContext[Any]) -> Done:
        return dubbed(context, super().work(context))


def dubbed(context: WholeContext[EncodeParams], done: Done) -> Done:
    """With the sound that the parameters name, if any."""
    params = context.params
    if params.audio_uri is None:
        return done
    target = context.folder / "dubbed.mp4"
    order = {"film_file": str(done.output), "language": params.language, "output_file": str(target)}
    counts = _run(context, "dub", order, context.open_input(params.audio_uri))
    broken = int(counts["broken_audio_packets"])
    warnings = [f"Sound packets left out, broken or earlier than those before: {broken}."] if broken else []
    return replace(done, output=target, warnings=[*done.warnings, *warnings])


def _design(context: WholeContext[EncodeParams], timeline: Timeline) -> Design:
    params, facts = context.params, context.facts
    size = (facts.width // 2 * 2 or 2, facts.height // 2 * 2 or 2)
    layers, warnings = _subtitles(context, timeline, size) if params.subtitles_uri else ([], [])
    return Design(
        windows=np.tile(np.array([0.0, 0.0, facts.width, facts.height]), (len(timeline), 1)),
        output_size=size,
        look=params.model_dump(include={"crf", "preset", "hdr"}) | {"draw_timestamp": False},
        layers=layers,
        has_sheet=False,
        warnings=warnings,
    )


def _subtitles(
    context: WholeContext[EncodeParams], timeline: Timeline, size: tuple[int, int]
) -> tuple[list[Layer], list[str]]:
    """Drawn for every frame, and a warning for each font that is not there or is none."""
    folder = context.folder / "text"
    folder.mkdir(exist_ok=True)
    _fetch_fonts(context, folder / "fonts")
    uri = context.params.subtitles_uri
    assert uri is not None  # asked before
    reader = context.open_input(uri)
    if reader.size_bytes > MAX_SUBTITLE_BYTES:
        raise SubtitlesUnreadable(f"The subtitles are larger than {MAX_SUBTITLE_BYTES >> 20} MiB.")
    times_file, drawn = context.folder / "times.npy", context.folder / "subtitles.npz"
    np.save(times_file, _times_ms(context.facts, timeline))
    order = {"folder": str(folder), "times_file": str(times_file), "output_file": str(drawn)}
    found = _run(context, "subtitles", order | {"width": size[0], "height": size[1]}, reader)
    warnings = _missing(dict(found["missing_fonts"]))
    warnings += [
        f"font_uris.{number} is no font that can be read: it is left out. Give an .otf or .ttf file."
        for number in range(len(context.params.font_uris))
        if FONT_NAME.format(number) in found["no_fonts"]
    ]
    return [Layer({"type": "subtitles", "data_file": str(drawn)})], warnings


def _missing(fonts: Mapping[str, str]) -> list[str]:
    """A script may name tens of thousands; nobody reads of so many."""
    told = list(fonts.items())[:MAX_FONTS_TOLD]
    warnings = [
        f"The font {wanted} is not there: the subtitles are drawn with {taken}. Name its file in font_uris."
        for wanted, taken in told
    ]
    more = len(fonts) - len(told)
    return [*warnings, f"More fonts are not there: {more}."] if more else warnings


def _fetch_fonts(context: WholeContext[EncodeParams], folder: Path) -> None:
    """Under names of ours; and one that is always there, for machines without any."""
    from matplotlib import get_data_path  # takes a while to load

    folder.mkdir(exist_ok=True)
    shutil.copy(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", folder / "always.ttf")
    for number, uri in enumerate(context.params.font_uris):
        reader = context.open_input(uri)
        if reader.size_bytes > MAX_FONT_BYTES:
            raise SubtitlesUnreadable(f"font_uris.{number}: the font is larger than {MAX_FONT_BYTES >> 20} MiB.")
        with (folder / FONT_NAME.format(number)).open("wb") as file:
            for offset in range(0, reader.size_bytes, BLOCK_BYTES):
                file.write(reader.read_at(offset, BLOCK_BYTES))


def _times_ms(facts: VideoFacts, timeline: Timeline) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Of the frames, from the film's zero on, rounded down. A recorder's clock counts from anywhere: there the first
    frame is zero (see film.origin_sec)."""
    tick = facts.time_base_fraction
    says_zero = any(name in facts.container.split(",") for name in ("mov", "matroska"))
    zero_pts = 0 if says_zero and facts.start_pts * tick <= LONGEST_DELAY_SEC else facts.start_pts
    ticks = timeline.frame_pts - zero_pts
    return np.maximum(0, ticks * 1000 * tick.numerator // tick.denominator)


def _run(
    context: WholeContext[EncodeParams], operation: str, order: Mapping[str, Any], reader: ByteReader
) -> dict[str, Any]:
    settings = context.settings
    with MediaProcess(
        operation,
        order,
        reader,
        Limits.of(settings),
        folder=context.folder,
        check=lambda: context.report(0.0),
    ) as process:
        for _ in process.messages():  # signs of life
            context.report(0.0)
        result = process.result
    check_result(Path(order["output_file"]))
    return result


ENCODE = Kind[EncodeParams](
    name="encode",
    output=film("_encoded"),
    params=EncodeParams,
    phases=(
        Phase[EncodeParams]("list", None, PlanEncode()),
        Phase[EncodeParams]("render", RenderPieces(), JoinEncoded()),
    ),
    files={},
)
