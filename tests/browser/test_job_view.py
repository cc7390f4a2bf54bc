"""A job while it works, in a real browser: what is found is shown before the end, and what goes wrong is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.filmed import Filmed, filmed
from tests.integration.rows import sql

playwright_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need the playwright package")
expect = playwright_api.expect

LOAD_MS = 60_000
PHONE_PX = 320
HOSTILE_NAME = "<img src=x onerror=alert(1)>.mp4"


@pytest.fixture
def films(database_url: str, tmp_path: Path) -> Iterator[Filmed]:
    with filmed(database_url, tmp_path, chunk_seconds=2, retry_base_seconds=0, max_attempts=1) as found:
        yield found


@pytest.fixture
def page(browser: Any, films: Filmed) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=films.site.address)
    page = films.site.watch(context.new_page())
    page.on("dialog", lambda dialog: (films.site.faults.append(dialog.message), dialog.dismiss()))
    yield page
    context.close()


def test_people_are_seen_before_half_of_the_chunks_are_done(films: Filmed, page: Any) -> None:
    job_id = films.upload(films.numbered(seconds=9), aspect="9:16")
    page.goto(f"/#/jobs/{job_id}")
    expect(page.locator(".poster")).to_be_visible(timeout=LOAD_MS)
    expect(page.locator(".cell.queued")).to_have_count(films.studio.service.get(job_id).total_chunks)
    assert films.studio.worker.work_once(films.studio.loop)

    glimpse = page.locator(".glimpse")
    expect(glimpse.locator("video")).to_be_visible(timeout=LOAD_MS)
    expect(glimpse.locator(".person").first).to_be_visible()
    done = sum(chunk.status == "completed" for chunk in films.studio.service.chunks(job_id))
    assert done < films.studio.service.get(job_id).total_chunks / 2
    page.locator(".cell.completed").focus()
    expect(page.locator(".strip-about")).to_contain_text("Part 1, 0:00.00 to 0:0")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".strip-about")).to_contain_text("Part 2, 0:0")
    page.keyboard.press("End")
    expect(page.locator(".cell").last).to_be_focused()
    expect(page.locator(".cell[tabindex='0']")).to_have_count(1)
    page.set_viewport_size({"width": PHONE_PX, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_PX

    films.studio.run()
    expect(page.locator("#stage")).to_have_text("Done", timeout=LOAD_MS)
    page.locator(".log-box summary").click()
    expect(page.locator(".log li").first).to_contain_text("Done")
    expect(page.locator(".log li").last).to_contain_text("The job was made")


def test_a_failure_says_what_to_do_and_can_be_tried_again(films: Filmed, page: Any) -> None:
    film = films.numbered(seconds=3)
    job_id = films.upload(film, subject="track:99")
    sql(films.studio.database, "UPDATE video_analysis_jobs SET input_name = :name", name=HOSTILE_NAME)
    films.studio.run()
    page.goto(f"/#/jobs/{job_id}")
    expect(page.locator("#job-name")).to_have_text(HOSTILE_NAME, timeout=LOAD_MS)
    expect(page.locator("#failure")).to_contain_text("99")
    expect(page.get_by_role("button", name="Edit and run")).to_be_visible()
    page.goto("/#/jobs/00000000-0000-4000-8000-000000000000")
    expect(page.locator("#job-name")).to_have_text("No such job", timeout=LOAD_MS)
    expect(page.get_by_role("link", name="See all jobs")).to_be_visible()
