"""The whole picture, smaller: every frame at its time, upright, with its sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from backend.errors import InvalidParams
from backend.kinds.downsample import DOWNSAMPLE, smaller
from tests.conftest import shared_file
from tests.integration.rendering import decoded_pts
from tests.integration.whole_films import ffmpeg, made

QUICK = {"preset": "ultrafast", "crf": 10}
FILM = ("-f", "lavfi", "-i", "testsrc2=r=25:s=320x180", "-f", "lavfi", "-i", "sine=d=3", "-t", 3, "-c:a", "aac")


@pytest.mark.parametrize(
    ("size", "lines", "enlarge", "expected"),
    [
        ((1920, 1080), 360, False, (640, 360)),
        ((1080, 1920), 360, False, (360, 640)),
        ((1920, 1080), 241, False, (428, 240)),
        ((853, 479), 360, False, (642, 360)),
        ((320, 180), 360, False, (320, 180)),
        ((321, 181), 360, False, (320, 180)),
        ((320, 180), 360, True, (640, 360)),
    ],
)
def test_sizes_are_even_keep_the_aspect_and_grow_only_when_asked(
    size: tuple[int, int], lines: int, enlarge: bool, expected: tuple[int, int]
) -> None:
    assert smaller(size, lines, enlarge=enlarge) == expected


@pytest.mark.parametrize("given", ["360p", "360", 360])
def test_the_resolution_is_taken_in_each_of_its_spellings(given: Any) -> None:
    assert DOWNSAMPLE.parse_params({"resolution": given}).resolution == 360


@pytest.mark.parametrize("given", ["360q", "p", "", True, 8, 99_999, "³60p", 360.5, None])
def test_other_spellings_are_refused_by_the_parameters_name(given: Any) -> None:
    with pytest.raises(InvalidParams, match="resolution"):
        DOWNSAMPLE.parse_params({"resolution": given})


@pytest.mark.parametrize("workers", [0, 2])
def test_the_picture_is_the_sources_in_one_go_and_in_pieces(tmp_path: Path, workers: int) -> None:
    source = tmp_path / "film.mp4"
    ffmpeg(*FILM, "-c:v", "libx264", "-preset", "ultrafast", "-g", 25, source)
    film = made(DOWNSAMPLE, source, tmp_path / "work", workers=workers, resolution=90, **QUICK)
    assert decoded_pts(film.path) == decoded_pts(source)
    with av.open(str(film.path)) as small, av.open(str(source)) as large:
        assert (small.streams.video[0].width, small.streams.video[0].height) == (160, 90)
        assert len(small.streams.audio) == 1
        for ours, theirs in zip(small.decode(video=0), large.decode(video=0), strict=True):
            wanted = theirs.reformat(160, 90, format="gray", interpolation="AREA").to_ndarray().astype(float)
            assert np.abs(ours.to_ndarray(format="gray").astype(float) - wanted).mean() < 4


def test_a_film_that_lies_on_its_side_is_stood_up(tmp_path: Path) -> None:
    source = shared_file("media", "streamio_sideways.mov")
    film = made(DOWNSAMPLE, source, tmp_path / "work", workers=0, resolution="120p", **QUICK)
    with av.open(str(film.path)) as small:
        stream = small.streams.video[0]
        upright = smaller((film.facts.width, film.facts.height), 120, enlarge=False)
        assert (stream.width, stream.height) == upright and film.facts.rotation != 0
        assert next(small.decode(stream)).rotation == 0
