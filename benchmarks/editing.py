"""What somebody who edits waits for: `python -m benchmarks.editing drag` and `python -m benchmarks.editing render`.

`drag`: a keyframe is dragged over ten minutes of film at 30 frames a second, the tracks of a real clip again and again,
forwards and backwards; the answer of POST …/solve is made from what the API keeps in memory, JSON included. As one
shot, and with a cut every 20 s. Beside it the whole path, cold and after a drag.

`render`: `framefleet up` with two workers; a film of 60 s at 1080p is cropped once, then from POST …/versions to the
version that is done, by turns with one ffmpeg pass that makes the same film (the window of every frame, to the whole
pixel, by `sendcmd`) and one of a still crop, which scales nothing. Asserts nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from backend.api.solve import shown
from backend.client import Client
from backend.errors import InvalidParams
from backend.kinds.crop_params import CropParams
from backend.kinds.crop_preview import CropPreview, Edited
from backend.kinds.framing import Framing
from backend.kinds.stitched import Stitched
from backend.media.facts import VideoFacts
from backend.settings import get_settings
from backend.vision.detector import open_detector
from backend.vision.stitch import Track
from backend.vision.timeline import Timeline
from benchmarks.measured import console, ffmpeg, made
from benchmarks.seams import MEDIA, framing_of
from benchmarks.uploads import free_port, wait_until_it_answers

SIZE, RATE, SECONDS = (1920, 1080), 30, 600
TICKS = 30_000
DRAGS, DRAGS_OF_ONE = 50, 10
STEP_PX = 40.0
CUT_SEC = 20
TURNS = 3
CLIPS = ("dancer.avi", "intel_one-by-one-person-detection.mp4")
OUTPUT = (608, 1080)
STILL = "crop=608:1080:656:0"
ENCODED = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-c:a", "copy"]


def drag() -> None:
    settings = get_settings()
    detector = open_detector(settings)
    for clip in CLIPS:
        framing, _ = framing_of(MEDIA / clip, np.inf, detector, settings)
        for name, cut_frames in (("one shot", None), (f"a cut every {CUT_SEC} s", CUT_SEC * RATE)):
            _drag(f"{clip}, {name}", repeated(framing, cut_frames))


def _drag(name: str, found: Stitched) -> None:
    edited, facts = Edited(found), _facts(len(found.timeline))
    cold_ms = _ms(lambda: _solved(edited, facts, [], None))
    rng = np.random.default_rng(1)
    took_ms: list[float] = []
    keyframes: list[dict[str, float]] = []
    at_sec, x, refused = 0.0, 0.0, 0
    for number in range(DRAGS):
        if number % DRAGS_OF_ONE == 0:
            at_sec, x = float(rng.uniform(5, SECONDS - 5)), SIZE[0] / 2
        x = float(np.clip(x + rng.normal(0, STEP_PX), 320, SIZE[0] - 320))
        keyframes = [{"time_sec": at_sec, "x": x, "y": SIZE[1] / 2}]
        try:
            took_ms.append(_ms(partial(_solved, edited, facts, keyframes, at_sec)))
        except InvalidParams:
            refused += 1
    after_ms = _ms(lambda: _solved(edited, facts, keyframes, None))
    p50, p95 = np.percentile(took_ms, [50, 95])
    console.print(
        f"{name}: {len(took_ms)} drags, {refused} refused: p50 {p50:.0f} ms, p95 {p95:.0f} ms; "
        f"whole, cold {cold_ms:.0f} ms, after a drag {after_ms:.0f} ms"
    )


def _solved(edited: Edited, facts: VideoFacts, keyframes: list[dict[str, float]], around_sec: float | None) -> str:
    params = CropParams.model_validate({"aspect": "9:16", "keyframes": keyframes})
    return json.dumps(shown(CropPreview().solve(edited, facts, params, around_sec)))


def _ms(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - began)


def repeated(framing: Framing, cut_frames: int | None) -> Stitched:
    """Ten minutes of the clip's tracks, at this size and rate, every second time backwards."""
    first, tick_sec = int(framing.timeline.frame_pts[0]), float(framing.timeline.time_base)
    end_sec = float(framing.timeline.times_sec[-1])
    scale = np.tile(np.array(SIZE) / framing.timeline.frame_size, 2)
    frames = RATE * SECONDS
    tracks: list[Track] = []
    for lap in range(int(SECONDS / end_sec) + 1):
        for track in framing.tracks:
            sec = (track.pts - first) * tick_sec
            order = slice(None) if lap % 2 == 0 else slice(None, None, -1)
            pts = np.round(((sec if lap % 2 == 0 else end_sec - sec)[order] + lap * end_sec) * TICKS).astype(np.int64)
            keep = (pts < SECONDS * TICKS) & (np.diff(pts, prepend=-1) > 0)
            if keep.any():
                boxes, confidence = (track.boxes * scale)[order][keep], track.confidence[order][keep]
                tracks.append(Track(len(tracks) + 1, pts[keep], boxes, confidence))
    edges = [*range(0, frames, cut_frames or frames), frames]
    timeline = Timeline(np.arange(frames, dtype=np.int64) * (TICKS // RATE), Fraction(1, TICKS), SIZE)
    return Stitched(timeline, tracks, list(pairwise(edges)))


def _facts(frames: int) -> VideoFacts:
    """Of a file that holds what it promises."""
    return VideoFacts.model_construct(frames_listed=True, frame_count=frames, time_base=(1, TICKS))


def render() -> None:
    with tempfile.TemporaryDirectory(prefix="framefleet-editing-") as name:
        folder = Path(name)
        clip = made(folder, 60)
        with serving(folder / "data") as client:
            job = client.wait(client.create_job("crop", file=clip, params={"aspect": "9:16"}).id)
            rows = [_row(client, job.id, clip, turn) for turn in range(TURNS)]
            timings = client.versions(job.id)[-1]
    for version_sec, same_sec, still_sec in rows:
        console.print(
            f"version {version_sec:.1f} s, ffmpeg the same film {same_sec:.1f} s: {version_sec / same_sec:.2f}, "
            f"a still crop {still_sec:.1f} s: {version_sec / still_sec:.2f}"
        )
    same, still = (median(row[0] / row[which] for row in rows) for which in (1, 2))
    console.print(f"median ratio {same:.2f} to the same film, {still:.2f} to a still crop; {timings.raw['id']}")


def _row(client: Client, job_id: str, clip: Path, turn: int) -> tuple[float, float, float]:
    version_id, version_sec = _version_sec(client, job_id, turn)
    commands = clip.with_name("window.txt")
    path_file = client.download_file(version_id, "camera_path.json", clip.with_name("camera_path.json"))
    first = _window_commands(json.loads(path_file.read_text()), commands)
    same = f"sendcmd=f={commands},crop={first},scale={OUTPUT[0]}:{OUTPUT[1]}:flags=bicubic"
    return version_sec, _pass_sec(clip, same), _pass_sec(clip, STILL)


def _version_sec(client: Client, job_id: str, turn: int) -> tuple[str, float]:
    """The version, and the time from the request to the answer that says done, asked for ten times a second."""
    began = time.monotonic()
    version = client.create_version(job_id, {"keyframes": [{"time_sec": 30.0, "x": 800 + 40 * turn, "y": 540}]})
    while not client.job(version.id).is_over:
        time.sleep(0.1)
    assert client.job(version.id).status == "done", client.job(version.id).error
    return version.id, time.monotonic() - began


def _window_commands(camera_path: dict[str, Any], target: Path) -> str:
    """Writes what moves ffmpeg's `crop` along the path; returns what it begins with."""
    tick_sec = Fraction(*camera_path["time_base"])
    lines, last = [], None
    for pts, x, y, width, height in camera_path["frames"]:
        window = (round(width), round(height), round(x), round(y))
        if window != last:
            asked = ", ".join(f"crop {name} {value}" for name, value in zip("whxy", window, strict=True))
            lines.append(f"{max(0.0, float(pts * tick_sec) - 0.005):.4f} {asked};")
        last = window
    target.write_text("\n".join(lines))
    _, x, y, width, height = camera_path["frames"][0]
    return f"{round(width)}:{round(height)}:{round(x)}:{round(y)}"


def _pass_sec(clip: Path, filters: str) -> float:
    return ffmpeg("-i", str(clip), "-vf", filters, *ENCODED, str(clip.with_name("alone.mp4"))).wall_sec


@contextmanager
def serving(folder: Path, port: int | None = None) -> Iterator[Client]:
    port = port or free_port()
    words = [sys.executable, "-m", "backend", "up", "--workers", "2", "--port", str(port), "--data-dir", str(folder)]
    env = {name: value for name, value in os.environ.items() if name not in ("STORAGE_URL", "DATABASE_URL")}
    up = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_it_answers(f"http://127.0.0.1:{port}/health")
        with Client(f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(timeout=60)


if __name__ == "__main__":
    PARTS: dict[str, Any] = {"drag": drag, "render": render}
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
