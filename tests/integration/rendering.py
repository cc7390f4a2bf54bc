"""Runs the render operation as a worker does, in its child process, along a path the test chooses."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.media.decode import FrameReader, open_container, open_video
from backend.media.facts import Clock, VideoFacts
from backend.media.limits import Limits
from backend.media.pieces import Span, path_rows, spans
from backend.media.ring import FrameRing
from backend.media.sandbox import NO_BYTES, ByteReader, MediaProcess

MAX_PIXELS = 2**26
LIMITS = Limits(silence_sec=60.0, memory_bytes=8 * 2**30)
Row = tuple[float, ...]  # x, y, width, height of the window, and of each further panel


class FileReader:
    """A file's bytes, for the child to ask for."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.size_bytes = path.stat().st_size

    def read_at(self, offset: int, length: int) -> bytes:
        return os.pread(self._file.fileno(), length, offset)


@dataclass
class Rendered:
    path: Path
    facts: VideoFacts
    source_pts: list[int]
    time_base: Fraction
    counts: dict[str, Any]

    @property
    def source_seconds(self) -> list[float]:
        """Of every frame, from the first sound or picture where the container says so."""
        return [float(pts * self.time_base) for pts in self.source_pts]


def probe(path: Path) -> VideoFacts:
    return VideoFacts.model_validate(_run("probe", {}, path))


def decoded_pts(path: Path, clock: Clock = "pts") -> list[int]:
    with path.open("rb") as file, open_container(file) as container:
        reader = FrameReader(container, open_video(container, max_pixels=MAX_PIXELS, threads=2), clock=clock)
        return [frame.pts for frame in reader.frames() if frame.pts is not None]


def centred(facts: VideoFacts, aspect: Fraction = Fraction(9, 16)) -> Row:
    """The largest window of this shape in the middle, at whole even pixels."""
    width = min(facts.width, int(facts.height * aspect)) // 2 * 2
    height = min(facts.height, int(width / aspect)) // 2 * 2
    return (facts.width - width) // 2, (facts.height - height) // 2, width, height


def render(
    source: Path,
    output: Path,
    window: Callable[[int], Row] | None = None,
    size: tuple[int, int] | None = None,
    ring: FrameRing | None = None,
    **changes: Any,
) -> Rendered:
    """`window` gives the window of frame n; without it one stands still in the middle. `changes` go to the order, and
    stills that it asks for into `ring`."""
    return rendered(planned(source, output, window, size, **changes), ring)


@dataclass
class Plan:
    """A film to be rendered: everything but in how many pieces."""

    source: Path
    output: Path
    facts: VideoFacts
    pts: list[int]
    path: NDArray[np.float64]
    order: dict[str, Any]

    def order_with(self, rows: slice) -> dict[str, Any]:
        """Those rows of the path are in the order."""
        file = self.output.with_suffix(f".{rows.start}.npy")
        np.save(file, self.path[rows])
        return self.order | {"path_file": str(file), "output_file": str(self.output)}

    def spans(self, *boundaries: int) -> list[Span]:
        """Of pieces that begin at those rows beside 0."""
        assert self.facts.appearance is not None  # this version probed it
        rows = [0, *boundaries, len(self.pts)]
        return spans(np.array(self.pts), rows, interlaced=self.facts.appearance.interlaced)

    def done(self, counts: dict[str, Any]) -> Rendered:
        return Rendered(self.output, self.facts, self.pts, self.facts.time_base_fraction, counts)


def rendered(plan: Plan, ring: FrameRing | None = None) -> Rendered:
    """In one go."""
    return plan.done(_run("render", plan.order_with(slice(None)), plan.source, ring))


def rendered_in_pieces(plan: Plan, boundaries: Sequence[int], ring: FrameRing | None = None) -> Rendered:
    """By pieces that begin at those rows beside 0."""
    return plan.done(join(plan, render_pieces(plan, boundaries), ring))


def render_pieces(plan: Plan, boundaries: Sequence[int]) -> list[dict[str, Any]]:
    """What joining is told of each."""
    return [render_piece(plan, span) for span in plan.spans(*boundaries)]


def render_piece(plan: Plan, span: Span, reader: ByteReader | None = None, **changes: Any) -> dict[str, Any]:
    file = plan.output.with_suffix(f".piece{span.start_pts}")
    order = plan.order_with(path_rows(span, np.array(plan.pts))) | {
        "output_file": str(file),
        "span": span.model_dump(),
        "encoder": "libx265" if plan.order.get("hdr") == "keep" else "libx264",
        "appearance": plan.facts.appearance.model_dump() if plan.facts.appearance else None,
    }
    done = _process("render_piece", order | changes, reader or FileReader(plan.source))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return {"file": str(file), "sha256": digest, "frames": done["frames"]}


def join(plan: Plan, pieces: Sequence[Mapping[str, Any]], ring: FrameRing | None = None) -> dict[str, Any]:
    order = {"pieces": list(pieces), "output_file": str(plan.output), "stills": plan.order.get("stills")}
    return _process("join", order, NO_BYTES, ring)


def planned(
    source: Path,
    output: Path,
    window: Callable[[int], Row] | None = None,
    size: tuple[int, int] | None = None,
    **changes: Any,
) -> Plan:
    facts = probe(source)
    pts = decoded_pts(source, facts.clock)
    still = centred(facts)
    rows = [window(number) if window else still for number in range(len(pts))]
    ticks = [when - pts[0] for when in pts]
    width, height = size or (round(rows[0][2]), round(rows[0][3]))
    order = {
        "origin_pts": pts[0],
        "output_width": width,
        "output_height": height,
        "upright_width": facts.width,
        "upright_height": facts.height,
        "clock": facts.clock,
        **facts.coded_shape(),
        "fps": facts.fps or (25, 1),
        "crf": 20,
        "preset": "veryfast",
        "draw_timestamp": False,
        "max_pixels": MAX_PIXELS,
        "threads": 2,
    }
    path = np.column_stack([np.array(ticks, np.float64), np.array(rows, np.float64)])
    return Plan(source, output, facts, pts, path, order | changes)


def working_encoders() -> list[str]:
    encoders: list[str] = _process("encoders", {"width": 640, "height": 360}, NO_BYTES)["working"]
    return encoders


def _run(operation: str, params: dict[str, Any], source: Path, ring: FrameRing | None = None) -> dict[str, Any]:
    limits = {"max_pixels": MAX_PIXELS, "threads": 2}
    return _process(operation, params | limits, FileReader(source), ring)


def _process(
    operation: str, params: dict[str, Any], reader: ByteReader, ring: FrameRing | None = None
) -> dict[str, Any]:
    files = [params.get("output_file"), *(piece["file"] for piece in params.get("pieces", []))]
    folders = [os.path.dirname(file) for file in files if file]
    folder = Path(os.path.commonpath(folders)) if folders else None
    with MediaProcess(operation, params, reader, LIMITS, folder=folder, ring=ring) as process:
        for _ in process.messages():
            pass
        return process.result
