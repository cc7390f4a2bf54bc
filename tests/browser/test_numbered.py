"""Films whose pictures carry their number: what the tests of the player measure with."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from tests.browser.numbered import shown_number
from tests.numbered import LATE_SEC, NOT_IN_BROWSERS, VARIANTS, make_numbered, read_number

MEDIA_ERR_SRC_NOT_SUPPORTED = 4
HALF_A_FRAME_SEC = 0.01


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_frame_carries_its_number_at_its_time(variant: str, tmp_path: Path) -> None:
    times_sec = make_numbered(tmp_path / "film", variant, seconds=1)
    with av.open(str(tmp_path / "film")) as film:
        read = [
            (read_number(each.to_ndarray(format="bgr24")), each.pts * each.time_base) for each in film.decode(video=0)
        ]
    assert [number for number, _ in read] == list(range(25))
    assert [Fraction(at).limit_denominator(12_800) for _, at in read] == times_sec
    assert (times_sec[0] == LATE_SEC) == (variant == "late")


def test_a_browser_shows_the_picture_of_the_time_asked_for(browser: Any, tmp_path: Path) -> None:
    times_sec = {name: make_numbered(tmp_path / f"{name}.mp4", name, seconds=1) for name in ("plain", "varying")}
    make_numbered(tmp_path / "old.avi", NOT_IN_BROWSERS, seconds=1)
    page = browser.new_page()
    (tmp_path / "page.html").write_text("<!doctype html><video muted></video>")
    page.route(
        "http://films.test/**", lambda route: route.fulfill(path=tmp_path / route.request.url.rpartition("/")[2])
    )
    page.goto("http://films.test/page.html")
    video = page.locator("video")
    for number in (0, 1, 7, 24):
        assert _at(video, "plain.mp4", float(times_sec["plain"][number]) + HALF_A_FRAME_SEC) == number
        # With a varying rate and B-frames Chromium may take an earlier picture for one still shown: its packet's
        # duration is another picture's. The player of the page sees to that.
        shown = _at(video, "varying.mp4", float(times_sec["varying"][number]) + HALF_A_FRAME_SEC)
        assert shown is not None and number - 2 <= shown <= number
    assert video.evaluate(_LOAD, "old.avi") == MEDIA_ERR_SRC_NOT_SUPPORTED
    page.close()


# Whole, since a film without byte ranges cannot be sought in.
_LOAD = """async (video, url) => {
  const film = URL.createObjectURL(await (await fetch(url)).blob());
  return new Promise((done) => {
    video.onloadeddata = () => done(null);
    video.onerror = () => done(video.error.code);
    video.src = film;
  });
}"""
_SEEK = """(video, at) => new Promise((done) => { video.onseeked = () => done(); video.currentTime = at; })"""


def _at(video: Any, url: str, time_sec: float) -> int | None:
    assert video.evaluate(_LOAD, url) is None
    video.evaluate(_SEEK, time_sec)
    return shown_number(video)
