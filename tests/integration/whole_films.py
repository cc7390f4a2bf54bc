"""A crop from the file to the film in this process: planned, cut, joined and rendered by the product's own code. Nobody
is detected, which costs nothing: what these tests ask is whether every frame arrives."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from backend.kinds.base import Done, Kind, Onward, Whole
from backend.kinds.context import ChunkContext, WholeContext
from backend.kinds.crop import CROP
from backend.kinds.tools import Tools
from backend.media.facts import VideoFacts
from backend.media.probe import Prober
from backend.settings import Settings
from backend.vision.artifacts import to_json_bytes
from backend.vision.detector import Detections
from benchmarks.seams import Left, analysed
from tests.integration.rendering import MAX_PIXELS, FileReader

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
TEST_PICTURE = ("-f", "lavfi", "-i", "testsrc2=r=25:s=640x360")
TEST_SOUND = ("-f", "lavfi", "-i", "sine=r=48000")
QUICK = {"preset": "ultrafast", "aspect": "1:1", "output_width": 96, "output_height": 96, "max_upscale": 8}


class Nobody:
    """A detector that sees nobody, and the pictures that it was shown."""

    batch_size = 4

    def __init__(self) -> None:
        self.pictures: list[NDArray[np.uint8]] = []

    def detect(self, pictures: Sequence[NDArray[np.uint8]], *, conf: float, iou: float) -> list[Detections]:
        self.pictures += list(pictures)
        return [Detections(np.zeros((0, 4)), np.zeros(0)) for _ in pictures]

    def describe(self) -> dict[str, Any]:
        return {"name": "nobody"}


@dataclass
class Cropped:
    facts: VideoFacts
    chunks: int
    frame_pts: list[int]
    result: Done
    seen: list[NDArray[np.uint8]]

    @property
    def warnings(self) -> list[str]:
        """But that nobody is in it."""
        return [said for said in self.result.warnings if "Nobody" not in said]


def crop(
    path: Path, folder: Path, chunk_seconds: float = 30.0, detector: Nobody | None = None, **params: Any
) -> Cropped:
    """Raises the job's FramefleetError."""
    settings, detector = Settings(detector="hog", data_dir=folder), detector or Nobody()
    parsed = CROP.parse_params(QUICK | params)
    film = analysed(path, chunk_seconds, detector, settings, parsed)
    folder.mkdir(exist_ok=True)
    result = CROP.phases[0].whole.work(
        WholeContext(
            job_id="whole",
            probed=film.facts,
            params=parsed,
            earlier=Left([to_json_bytes(artifact) for artifact in film.artifacts]),
            open_reader=lambda: film.reader,
            folder=folder,
            fleet=list,
            tools=Tools(settings, lambda: detector),
            report=lambda share: None,
        )
    )
    assert isinstance(result, Done)
    frame_pts = [pts for artifact in film.artifacts for pts in artifact.frame_pts]
    return Cropped(film.facts, len(film.artifacts), frame_pts, result, detector.pictures)


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([FFMPEG, "-v", "error", "-y", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL)


def frames_in(path: Path) -> int:
    """What the ffmpeg command decodes of the picture that a player shows: another program counts."""
    command = [FFMPEG, "-v", "quiet", "-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough"]
    listed = subprocess.run([*command, "-f", "framemd5", "-"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return sum(not line.startswith("#") for line in listed.stdout.splitlines())


def joined(path: Path, *parts: Path) -> Path:
    """Transport streams need no more than this."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@dataclass
class Made:
    """A film without detection, its facts, and how many pieces it was rendered in."""

    path: Path
    facts: VideoFacts
    result: Done
    pieces: int


def facts_of(path: Path) -> VideoFacts:
    """As `probe` of rendering.py, in this process."""
    with path.open("rb") as file:
        return Prober(file, max_pixels=MAX_PIXELS, threads=2).facts()


def made(kind: Kind[Any], source: Path, folder: Path, workers: int = 0, **params: Any) -> Made:
    """By the steps of a kind whose first one takes the whole; in pieces where there are workers. Raises the job's
    FramefleetError."""
    folder.mkdir(exist_ok=True)
    settings = Settings(detector="hog", data_dir=folder, render_fanout_seconds=1.0)
    parsed, facts, reader = kind.parse_params(params), facts_of(source), FileReader(source)
    left = Left()

    def whole(step: Whole[Any], earlier: Left) -> Done | Onward:
        return step.work(
            WholeContext(
                job_id="whole",
                probed=facts,
                params=parsed,
                earlier=earlier,
                open_reader=lambda: reader,
                folder=folder,
                fleet=lambda: [frozenset()] * workers,
                tools=Tools(settings, Nobody),
                report=lambda share: None,
                open_input=lambda path: FileReader(Path(path)),
            )
        )

    first, render = kind.phases[-2:]
    outcome = whole(first.whole, left)
    if isinstance(outcome, Done):
        return Made(outcome.output, facts, outcome, 1)
    assert render.chunks is not None
    plan = json.loads(json.dumps(outcome.plan))
    pieces = []
    for span in outcome.spans:
        room = folder / f"piece_{span.index}"
        room.mkdir()
        context = ChunkContext(
            job_id="whole",
            chunk_index=span.index,
            interval=(span.start_pts, span.end_pts),
            start_pts=span.start_pts,
            end_pts=span.end_pts,
            source={},
            probed=facts,
            params=parsed,
            reader=reader,
            folder=room,
            tools=Tools(settings, Nobody),
            earlier=Left(plan=plan, objects=outcome.objects),
            report=lambda share: None,
        )
        pieces.append(render.chunks.work(context))
    joined = whole(render.whole, Left(pieces, plan, outcome.objects))
    assert isinstance(joined, Done)
    return Made(joined.output, facts, joined, len(pieces))
