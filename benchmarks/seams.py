"""What chunks cost the picture: `python -m benchmarks.seams [FILE…]`.

Each file is analysed in 2-second chunks and in one, through the product's own planning, media process, detector,
stitching and solver; the table has how far the two camera paths are apart. Asserts nothing.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from backend.errors import FramefleetError
from backend.jobs.looks import probe_source
from backend.kinds.context import ChunkContext
from backend.kinds.crop_params import CropParams
from backend.kinds.framing import Framing, solve_framing
from backend.kinds.people import analyse_chunk
from backend.kinds.tools import Tools
from backend.local.sample import make_sample
from backend.media.facts import VideoFacts
from backend.media.segments import divided
from backend.settings import Settings, get_settings
from backend.storage import open_source
from backend.storage.block_cache import BlockCache
from backend.storage.range_reader import RangeReader
from backend.vision.artifacts import ChunkArtifact, sha256_hex
from backend.vision.detector import Detector, open_detector

MEDIA = Path(__file__).resolve().parents[2] / "shared" / "media"
CHUNK_SECONDS = 2.0
PARAMS = CropParams(aspect="9:16")


@dataclass(frozen=True)
class Apart:
    """How far the window of a chunked run is from that of a run in one piece, in source pixels."""

    name: str
    frames: int
    chunks: int
    median_px: float
    p95_px: float
    max_px: float


@dataclass(frozen=True)
class Left:
    """What a phase has left, in memory."""

    chunks: Sequence[bytes] = ()
    plan: Mapping[str, Any] = field(default_factory=dict)
    objects: Mapping[str, bytes] = field(default_factory=dict)

    def artifacts(self) -> Iterator[tuple[bytes, str]]:
        return ((data, sha256_hex(data)) for data in self.chunks)

    def files(self, folder: Path) -> Iterator[tuple[Path, str]]:
        for number, data in enumerate(self.chunks):
            path = folder / f"chunk_{number:04d}"
            path.write_bytes(data)
            yield path, sha256_hex(data)

    def previews(self, folder: Path) -> Iterator[Path | None]:
        return iter(())

    def object(self, name: str) -> bytes:
        return self.objects[name]


@dataclass(frozen=True)
class Analysed:
    """A film after its chunks: what is known of it, where its bytes come from, and what each chunk found."""

    facts: VideoFacts
    reader: RangeReader
    artifacts: list[ChunkArtifact]


def analysed(
    file: Path,
    chunk_seconds: float,
    detector: Detector,
    settings: Settings,
    params: CropParams,
    folder: Path = Path(),
) -> Analysed:
    """Planned and worked on in chunks of that length, in this process. `folder`: for their temporary files. Raises
    FramefleetError for a broken file."""
    source = open_source(file.resolve().as_uri(), settings)
    cache = BlockCache()
    facts = probe_source(RangeReader(source, cache), settings)
    pieces = divided(facts, min(chunk_seconds, (facts.duration_seconds or 0) + 1), sample_fps=params.samples_per_sec)
    tools = Tools(settings, lambda: detector)
    artifacts = [
        analyse_chunk(
            ChunkContext(
                job_id="benchmark",
                chunk_index=piece.index,
                interval=(piece.start_pts, piece.end_pts),
                start_pts=None if piece.index == 0 else piece.start_pts,
                end_pts=None if piece is pieces[-1] else piece.end_pts,
                source={"etag": source.info.etag, "size": source.info.size_bytes},
                probed=facts,
                params=params,
                reader=RangeReader(source, cache),
                folder=folder,
                tools=tools,
                earlier=Left(),
                report=lambda share: None,
            )
        )
        for piece in pieces
    ]
    return Analysed(facts, RangeReader(source, cache), artifacts)


def framing_of(
    file: Path, chunk_seconds: float, detector: Detector, settings: Settings, params: CropParams = PARAMS
) -> tuple[Framing, int]:
    """The framing of a run in chunks of that length, and their number. Raises FramefleetError for a broken file."""
    film = analysed(file, chunk_seconds, detector, settings, params)
    size = (film.facts.width, film.facts.height)
    framing = solve_framing(film.artifacts, film.facts.time_base_fraction, size, params)
    return framing, len(film.artifacts)


def apart(file: Path, detector: Detector, settings: Settings) -> Apart:
    """Raises FramefleetError for a broken file, ValueError when the runs saw different frames or shots."""
    (chunked, chunks), (whole, _) = (framing_of(file, sec, detector, settings) for sec in (CHUNK_SECONDS, np.inf))
    if (
        not np.array_equal(chunked.timeline.frame_pts, whole.timeline.frame_pts)
        or chunked.path.shots != whole.path.shots
    ):
        raise ValueError(f"{file.name}: the runs saw different frames or shots")
    far = distances_px(chunked, whole)
    median, p95 = np.percentile(far, [50, 95])
    return Apart(file.name, len(far), chunks, float(median), float(p95), float(far.max()))


def distances_px(one: Framing, other: Framing) -> NDArray[np.float64]:
    """Per frame, the largest difference of the windows' four sides."""
    sides = [
        np.stack([path.x, path.y, path.x + path.width, path.y + path.height], axis=1) for path in (one.path, other.path)
    ]
    return np.asarray(np.abs(sides[0] - sides[1]).max(axis=1))


@contextmanager
def media_files(named: list[str]) -> Iterator[list[Path]]:
    """Those named; else the shared media and the sample."""
    with tempfile.TemporaryDirectory(prefix="framefleet-seams-") as folder:
        if named:
            yield [Path(name) for name in named]
            return
        films = sorted(path for path in MEDIA.iterdir() if path.is_file() and path.suffix != ".md")
        yield [*films, *sorted(MEDIA.glob("mot/*/*.mp4")), make_sample(Path(folder) / "sample.mp4")]


def main() -> None:
    console = Console(width=110)
    table = Table(title=f"Camera path in chunks of {CHUNK_SECONDS:g} s beside one, 9:16: distance in px")
    for column in ("file", "frames", "chunks", "median", "95th percentile", "largest"):
        table.add_column(column, justify="left" if column == "file" else "right")
    settings = get_settings()
    detector = open_detector(settings)
    with media_files(sys.argv[1:]) as files:
        for file in files:
            console.print(file.name, style="dim")
            try:
                row = apart(file, detector, settings)
            except (FramefleetError, ValueError) as failure:
                table.add_row(file.name, str(failure))
                continue
            figures = (f"{value:.3f}" for value in (row.median_px, row.p95_px, row.max_px))
            table.add_row(row.name, str(row.frames), str(row.chunks), *figures)
    console.print(table)


if __name__ == "__main__":
    main()
