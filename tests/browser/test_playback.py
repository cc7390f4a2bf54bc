"""Every real film, cut to a still 9:16 window, played by a real browser: to its end, with the source's own times."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
import pytest

from tests.conftest import SHARED, shared_file
from tests.integration.rendering import Rendered, Row, centred, planned, probe, render, rendered_in_pieces

LONG = "media3_long_1080p_lowbitrate.mp4"
LARGE_PX = 500
BEGINNING_SEC = 20  # of the long film
FILMS = sorted(
    str(path.relative_to(SHARED / "media"))
    for path in (SHARED / "media").rglob("*.*")
    if path.suffix not in (".md", ".txt") and "bad" not in path.parts
)
PAGE = """<!doctype html><video id="video" muted src="film.mp4"></video>"""
PLAY = """video => new Promise(resolve => {
    const finish = how => () => resolve({
        how, seconds: video.currentTime, width: video.videoWidth, height: video.videoHeight,
        error: video.error && video.error.message,
    });
    video.addEventListener("ended", finish("ended"));
    video.addEventListener("error", finish("error"));
    if (video.error) finish("error")();
    const start = () => { video.playbackRate = 16; video.play(); };
    if (video.readyState) start(); else video.addEventListener("loadedmetadata", start);
})"""


def window_and_size(source: Path) -> tuple[Row, tuple[int, int]]:
    """The window in the middle; large ones are shown at half their size."""
    window = centred(probe(source))
    width, height = (round(side) for side in window[2:])
    return window, ((width // 4 * 2, height // 4 * 2) if width > LARGE_PX else (width, height))


@pytest.mark.parametrize("name", FILMS or ["dancer.avi"])
def test_every_film_plays_to_its_end_with_every_frame_at_its_time(browser: Any, name: str, tmp_path: Path) -> None:
    source = shared_file("media", *name.split("/"))
    if name == LONG:
        source = beginning_of(source, tmp_path / LONG)
    window, size = window_and_size(source)
    done = render(source, tmp_path / "film.mp4", lambda _: window, size, preset="ultrafast")
    assert_it_plays(browser, done, source)


def test_a_film_of_pieces_plays_to_its_end(browser: Any, tmp_path: Path) -> None:
    source = shared_file("media", "latentsync_demo1.mp4")
    window, size = window_and_size(source)
    plan = planned(source, tmp_path / "film.mp4", lambda _: window, size, preset="ultrafast")
    assert_it_plays(browser, rendered_in_pieces(plan, [80, 170]), source)


def assert_it_plays(browser: Any, done: Rendered, source: Path) -> None:
    """To its end, with the source's own frames."""
    end_sec = assert_the_same_frames(done, source)
    (done.path.parent / "index.html").write_text(PAGE)
    page = browser.new_page()
    page.goto((done.path.parent / "index.html").as_uri())
    played = page.locator("#video").evaluate(PLAY)
    page.close()
    assert (played["how"], played["error"]) == ("ended", None)
    assert played["seconds"] == pytest.approx(end_sec, abs=0.1)
    assert played["height"] / played["width"] == pytest.approx(16 / 9, abs=0.05)


def beginning_of(film: Path, target: Path) -> Path:
    """Its first seconds: test_pieces and test_every_film render all of its 10,883 frames."""
    cut = ["-t", str(BEGINNING_SEC), "-c", "copy", str(target)]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(film), *cut], check=True)
    return target


def assert_the_same_frames(done: Rendered, source: Path) -> float:
    """Count and times are the source's, to the tick, less where a recorder's clock began. Returns the film's end."""
    with av.open(str(done.path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
        end_sec = float((container.duration or 0) / av.time_base)
    assert len(times) == len(done.source_pts)
    with av.open(str(source), metadata_errors="ignore") as container:
        began_sec = (container.start_time or 0) / av.time_base  # sound may begin before the picture
    counts_from_anywhere = "mpegts" in done.facts.container or began_sec > 1
    origin = min(began_sec, done.source_seconds[0]) if counts_from_anywhere else 0.0
    assert np.allclose(times, np.array(done.source_seconds) - origin, atol=1e-6)
    return end_sec
