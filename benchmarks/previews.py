"""What previews cost: `python -m benchmarks.previews VIDEO [SECONDS [TURNS]]`.

The processor time of a chunk worker for the first seconds of a video, in chunks of 30, with previews and without, turn
by turn; then what joining the previews of an hour takes. Asserts nothing.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from backend.jobs.looks import probe_source
from backend.kinds.context import ChunkContext
from backend.kinds.crop_params import CropParams
from backend.kinds.people import analyse_chunk
from backend.kinds.tools import Tools
from backend.media.facts import PREVIEW_TICKS
from backend.media.limits import Limits
from backend.media.sandbox import NO_BYTES, MediaProcess
from backend.settings import Settings, get_settings
from backend.storage import open_source
from backend.storage.range_reader import RangeReader
from backend.vision.detector import open_detector
from benchmarks.seams import Left

CHUNK_SEC = 30
TURNS = 3
HOUR_CHUNKS = 120
console = Console(width=110)


def main() -> None:
    video = Path(sys.argv[1])
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    turns = int(sys.argv[3]) if len(sys.argv) > 3 else TURNS
    settings = get_settings()
    tools = Tools(settings, lambda: open_detector(settings))
    with tempfile.TemporaryDirectory(prefix="framefleet-bench-") as name:
        folder = Path(name)
        _worked_on(video, CHUNK_SEC, tools, folder, None)  # loads the weights
        kept: list[bytes] = []
        for turn in range(turns):
            plain = _cpu_sec(lambda: _worked_on(video, seconds, tools, folder, None))
            with_films = _cpu_sec(
                lambda: _worked_on(video, seconds, tools, folder, lambda file: kept.append(file.read_bytes()))
            )
            share = (with_films - plain) / plain
            console.print(f"turn {turn + 1}: {plain:.2f} s without, {with_films:.2f} s with previews: {share:+.1%}")
        console.print(f"previews of {[len(each) for each in kept[: round(seconds / CHUNK_SEC)]]} bytes")
        console.print(f"joined for an hour: {_joined_sec(kept[0], folder, settings):.2f} s")


def _cpu_sec(do: Callable[[], None]) -> float:
    """Of this process: decoding is another's."""
    began = time.process_time()
    do()
    return time.process_time() - began


def _worked_on(
    video: Path, seconds: float, tools: Tools, folder: Path, keep_preview: Callable[[Path], None] | None
) -> None:
    source = open_source(video.resolve().as_uri(), tools.settings)
    facts = probe_source(RangeReader(source), tools.settings)
    ticks = round(CHUNK_SEC / facts.time_base_fraction)
    for index in range(round(seconds / CHUNK_SEC)):
        start_pts = facts.start_pts + index * ticks
        analyse_chunk(
            ChunkContext(
                job_id="benchmark",
                chunk_index=index,
                interval=(start_pts, start_pts + ticks),
                start_pts=start_pts,
                end_pts=start_pts + ticks,
                source={"etag": source.info.etag, "size": source.info.size_bytes},
                probed=facts,
                params=CropParams.model_validate({}),
                reader=RangeReader(source),
                folder=folder,
                tools=tools,
                earlier=Left(),
                report=lambda share: None,
                keep_preview=keep_preview,
            )
        )


def _joined_sec(preview: bytes, folder: Path, settings: Settings) -> float:
    order = []
    for number in range(HOUR_CHUNKS):
        file = folder / f"preview_{number}.mp4"
        file.write_bytes(preview)
        order.append({"file": str(file), "start_ticks": number * CHUNK_SEC * PREVIEW_TICKS})
    began = time.monotonic()
    params = {"previews": order, "output_file": str(folder / "joined.mp4")}
    with MediaProcess("join_previews", params, NO_BYTES, Limits.of(settings), folder=folder) as process:
        for _ in process.messages():
            continue
        assert len(process.result["taken"]) == HOUR_CHUNKS, "all of them are in the film"
    return time.monotonic() - began


if __name__ == "__main__":
    main()
