"""The review of a finished job: source and result stand on the same frame of the film, read from their pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.filmed import WHOLE_PICTURE, Filmed, filmed
from tests.browser.numbered import shown_number
from tests.integration.conftest import wait_until

playwright_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need the playwright package")
expect = playwright_api.expect

LOAD_MS = 60_000
PHONE_PX = 320


@pytest.fixture
def films(database_url: str, tmp_path: Path) -> Iterator[Filmed]:
    with filmed(database_url, tmp_path) as found:
        yield found


@pytest.fixture
def page(browser: Any, films: Filmed) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=films.site.address)
    page = films.site.watch(context.new_page())
    yield page
    context.close()


def frame_said(page: Any) -> int:
    said = re.search(r"frame (\d+)", page.locator(".where").inner_text())
    assert said is not None
    return int(said[1])


def assert_both_show(page: Any, frame: int) -> None:
    """Source and result, read from their pixels, and what the page says."""
    for picture in (".of-source video", ".of-result video"):
        locator = page.locator(picture)
        wait_until(lambda shown=locator: shown_number(shown) == frame, 60, f"{picture} to show {frame}")
    assert frame_said(page) == frame


def open_review(page: Any, job_id: Any) -> None:
    page.goto(f"/#/jobs/{job_id}")
    expect(page.locator(".of-source video")).to_be_visible(timeout=LOAD_MS)
    wait_until(lambda: shown_number(page.locator(".of-source video")) == 0, 60, "the first frame")


@pytest.mark.parametrize("variant", ["varying", "late"])
def test_source_and_result_stand_on_the_same_frame_after_steps_seeks_and_a_pause(
    films: Filmed, page: Any, variant: str
) -> None:
    open_review(page, films.done(films.numbered(variant), **WHOLE_PICTURE))
    assert_both_show(page, 0)
    page.locator("#job-name").focus()
    for key, frame in (("ArrowRight", 1), ("ArrowRight", 2), ("Shift+ArrowRight", 12), ("ArrowLeft", 11), ("End", 99)):
        page.keyboard.press(key)
        assert_both_show(page, frame)
    page.locator(".scrub").fill("40")
    assert_both_show(page, 40)
    page.keyboard.press("Tab")
    page.locator("#job-name").focus()
    page.keyboard.press("k")
    wait_until(lambda: frame_said(page) > 50, 60, "the film to play")
    page.keyboard.press("k")
    expect(page.locator(".play")).to_have_text("Play")
    assert_both_show(page, frame_said(page))
    page.locator(".scrub").fill("90")
    page.locator("#job-name").focus()
    page.keyboard.press("k")
    wait_until(lambda: frame_said(page) == 99, 60, "the film to end")
    expect(page.locator(".play")).to_have_text("Play")
    assert_both_show(page, 99)


def test_a_source_that_the_browser_cannot_decode_plays_as_a_preview(films: Filmed, page: Any) -> None:
    job_id = films.done(films.numbered("not_in_browsers"), aspect="9:16")
    page.goto(f"/#/jobs/{job_id}")
    expect(page.get_by_text("This browser cannot decode the source")).to_be_visible(timeout=LOAD_MS)
    source = page.locator(".of-source video")
    assert "/preview" in source.get_attribute("src")
    page.locator("#job-name").focus()
    page.keyboard.press("End")
    # Ten pictures a second of 25 frames a second: the one that is shown is no more than three frames old.
    wait_until(lambda: 0 <= 99 - (shown_number(source) or 0) <= 3, 60, "the preview's last picture")
    expect(page.locator(".overlay .window")).to_be_visible()


def test_the_verdict_the_timeline_and_downloads_are_there_at_phone_width_too(films: Filmed, page: Any) -> None:
    job_id = films.done(films.numbered(seconds=3), aspect="9:16", subject="all")
    open_review(page, job_id)
    expect(page.locator(".verdict")).to_contain_text("of the frames hold those who are followed whole")
    expect(page.locator(".overlay .person").first).to_be_attached()
    expect(page.locator(".lane-names canvas").first).to_be_visible()
    for link in page.locator(".downloads a").all():
        answer = page.request.get(link.get_attribute("href"))
        assert answer.status == 200, link.inner_text()
    page.set_viewport_size({"width": PHONE_PX, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_PX
