"""A film in pieces beside the same film in one go: `python -m benchmarks.fanout VIDEO [PIECES]`.

Seconds of each step (one after another, on this machine), bytes of the source that each reads, and how far both films
are from a lossless one, over the whole and over the frames around each join. Asserts nothing.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from backend.jobs.looks import probe_source
from backend.media.facts import VideoFacts
from backend.media.pieces import can_fan_out, path_rows, piece_boundaries, spans
from backend.media.sandbox import NO_BYTES, ByteReader, MediaProcess
from backend.settings import Settings, get_settings
from backend.storage import open_source
from backend.storage.range_reader import RangeReader

PIECES = 5
AROUND_FRAMES = 5
QUALITY = {"crf": 20, "preset": "veryfast"}
LOSSLESS = {"crf": 0, "preset": "ultrafast"}
FALLBACK_FPS = (25, 1)
console = Console(width=110)


@dataclass(frozen=True)
class Step:
    name: str
    seconds: float
    bytes_read: int


def main() -> None:
    source = Path(sys.argv[1])
    wanted = int(sys.argv[2]) if len(sys.argv) > 2 else PIECES
    with tempfile.TemporaryDirectory(prefix="framefleet-bench-") as name:
        bench = Bench(source, Path(name), get_settings())
        rows = bench.boundaries(wanted)
        steps = [bench.one("one.mp4", QUALITY), *bench.pieces(rows), bench.join("many.mp4")]
        bench.one("exact.mp4", LOSSLESS)
        show_steps(steps, source.stat().st_size)
        show_quality(Path(name), rows[1:-1])


class Bench:
    """A still window in the middle, half as large as the picture, through the product's own media process."""

    def __init__(self, source: Path, folder: Path, settings: Settings) -> None:
        self._source, self._folder, self._settings = source, folder, settings
        self._facts = probe_source(self._reader(), settings)
        assert can_fan_out(self._facts), "This film is rendered in one go."
        self._pts = pts_of(source)
        width, height = (side // 4 * 2 for side in (self._facts.width, self._facts.height))
        self._size = (width, height)
        window = (self._facts.width // 4, self._facts.height // 4, width, height)
        self._path = np.column_stack([self._pts - self._pts[0], np.tile(window, (len(self._pts), 1))]).astype(float)
        self._refs: list[dict[str, Any]] = []

    def boundaries(self, pieces: int) -> list[int]:
        time_base = self._facts.time_base_fraction
        seconds = float((self._pts[-1] - self._pts[0]) * time_base)
        return piece_boundaries(self._pts, [], time_base, seconds / pieces, self._facts.keyframe_pts)

    def one(self, name: str, quality: dict[str, Any]) -> Step:
        return self._run(f"one go ({name})", "render", self._order(name, slice(None)) | quality, self._reader())

    def pieces(self, rows: list[int]) -> Iterator[Step]:
        assert self._facts.appearance is not None  # can_fan_out said so
        interlaced = self._facts.appearance.interlaced
        for number, span in enumerate(spans(self._pts, rows, interlaced=interlaced)):
            order = self._order(f"piece{number}", path_rows(span, self._pts)) | QUALITY
            order |= {
                "span": span.model_dump(),
                "appearance": self._facts.appearance.model_dump(),
                "encoder": "libx264",
            }
            yield self._run(f"piece {number}", "render_piece", order, self._reader())
            file = self._folder / f"piece{number}"
            with file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            self._refs.append({"file": str(file), "sha256": digest, "frames": span.frames})

    def join(self, name: str) -> Step:
        order = {"pieces": self._refs, "output_file": str(self._folder / name)}
        return self._run("join", "join", order, NO_BYTES)

    def _reader(self) -> RangeReader:
        return RangeReader(open_source(self._source.resolve().as_uri(), self._settings))

    def _run(self, name: str, operation: str, order: dict[str, Any], reader: ByteReader) -> Step:
        began = time.monotonic()
        settings = self._settings
        limits = {"silence_sec": settings.sandbox_silence_seconds, "memory_bytes": settings.sandbox_memory_bytes}
        with MediaProcess(operation, order, reader, **limits) as process:
            for _ in process.messages():
                pass
        return Step(name, time.monotonic() - began, getattr(reader, "bytes_fetched", 0))

    def _order(self, name: str, rows: slice) -> dict[str, Any]:
        path_file = self._folder / f"{name}.npy"
        np.save(path_file, self._path[rows])
        return order_of(self._facts, self._settings) | {
            "path_file": str(path_file),
            "origin_pts": int(self._pts[0]),
            "output_file": str(self._folder / name),
            "output_width": self._size[0],
            "output_height": self._size[1],
        }


def order_of(facts: VideoFacts, settings: Settings) -> dict[str, Any]:
    return {
        "upright_width": facts.width,
        "upright_height": facts.height,
        "clock": facts.clock,
        **facts.coded_shape(),
        "fps": facts.fps or FALLBACK_FPS,
        "draw_timestamp": False,
        "max_pixels": settings.max_pixels,
        "threads": settings.threads or 2,
    }


def pts_of(source: Path) -> NDArray[np.int64]:
    """Of every frame, by the container's word."""
    with av.open(str(source)) as container:
        packets = container.demux(video=0)
        return np.array(sorted(p.pts for p in packets if p.size and p.pts is not None and not p.is_discard), np.int64)


def luma_of(film: Path) -> Iterator[NDArray[np.uint8]]:
    with av.open(str(film)) as container:
        for frame in container.decode(video=0):
            luma = frame.planes[0]
            yield np.frombuffer(memoryview(luma), np.uint8).reshape(luma.height, -1)[:, : luma.width]


def show_steps(steps: list[Step], size_bytes: int) -> None:
    table = Table("step", "seconds", "MB read", "share of the size")
    pieces = [step for step in steps if step.name.startswith("piece")]
    total = Step("all pieces", sum(step.seconds for step in pieces), sum(step.bytes_read for step in pieces))
    for step in (*steps, total):
        table.add_row(
            step.name, f"{step.seconds:.1f}", f"{step.bytes_read / 1e6:.1f}", f"{step.bytes_read / size_bytes:.2f}"
        )
    console.print(table)


def show_quality(folder: Path, joins: list[int]) -> None:
    films = zip(*(luma_of(folder / name) for name in ("exact.mp4", "one.mp4", "many.mp4")), strict=True)
    errors = np.array([[np.square(exact - film.astype(float)).mean() for film in two] for exact, *two in films])
    table = Table("PSNR of luma, dB", "one go", "pieces", "difference", title=f"{len(errors)} frames")
    places = {"whole": slice(None)}
    places |= {f"join at {row}": slice(row - AROUND_FRAMES, row + AROUND_FRAMES) for row in joins}
    for name, place in places.items():
        one, many = 10 * np.log10(255**2 / errors[place].mean(axis=0))
        table.add_row(name, f"{one:.3f}", f"{many:.3f}", f"{many - one:+.3f}")
    console.print(table)


if __name__ == "__main__":
    main()
