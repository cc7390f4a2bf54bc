"""What previews cost: `python -m benchmarks.previews VIDEO [SECONDS]`.

The processor time that a chunk worker's own process takes for the first seconds of a video (decoding is another
process's), that of encoding the same samples as a preview, and how long joining an hour of such previews takes. Asserts
nothing.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from backend.jobs.looks import probe_source
from backend.kinds.context import ChunkContext
from backend.kinds.crop_params import CropParams
from backend.kinds.people import analyse_chunk
from backend.kinds.sampled import Picture, sample_chunk
from backend.kinds.tools import Tools
from backend.media.facts import PREVIEW_TICKS
from backend.media.limits import Limits
from backend.media.preview import PreviewFilm
from backend.media.sandbox import NO_BYTES, MediaProcess
from backend.settings import Settings, get_settings
from backend.storage import open_source
from backend.storage.range_reader import RangeReader
from backend.vision.detector import open_detector
from benchmarks.seams import Left

HOUR_SEC = 3600
console = Console(width=110)


class Collected:
    """The samples of a chunk."""

    batch_size = 4

    def __init__(self) -> None:
        self.samples: list[tuple[int, Picture]] = []

    def take(self, pts: Sequence[int], pictures: Sequence[Picture]) -> None:
        self.samples += zip(pts, pictures, strict=True)


def main() -> None:
    video = Path(sys.argv[1])
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
    settings = get_settings()
    tools = Tools(settings, lambda: open_detector(settings))
    tools.detector.describe()
    with tempfile.TemporaryDirectory(prefix="framefleet-bench-") as name:
        folder = Path(name)
        chunk = chunk_of(video, seconds, tools, folder)
        collected = Collected()
        sample_chunk(chunk, [collected])
        inside = [(pts, picture) for pts, picture in collected.samples if chunk.end_pts is None or pts < chunk.end_pts]
        film = folder / "one.mp4"
        encoding = cpu_sec(lambda: encoded(film, inside, chunk))
        work = cpu_sec(lambda: analyse_chunk(chunk))
        console.print(f"{seconds:g} s, {len(inside)} pictures: {work:.2f} s of processor time without a preview")
        console.print(f"the preview: {encoding:.2f} s ({encoding / work:.1%}), {film.stat().st_size} bytes")
        console.print(f"an hour of them joined: {joined_sec(film, seconds, settings):.2f} s")


def cpu_sec(do: Callable[[], object]) -> float:
    """Of this process."""
    began = time.process_time()
    do()
    return time.process_time() - began


def encoded(file: Path, samples: Sequence[tuple[int, Picture]], chunk: ChunkContext[CropParams]) -> None:
    height, width = samples[0][1].shape[:2]
    film = PreviewFilm(file, (width, height), chunk.facts.time_base_fraction, chunk.params.sample_fps)
    for pts, picture in samples:
        film.add(pts, picture)
    film.finish()


def chunk_of(video: Path, seconds: float, tools: Tools, folder: Path) -> ChunkContext[CropParams]:
    source = open_source(video.resolve().as_uri(), tools.settings)
    facts = probe_source(RangeReader(source), tools.settings)
    end_pts = facts.start_pts + round(seconds / facts.time_base_fraction)
    return ChunkContext(
        job_id="benchmark",
        chunk_index=0,
        interval=(facts.start_pts, end_pts),
        start_pts=None,
        end_pts=end_pts,
        source={"etag": source.info.etag, "size": source.info.size_bytes},
        probed=facts,
        params=CropParams.model_validate({}),
        reader=RangeReader(source),
        folder=folder,
        tools=tools,
        earlier=Left(),
        report=lambda share: None,
    )


def joined_sec(film: Path, seconds: float, settings: Settings) -> float:
    """As the aggregator joins them: in a media process."""
    starts = [round(number * seconds * PREVIEW_TICKS) for number in range(round(HOUR_SEC / seconds))]
    order = [{"file": str(film), "start_ticks": start} for start in starts]
    params = {"previews": order, "output_file": str(film.with_name("joined.mp4"))}
    began = time.monotonic()
    with MediaProcess("join_previews", params, NO_BYTES, Limits.of(settings), folder=film.parent) as process:
        for _ in process.messages():
            continue
        assert len(process.result["taken"]) == len(starts), "all of them are in the film"
    return time.monotonic() - began


if __name__ == "__main__":
    main()
