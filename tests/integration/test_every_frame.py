"""Films without detection: the frames that are listed are those that are decoded, and layers lie on the right ones."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from backend.errors import MediaTruncated
from backend.kinds import output_type
from backend.kinds.base import Kind, Phase
from backend.kinds.context import WholeContext
from backend.kinds.every_frame import Design, PlanFilm
from backend.kinds.film import JoinFilm, RenderPieces
from backend.kinds.film_plan import Layer
from backend.kinds.params import Params
from backend.media.index import IndexOrder, index
from backend.media.paint.rows import LayerRows
from backend.vision.timeline import Timeline
from tests.conftest import shared_file
from tests.integration.rendering import MAX_PIXELS, decoded_pts
from tests.integration.test_render import luma_of
from tests.integration.whole_films import TEST_SOUND, facts_of, ffmpeg, frames_in, made

SMALL = ("-f", "lavfi", "-i", "testsrc2=r=25:s=192x108")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", 25, "-bf", 2, "-pix_fmt", "yuv420p")
X, Y, RADIUS = 96.0, 54.0, 20.0


class LampParams(Params):
    every: int = 2


def lamp(context: WholeContext[LampParams], timeline: Timeline) -> Design:
    """All of the picture; on every second frame all but a circle in its middle is black."""
    facts = context.facts
    pts = timeline.frame_pts[:: context.params.every]
    columns = {"x": X, "y": Y, "radius_x": RADIUS, "radius_y": RADIUS, "opacity": 1.0}
    rows = LayerRows({"pts": pts, **{name: np.full(len(pts), value) for name, value in columns.items()}})
    return Design(
        windows=np.tile([0.0, 0.0, facts.width, facts.height], (len(timeline), 1)),
        output_size=(facts.width, facts.height),
        look={"crf": 10.0, "preset": "ultrafast", "draw_timestamp": False, "hdr": "sdr"},
        layers=[Layer({"type": "spotlight", "feather": 0.0, "light": 0.0}, rows)],
        has_sheet=False,
    )


LAMP = Kind[LampParams](
    name="lamp",
    output=output_type.film("_lit"),
    params=LampParams,
    phases=(
        Phase[LampParams]("list", None, PlanFilm(lamp)),
        Phase[LampParams]("render", RenderPieces(), JoinFilm()),
    ),
    files={},
)


def listed(path: Path) -> tuple[list[int], dict[str, Any]]:
    facts = facts_of(path)
    assert facts.appearance is not None
    order = IndexOrder(
        clock=facts.clock, is_interlaced=facts.appearance.interlaced, decode=False, max_pixels=MAX_PIXELS, threads=2
    )
    pts: list[int] = []
    with path.open("rb") as file:
        result = index(file, order, pts.extend)
    return pts, result


def with_b_frames(folder: Path) -> Path:
    path = folder / "plain.mp4"
    ffmpeg(*SMALL, "-t", 2, *H264, path)
    return path


def edit_list(folder: Path) -> Path:
    """Cut without encoding again, in the middle of a group: the packets before are there and not shown."""
    path = folder / "edited.mp4"
    ffmpeg("-ss", 1.3, "-i", with_b_frames(folder), "-c", "copy", path)
    return path


def interlaced(folder: Path) -> Path:
    path = folder / "fields.ts"
    flags = ("-flags", "+ilme+ildct", "-vf", "setfield=tff", "-c:v", "mpeg2video", "-bf", 2, "-g", 12)
    ffmpeg(*SMALL, "-t", 2, *flags, path)
    return path


def late(folder: Path) -> Path:
    path = folder / "late.mkv"
    ffmpeg(*TEST_SOUND, "-itsoffset", 0.85, *SMALL, "-t", 2, "-map", 0, "-map", 1, *H264, "-c:a", "aac", path)
    return path


def transport(folder: Path) -> Path:
    path = folder / "plain.ts"
    ffmpeg(*SMALL, "-t", 2, *H264, path)
    return path


def avi_with_b_frames(folder: Path) -> Path:
    path = folder / "old.avi"
    ffmpeg(*SMALL, "-t", 2, "-c:v", "mpeg4", "-bf", 2, path)
    return path


def browser(folder: Path) -> Path:
    """Hidden pictures are packets of their own."""
    path = folder / "old.webm"
    ffmpeg(*SMALL, "-t", 2, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", 8, "-auto-alt-ref", 1, path)
    return path


@pytest.mark.parametrize(
    ("source", "by_packets"),
    [
        (with_b_frames, True),
        (edit_list, True),
        (late, True),
        (transport, True),
        (interlaced, False),
        (avi_with_b_frames, False),
        (browser, False),
    ],
)
def test_the_frames_that_are_listed_are_those_that_are_decoded(source: Any, by_packets: bool, tmp_path: Path) -> None:
    path = source(tmp_path)
    pts, result = listed(path)
    assert pts == decoded_pts(path, facts_of(path).clock)
    assert result["by_packets"] is by_packets
    assert set(result["keyframe_pts"]) <= set(pts)


@pytest.mark.parametrize(
    "name", ["mediabunny_cursed-vfr.mp4", "found/vfr.mkv", "found/h264b.avi", "found/concat.ts", "found/live3600.mkv"]
)
def test_films_of_strangers_are_listed_as_they_are_decoded(name: str) -> None:
    path = shared_file("media", *name.split("/"))
    assert listed(path)[0] == decoded_pts(path, facts_of(path).clock)


def assert_lit(film: Path, frames: int) -> None:
    """Black but for the circle on every second frame, light on the others."""
    pictures = luma_of(film)
    assert len(pictures) == frames
    for number, luma in enumerate(pictures):
        middle = luma[int(Y) - 10 : int(Y) + 10, int(X) - 10 : int(X) + 10]
        assert middle.mean() > 25
        assert (luma[:20].mean() < 20) == (number % 2 == 0), f"frame {number}"


@pytest.mark.parametrize("source", [edit_list, interlaced, avi_with_b_frames])
def test_a_layer_lies_on_its_frames_in_one_go(source: Any, tmp_path: Path) -> None:
    path = source(tmp_path)
    film = made(LAMP, path, tmp_path / "one")
    assert film.pieces == 1
    assert_lit(film.path, frames_in(path))


def test_and_in_pieces(tmp_path: Path) -> None:
    path = late(tmp_path)
    film = made(LAMP, path, tmp_path / "many", workers=2)
    assert film.pieces > 1
    assert_lit(film.path, len(decoded_pts(path)))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_that_is_broken_inside_is_left_out_and_said(workers: int, tmp_path: Path) -> None:
    """The packets promise it, and whoever renders does not find it."""
    path = broken(tmp_path)
    promised, result = listed(path)
    held = decoded_pts(path)
    assert result["by_packets"] and len(held) < len(promised)
    film = made(LAMP, path, tmp_path / "film", workers=workers)
    with av.open(str(film.path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == len(held)
    assert any("broken" in said for said in film.result.warnings)


def broken(folder: Path) -> Path:
    """Two key pictures in the middle are noise."""
    path, plain = folder / "broken.mkv", folder / "intra.mkv"
    ffmpeg(*SMALL, "-t", 3, "-c:v", "libx264", "-preset", "ultrafast", "-g", 1, "-pix_fmt", "yuv420p", plain)
    with av.open(str(plain)) as source, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if not packet.size:
                continue
            if number in (30, 55):
                noise = av.Packet(bytes([0, 0, 0, 40]) + bytes(range(40)))
                noise.pts, noise.dts, noise.time_base = packet.pts, packet.dts, packet.time_base
                noise.is_keyframe = True
                packet = noise
            packet.stream = stream
            output.mux(packet)
    return path


def test_a_file_that_is_cut_off_is_refused_before_anything_is_rendered(tmp_path: Path) -> None:
    whole, path = with_b_frames(tmp_path), tmp_path / "torn.mp4"
    ffmpeg("-i", whole, "-c", "copy", "-movflags", "+faststart", path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(MediaTruncated):
        made(LAMP, path, tmp_path / "film")


def test_times_of_the_film_are_the_sources_own(tmp_path: Path) -> None:
    path = late(tmp_path)
    film = made(LAMP, path, tmp_path / "film")
    time_base = facts_of(path).time_base_fraction
    with av.open(str(film.path)) as container:
        times = [Fraction(frame.pts) * Fraction(frame.time_base) for frame in container.decode(video=0)]
        assert len(container.streams.audio) == 1
    assert times == [pts * time_base for pts in decoded_pts(path)]


def test_no_raw_frames_are_written_anywhere(tmp_path: Path) -> None:
    """The predecessor kept every raw picture in one file; here no process may write one of more than eight."""
    code = """
import resource, sys
from pathlib import Path
from tests.integration.test_every_frame import LAMP, made
limit = 8 * 192 * 108 * 3 // 2
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
made(LAMP, Path(sys.argv[1]), Path(sys.argv[2]))
"""
    path = with_b_frames(tmp_path)
    subprocess.run([sys.executable, "-c", code, str(path), str(tmp_path / "film")], check=True)
    assert_lit(tmp_path / "film" / "output.mp4", 50)
