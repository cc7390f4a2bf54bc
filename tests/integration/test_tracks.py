"""What travels beside the picture, and files that are not quite what they say."""

from __future__ import annotations

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from tests.integration import films
from tests.integration.films import Shape
from tests.integration.rendering import decoded_pts, probe, render

SUBTITLES = """1
00:00:00,500 --> 00:00:01,500
Grüße aus Zürich

2
00:00:02,000 --> 00:00:03,000
Two lines,
<i>one</i> of them slanted
"""
CHAPTERS = """;FFMETADATA1
[CHAPTER]
TIMEBASE=1/1000
START=0
END=2000
title=First
[CHAPTER]
TIMEBASE=1/1000
START=2000
END=4000
title=Second
"""


def ffmpeg(*arguments: str | Path) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def film(path: Path, level: int = 90, size: tuple[int, int] = (64, 48), seconds: int = 4, **kept: object) -> Path:
    """Grey pictures that brighten by one a frame."""
    pictures = (films.grey(np.full(size[::-1], (level + n) % 236, np.uint8)) for n in range(25 * seconds))
    return films.write_film(path, pictures, [Fraction(n, 25) for n in range(25 * seconds)], **kept)  # type: ignore[arg-type]


def level_of(path: Path) -> float:
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        return float(np.frombuffer(memoryview(frame.planes[0]), np.uint8)[: frame.width].mean())


