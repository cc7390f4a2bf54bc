"""Every kind of job beside the one command that does the same: `python -m benchmarks.kinds [VIDEO]`.

Without a video, which must have sound, a clip of 60 s (`--seconds`), 1080p at 30 frames/s, is made. Each kind is
`framefleet run`, as a user calls it, from the command's start to its end; beside it, right after, the ffmpeg command
(of package imageio-ffmpeg) with the same encoder settings. Where no command does the same (crop, annotate, pose) it is
the least that has to be done: decoding and encoding. Prints a table; asserts nothing. `pose` needs POSE_MODEL_NAME.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from rich.table import Table

from backend.kinds import kind_named
from backend.kinds.base import SourceType
from backend.settings import get_settings
from benchmarks.measured import MIB, WORKERS, Measured, Spent, command, console, ffmpeg, made, run

SHORT_SEC = 60
LIGHT, FEATHER, SPREAD = 0.3, 0.2, 0.02  # as the overlay has them by default
# x, y and radii, as shares of width and height.
ELLIPSES = ((0.31, 0.48, 0.115, 0.37), (0.68, 0.48, 0.115, 0.37))
TRIM_START_SEC, TRIM_SEC = 5, 30
SUBTITLE_EVERY_SEC = 3
# Where the framing's window is at shares of the clip, as shares of its way.
STOPS = ((0.0, 0.0), (0.25, 0.7), (0.5, 0.2), (0.75, 1.0), (1.0, 0.5))
LEAST_SEC = 0.5
COLUMNS = ("kind", "s", "steps s", "frames/s", "peak MiB", "cores", "CPU s", "ffmpeg s", "CPU s", "x s", "x CPU s")
FOOT = """steps: without start, planning and stop. peak: of the largest process. cores: how many were busy, on average.
[1] No command does the same: this one decodes and encodes (pose: decodes) alone, and looks for nobody. stage: cp."""


@dataclass(frozen=True)
class Clip:
    path: Path
    sound: Path
    subtitles: Path
    seconds: float
    frames: int
    size: tuple[int, int]

    @property
    def ellipses(self) -> list[list[float]]:
        return [[share * self.size[at % 2] for at, share in enumerate(each)] for each in ELLIPSES]

    @property
    def window(self) -> tuple[int, int]:
        """The size of the largest of 9:16, even."""
        return round(self.size[1] * 9 / 32) * 2, self.size[1]

    @property
    def stops(self) -> list[tuple[float, int]]:
        """Seconds, and the left edge of the window."""
        way = self.size[0] - self.window[0]
        return [(time * self.seconds, round(place * way)) for time, place in STOPS]


@dataclass(frozen=True)
class Case:
    """A kind with its parameters, and the command's arguments between input and output."""

    name: str
    kind: str
    params: Callable[[Clip], dict[str, Any]]
    rival: Callable[[Clip], Sequence[str]]
    does_the_same: bool = True  # else it only decodes and encodes
    suffix: str = ".mp4"


def main() -> None:
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="framefleet-bench-") as name:
        folder = Path(name)
        clip = prepared(asked.video or made(folder, asked.seconds), folder)
        console.print(f"\n{clip.path.name}: {clip.frames} frames, {clip.seconds:.1f} s; {WORKERS} workers")
        table = Table(*COLUMNS)
        for case in CASES:
            if asked.kinds and case.kind not in asked.kinds:
                continue
            if case.kind == "pose" and get_settings().pose_model_name is None:
                console.print("pose is left out: POSE_MODEL_NAME names no model.")
                continue
            table.add_row(*row(case, clip, *measured(case, clip, folder)))
        console.print(table)
        console.print(FOOT)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", type=Path)
    parser.add_argument("--seconds", type=int, default=SHORT_SEC, help="of the clip that is made")
    parser.add_argument("--kinds", nargs="*", default=[], help="only these")
    return parser.parse_args()


def measured(case: Case, clip: Clip, folder: Path) -> tuple[Measured, Spent]:
    params = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in case.params(clip).items()
    ]
    ours = run(case.kind, clip.path, folder / case.name.replace(" ", "-"), params, case.suffix)
    target = str(folder / f"rival{case.suffix}")
    if case.kind == "stage":
        return ours, command("cp", str(clip.path), target)
    return ours, ffmpeg("-i", str(clip.path), *case.rival(clip), *([] if "null" in case.rival(clip) else [target]))


def row(case: Case, clip: Clip, ours: Measured, rival: Spent) -> list[str]:
    cpu_sec = sum(ours.cpu_sec.values())
    work_sec = sum(seconds for step, seconds in ours.report["seconds"].items() if step not in ("total", "wait"))
    role, peak = max(ours.peaks.items(), key=lambda each: each[1])
    return [
        case.name,
        f"{ours.wall_sec:.1f}",
        f"{work_sec:.1f}",
        f"{clip.frames / ours.wall_sec:.0f}" if kind_named(case.kind).source is SourceType.VIDEO else "",
        f"{peak / MIB:.0f} {role}",
        f"{cpu_sec / ours.wall_sec:.2f}",
        f"{cpu_sec:.1f}",
        f"{rival.wall_sec:.1f}" + ("" if case.does_the_same else " [1]"),
        f"{rival.cpu_sec:.1f}",
        times(ours.wall_sec, rival.wall_sec),
        times(cpu_sec, rival.cpu_sec),
    ]


def times(ours_sec: float, other_sec: float) -> str:
    """As a ratio; a dash beside a command that is over at once, which only compares how programs start."""
    return f"{ours_sec / other_sec:.2f}" if other_sec >= LEAST_SEC else "-"


def prepared(video: Path, folder: Path) -> Clip:
    """With another sound and with subtitles for it."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        seconds = float((container.duration or 0) / av.time_base)
        frames = stream.frames or sum(1 for _ in container.demux(stream))
        size = (stream.width, stream.height)
    sound, subtitles = folder / "other.m4a", folder / "said.srt"
    ffmpeg("-f", "lavfi", "-i", f"sine=330:r=48000:d={seconds}", "-c:a", "aac", str(sound))
    subtitles.write_text("\n".join(said(number) for number in range(int(seconds) // SUBTITLE_EVERY_SEC)))
    return Clip(video, sound, subtitles, seconds, frames, size)


def said(number: int) -> str:
    start, end = (f"00:{sec // 60:02}:{sec % 60:02}" for sec in (3 * number, 3 * number + 2))
    return f"{number + 1}\n{start},000 --> {end},500\nThis is what is said, number {number + 1}.\n"


def encoded(*filters: str, crf: int = 20) -> list[str]:
    """The arguments of a command that draws through filters, and encodes as the kinds do by default."""
    drawn = ["-vf", ",".join(filters)] if filters else []
    x264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf), "-pix_fmt", "yuv420p"]
    return [*drawn, *x264, "-c:a", "copy", "-movflags", "+faststart"]


def overlay_params(clip: Clip, effect: str) -> dict[str, Any]:
    regions = [dict(zip(("x", "y", "radius_x", "radius_y"), each, strict=True)) for each in clip.ellipses]
    return {"effect_type": effect, "highlight_regions": regions}


def overlaid(clip: Clip, effect: str) -> list[str]:
    """The effect everywhere, and a mask that says where; the mask is drawn once."""
    luma, chroma = (mask(clip, step) for step in (1, 2))
    graph = (
        f"color=black:s={clip.size[0]}x{clip.size[1]}:r=30:d=0.03,format=yuv420p,"
        f"geq=lum='{luma}':cb='{chroma}':cr='{chroma}',loop=-1:1,setpts=N/30/TB[mask];"
        f"[0:v]split[as_it_is][copy];[copy]{effect}[other];[as_it_is][other][mask]maskedmerge[out]"
    )
    return ["-filter_complex", graph, "-map", "[out]", "-map", "0:a", "-frames:v", str(clip.frames), *encoded()]


def mask(clip: Clip, step: int) -> str:
    """255 where all of the effect shows, 0 in the ellipses, a soft edge between."""
    aways = [f"hypot((X*{step}-{x})/{rx},(Y*{step}-{y})/{ry})" for x, y, rx, ry in clip.ellipses]
    return f"255*clip((min({aways[0]},{aways[1]})-1)/{FEATHER},0,1)"


def framing_params(clip: Clip) -> dict[str, Any]:
    width, height = clip.window
    return {"keyframes": [{"time_sec": sec, "x": x, "y": 0, "width": width, "height": height} for sec, x in clip.stops]}


def framed(clip: Clip) -> list[str]:
    """The window goes to whole pixels."""
    place = str(clip.stops[-1][1])
    for (start, x0), (end, x1) in reversed(list(pairwise(clip.stops))):
        place = f"if(lt(t,{end}),{x0}+{x1 - x0}*(t-{start})/{end - start},{place})"
    return encoded(f"crop={clip.window[0]}:{clip.window[1]}:x='{place}':y=0")


def spoken(clip: Clip) -> list[str]:
    return ["-i", str(clip.sound), "-map", "0:v", "-map", "1:a", *encoded(f"subtitles=filename='{clip.subtitles}'")]


def nothing(clip: Clip) -> dict[str, Any]:
    return {}


SPOTLIGHT = f"lutyuv=y=16+(val-16)*{LIGHT}:u=128+(val-128)*{LIGHT}:v=128+(val-128)*{LIGHT}"
CASES = (
    Case(
        "crop",
        "crop",
        lambda clip: {"aspect": "9:16"},
        lambda clip: encoded(f"crop={clip.window[0]}:{clip.window[1]}"),
        False,
    ),
    Case("annotate", "annotate", nothing, lambda clip: encoded(), False),
    Case("pose", "pose", nothing, lambda clip: ["-an", "-f", "null", "-"], False, ".json"),
    Case(
        "overlay spotlight",
        "overlay",
        lambda clip: overlay_params(clip, "spotlight"),
        lambda clip: overlaid(clip, SPOTLIGHT),
    ),
    Case(
        "overlay blur",
        "overlay",
        lambda clip: overlay_params(clip, "blur"),
        lambda clip: overlaid(clip, f"gblur=sigma={SPREAD * min(clip.size)}"),
    ),
    Case("framing", "framing", framing_params, framed),
    Case(
        "encode",
        "encode",
        lambda clip: {"audio_uri": str(clip.sound), "subtitles_uri": str(clip.subtitles), "language": "eng"},
        spoken,
    ),
    Case(
        "downsample",
        "downsample",
        lambda clip: {"resolution": "360p"},
        lambda clip: encoded("scale=-2:360:flags=bicubic", crf=23),
    ),
    Case(
        "audio_trim",
        "audio_trim",
        lambda clip: {"start_sec": TRIM_START_SEC, "duration_sec": TRIM_SEC},
        lambda clip: ["-ss", str(TRIM_START_SEC), "-t", str(TRIM_SEC), "-vn"],
        suffix=".wav",
    ),
    Case("stage", "stage", nothing, lambda clip: []),
)


if __name__ == "__main__":
    main()