@pytest.mark.parametrize("name", ["film.mkv", "film.mov"])
def test_every_sound_track_is_kept_in_its_place(tmp_path: Path, name: str) -> None:
    early, late = films.beeps(4.0), np.roll(films.beeps(4.0), films.RATE // 2)
    source = film(tmp_path / name, sounds=[("aac", early), ("pcm_s16le", late)])
    done = render(source, tmp_path / "out.mp4")
    with av.open(str(done.path)) as container:
        assert [s.codec_context.name for s in container.streams.audio] == ["aac", "aac"]
        lengths = [float(s.duration * s.time_base) for s in container.streams.audio]
    assert lengths == pytest.approx([4.0, 4.0], abs=0.05)
    assert films.beep_times(done.path, 0) == pytest.approx([0, 1, 2, 3], abs=0.02)
    assert films.beep_times(done.path, 1) == pytest.approx([0.5, 1.5, 2.5, 3.5], abs=0.02)


def test_a_gap_in_the_sound_stays_a_gap(tmp_path: Path) -> None:
    whole = film(tmp_path / "whole.mkv", seconds=6, sounds=[("pcm_s16le", films.beeps(6.0))])
    gap = "select='lt(t,1.5)+gt(t,3.5)'"
    ffmpeg("-i", whole, "-c:v", "copy", "-af", f"a{gap}", "-c:a", "pcm_s16le", tmp_path / "gap.mkv")
    done = render(tmp_path / "gap.mkv", tmp_path / "out.mp4")
    assert films.beep_times(done.path) == pytest.approx([0, 1, 4, 5], abs=0.02)


def test_text_subtitles_and_chapters_come_along(tmp_path: Path) -> None:
    (tmp_path / "text.srt").write_text(SUBTITLES)
    (tmp_path / "chapters.txt").write_text(CHAPTERS)
    source = film(tmp_path / "film.mp4")
    inputs = ("-i", source, "-i", tmp_path / "text.srt", "-i", tmp_path / "chapters.txt")
    language = ("-metadata:s:s:0", "language=ger")
    kinds = {"srt.mkv": "srt", "ass.mkv": "ass", "mov_text.mp4": "mov_text"}
    for name, codec in kinds.items():
        ffmpeg(
            *inputs,
            "-map",
            "0",
            "-map",
            "1",
            "-map_metadata",
            "2",
            "-c:v",
            "copy",
            "-c:s",
            codec,
            *language,
            tmp_path / name,
        )
        done = render(tmp_path / name, tmp_path / f"out_{name}.mp4")
        with av.open(str(done.path)) as container:
            (text,) = container.streams.subtitles
            assert (text.codec_context.name, text.language) == ("mov_text", "ger")
            shown = [p for p in container.demux(text) if p.size > 2]
            assert [float(p.pts * p.time_base) for p in shown] == pytest.approx([0.5, 2.0], abs=0.01)
            assert [float(p.duration * p.time_base) for p in shown] == pytest.approx([1.0, 1.0], abs=0.01)
            assert "Grüße aus Zürich".encode() in bytes(shown[0])
            titles = [chapter["metadata"].get("title") for chapter in container.chapters()]
            assert titles == ["First", "Second"]


def test_subtitles_with_a_damaged_style_sheet_do_not_fail_the_film(tmp_path: Path) -> None:
    (tmp_path / "text.srt").write_text(SUBTITLES)
    ffmpeg(
        "-i", film(tmp_path / "a.mp4"), "-i", tmp_path / "text.srt", "-c:v", "copy", "-c:s", "ass", tmp_path / "b.mkv"
    )
    data = (tmp_path / "b.mkv").read_bytes()
    header = data.index(b"[Script Info]")
    (tmp_path / "b.mkv").write_bytes(data[:header] + b"\xff" * 200 + data[header + 200 :])
    done = render(tmp_path / "b.mkv", tmp_path / "out.mp4")
    assert len(decoded_pts(done.path)) == 100


def test_the_default_video_track_is_the_film_and_not_the_first(tmp_path: Path) -> None:
    small, wanted = film(tmp_path / "a.mp4", 30, (32, 32)), film(tmp_path / "b.mp4", 120)
    both = tmp_path / "both.mkv"
    order = ("-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "0", "-disposition:v:1", "default")
    ffmpeg("-i", small, "-i", wanted, *order, both)
    assert (probe(both).width, probe(both).height) == (64, 48)
    assert level_of(render(both, tmp_path / "out.mp4").path) == pytest.approx(120, abs=3)


def test_a_cover_picture_is_not_the_film(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=red:s=200x200", "-frames:v", "1", tmp_path / "cover.png")
    order = ("-map", "1", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic")
    ffmpeg("-i", film(tmp_path / "a.mp4"), "-i", tmp_path / "cover.png", *order, tmp_path / "b.mp4")
    assert probe(tmp_path / "b.mp4").width == 64
    assert len(render(tmp_path / "b.mp4", tmp_path / "out.mp4").source_pts) == 100


def test_a_size_that_changes_midway_keeps_every_frame(tmp_path: Path) -> None:
    parts = []
    for number, size in enumerate([(64, 48), (96, 72), (64, 48)]):
        part = film(tmp_path / f"{number}.mp4", 60 + 40 * number, size, 1)
        ffmpeg("-i", part, "-c", "copy", "-output_ts_offset", str(number), "-f", "mpegts", tmp_path / f"{number}.ts")
        parts.append((tmp_path / f"{number}.ts").read_bytes())
    source = tmp_path / "film.ts"
    source.write_bytes(b"".join(parts))
    done = render(source, tmp_path / "out.mp4", lambda _: (18, 0, 26, 48))
    assert len(done.source_pts) == 75
    assert len(decoded_pts(done.path)) == 75


@pytest.mark.parametrize("size", [(63, 47), (65, 48), (64, 49)])
def test_odd_sizes_are_cut_to_the_last_row_and_column(tmp_path: Path, size: tuple[int, int]) -> None:
    source = tmp_path / "odd.mkv"
    shape = Shape("ffv1", time_base=Fraction(1, 1000), options={})
    film(source, 90, size, 1, shape=shape)
    window = (size[0] - 32, size[1] - 40, 32, 40)
    done = render(source, tmp_path / "out.mp4", lambda _: window, crf=0)
    assert len(decoded_pts(done.path)) == 25
    assert level_of(done.path) == pytest.approx(90, abs=1)


def test_a_lying_extension_and_no_duration_change_nothing(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4")
    ffmpeg("-i", source, "-c", "copy", "-f", "matroska", "-live", "1", tmp_path / "live.mkv")
    shutil.move(tmp_path / "live.mkv", tmp_path / "live.avi")
    done = render(tmp_path / "live.avi", tmp_path / "out.mp4")
    assert done.facts.container.startswith("matroska")
    assert len(decoded_pts(done.path)) == 100


@pytest.mark.parametrize("codec", ["mjpeg", "rawvideo"])
def test_camera_formats_of_full_range_or_rgb_keep_their_brightness(tmp_path: Path, codec: str) -> None:
    """Motion JPEG of 4:2:2 is full range, raw video here is RGB; grey 90 of limited range is what both show."""
    kind = "yuvj422p" if codec == "mjpeg" else "bgr24"
    filters = f"scale=out_range=full,format={kind}"
    ffmpeg("-i", film(tmp_path / "a.mp4", seconds=1), "-vf", filters, "-c:v", codec, "-q:v", "1", tmp_path / "b.avi")
    done = render(tmp_path / "b.avi", tmp_path / "out.mp4", crf=1)
    assert level_of(done.path) == pytest.approx(90, abs=1.5)
