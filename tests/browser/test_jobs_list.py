"""The list of jobs in a real browser, over a real API: what other tabs and workers do is shown, and what a person does
to jobs is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask import request
from werkzeug.serving import make_server

from backend.db.engine import Database
from backend.settings import Settings
from backend.states import JobStatus
from tests.integration.conftest import wait_until
from tests.integration.keyed import api_on
from tests.integration.rows import add_job, sql
from tests.integration.studio import Studio
from tests.loopback import Request, loopback
from tests.samples import make_sample

playwright_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need the playwright package")
expect = playwright_api.expect

HOSTILE_NAME = "<img src=x onerror=alert(1)>.mp4"
UNDO_MS = 8000
PHONES_PX = (320, 390)
GONE = {"error_code": "input_not_found", "error_message": "There is no such file.", "error_retryable": False}
AWAY = {"error_code": "source_unreachable", "error_message": "Nobody answers.", "error_retryable": True}


class Site:
    """An API, its rows, and pages on it."""

    def __init__(self, address: str, database: Database, settings: Settings, new_page: Callable[[], Any]) -> None:
        self.address, self.database, self.settings, self.open = address, database, settings, new_page
        self.asked: list[str] = []  # paths

    def add(self, name: str, status: str = JobStatus.PROCESSING, **columns: Any) -> UUID:
        return add_job(self.database, [{"status": "queued"}], input_name=name, status=status, **columns)

    def job(self, job_id: UUID | str) -> dict[str, Any]:
        return sql(self.database, "SELECT * FROM video_analysis_jobs WHERE id = :id", id=job_id)[0]

    def set(self, job_id: UUID, **columns: Any) -> None:
        names = ", ".join(f"{name} = :{name}" for name in columns)
        sql(self.database, f"UPDATE video_analysis_jobs SET {names} WHERE id = :id", id=job_id, **columns)

    def wait(self, job_id: UUID, status: str, timeout_sec: float = 60) -> None:
        wait_until(lambda: self.job(job_id)["status"] == status, timeout_sec, f"the job to be {status}")


@pytest.fixture
def site(browser: Any, database_url: str, tmp_path: Path) -> Iterator[Site]:
    """Whatever the page's scripts throw, and whatever dialog opens, fails the test."""
    faults: list[str] = []
    with ExitStack() as stack:
        api = stack.enter_context(api_on(database_url, tmp_path, http_allow_private=True, retry_base_seconds=0))
        asked: list[str] = []
        api.app.before_request(lambda: asked.append(request.path))
        server = make_server("127.0.0.1", 0, api.app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        context = browser.new_context(base_url=f"http://127.0.0.1:{server.server_port}")

        def new_page() -> Any:
            page = context.new_page()
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
            return page

        settings: Settings = api.app.extensions["framefleet"].settings
        site = Site(f"http://127.0.0.1:{server.server_port}", api.database, settings, new_page)
        site.asked = asked
        yield site
        context.close()
        server.shutdown()
        thread.join()
        server.server_close()
    assert faults == []


def row(page: Any, name: str) -> Any:
    return page.get_by_role("row").filter(has_text=name)


def test_both_tabs_show_what_becomes_of_the_jobs_and_keep_the_focus(site: Site) -> None:
    site.add("older.mp4", JobStatus.DONE)
    kept = site.add("same.mp4", input_uri="https://one.example/same.mp4")
    site.add("same.mp4", JobStatus.FAILED, input_uri="https://two.example/same.mp4", **GONE)
    pages = [site.open(), site.open()]
    for page in pages:
        page.goto("/#/jobs")
        expect(row(page, "same.mp4")).to_have_count(2)
        expect(row(page, "two.example")).to_contain_text("There is no such file. Check the link")
    link = row(pages[1], "one.example").get_by_role("link", name="same.mp4")
    link.focus()
    site.add(HOSTILE_NAME)
    site.set(kept, status=JobStatus.DONE)
    for page in pages:
        expect(page.get_by_role("row").nth(1)).to_contain_text(HOSTILE_NAME)
        expect(row(page, "one.example")).to_contain_text("Done")
        expect(page.get_by_role("link", name="Done 2")).to_be_visible()
    expect(link).to_be_focused()
    assert pages[0].locator("main img").count() == 0
    expect(pages[0]).to_have_title("1 under way · Jobs · framefleet")
    pages[0].context.set_offline(True)
    site.add("made meanwhile.mp4")
    for page in pages:
        expect(page.get_by_role("alert").filter(has_text="does not answer")).to_be_visible()
    pages[0].context.set_offline(False)
    for page in pages:
        expect(row(page, "made meanwhile.mp4")).to_be_visible()
        expect(page.get_by_role("alert")).to_have_count(0)


def test_filters_live_in_the_address(site: Site) -> None:
    for index in range(3):
        site.add(f"film {index}.mp4", JobStatus.DONE)
    site.add("broken film.mp4", JobStatus.FAILED, **AWAY)
    page = site.open()
    page.goto("/#/jobs")
    page.get_by_role("link", name="Failed 1").click()
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("searchbox").fill("nothing like it")
    expect(page.get_by_text("No job fits.")).to_be_visible()
    page.get_by_role("searchbox").fill("broken")
    expect(row(page, "broken film.mp4")).to_be_visible()
    assert page.url.endswith("#/jobs?status=failed&q=broken")
    page.reload()
    expect(page.get_by_role("searchbox")).to_have_value("broken")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("link", name="All", exact=False).first.click()
    page.go_back()
    expect(page.get_by_role("link", name="Failed")).to_have_attribute("aria-current", "true")
    for width_px in PHONES_PX:
        page.set_viewport_size({"width": width_px, "height": 700})
        page.goto("/#/jobs")
        expect(row(page, "film 1.mp4")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width_px


def test_a_cancel_can_be_taken_back_for_a_while_and_is_then_carried_out(site: Site) -> None:
    job_id = site.add("talk.mp4")
    page = site.open()
    page.clock.install()
    page.goto("/#/jobs")
    row(page, "talk.mp4").get_by_role("button", name="Cancel: talk.mp4").click()
    expect(row(page, "talk.mp4")).to_contain_text("Cancelling")
    wait_until(lambda: site.job(job_id)["paused_at"], 60, "the pause")
    page.get_by_role("button", name="Undo").click()
    wait_until(lambda: site.job(job_id)["paused_at"] is None, 60, "the job to go on")
    page.clock.fast_forward(2 * UNDO_MS)
    expect(row(page, "talk.mp4").get_by_role("button", name="Cancel: talk.mp4")).to_be_visible()
    assert site.job(job_id)["status"] == JobStatus.PROCESSING
    row(page, "talk.mp4").get_by_role("button", name="Cancel: talk.mp4").click()
    wait_until(lambda: site.job(job_id)["paused_at"], 60, "the pause")
    assert site.job(job_id)["status"] == JobStatus.PROCESSING
    page.clock.fast_forward(UNDO_MS)
    site.wait(job_id, JobStatus.CANCELLED)
    expect(row(page, "talk.mp4")).to_contain_text("Cancelled")


def test_a_cancel_is_carried_out_once_although_the_tab_went_away(site: Site) -> None:
    left, killed, resumed = site.add("left.mp4"), site.add("killed.mp4"), site.add("resumed.mp4")
    page = site.open()
    page.goto("/#/jobs")
    row(page, "left.mp4").get_by_role("button", name="Cancel: left.mp4").click()
    wait_until(lambda: site.job(left)["paused_at"], 60, "the pause")
    page.reload()
    site.wait(left, JobStatus.CANCELLED)
    # As a tab leaves it that was killed; one of the jobs was resumed by somebody since.
    site.set(killed, paused_at="2026-01-01T00:00:00Z")
    pending = f'{{"{killed}": {{"due": 1000}}, "{resumed}": {{"due": 1000}}}}'
    page.evaluate("pending => localStorage.setItem('framefleet-cancelling', pending)", pending)
    other = site.open()
    other.goto("/#/new")
    site.wait(killed, JobStatus.CANCELLED)
    wait_until(lambda: other.evaluate("localStorage.getItem('framefleet-cancelling')") == "{}", 60, "nothing pending")
    assert site.job(resumed)["status"] == JobStatus.PROCESSING
    assert site.asked.count(f"/api/v1/jobs/{left}/cancel") == 1
    assert site.asked.count(f"/api/v1/jobs/{killed}/cancel") == 1


def test_picked_jobs_are_retried_and_cancelled_together_by_keyboard(site: Site) -> None:
    failed = [site.add(f"failed {index}.mp4", JobStatus.FAILED, **AWAY) for index in range(3)]
    live = site.add("live.mp4")
    page = site.open()
    page.goto("/#/jobs")
    boxes = page.locator("tbody").get_by_role("checkbox")
    boxes.nth(0).focus()
    page.keyboard.press("Space")
    boxes.nth(3).click(modifiers=["Shift"])
    bar = page.get_by_role("group", name="Picked jobs")
    expect(bar).to_contain_text("4 picked")
    bar.get_by_role("button", name="Retry (3)").press("Enter")
    expect(page.get_by_text("3 jobs are tried again")).to_be_visible()
    assert {site.job(each)["error_code"] for each in failed} == {None}
    page.get_by_role("checkbox", name="Pick all that are shown").check()
    bar.get_by_role("button", name="Pick none").press("Enter")
    expect(bar).to_be_hidden()
    more = row(page, "live.mp4").get_by_role("button", name="More for live.mp4")
    more.press("Enter")
    page.keyboard.press("Escape")
    expect(more).to_be_focused()
    more.press("Enter")
    row(page, "live.mp4").get_by_role("button", name="Pause").press("Enter")
    wait_until(lambda: site.job(live)["paused_at"], 60, "the pause")


def test_a_failed_link_is_edited_and_run_again_with_success(site: Site, tmp_path: Path) -> None:
    film = make_sample(tmp_path / "film.mp4", seconds=1).read_bytes()

    def answer(request: Request) -> tuple[int, bytes]:
        return (200, film) if request.path == "/film.mp4" else (404, b"")

    studio = Studio(site.database, site.settings, None)  # type: ignore[arg-type]  # nobody poses
    with loopback(answer) as host:
        page = site.open()
        asked = {"input": f"{host}/flim.mp4", "params": {"sample_fps": 1}}
        created = page.request.post(f"{site.address}/api/v1/jobs", data=asked).json()
        site.wait(created["id"], JobStatus.FAILED)
        page.goto("/#/jobs")
        row(page, "flim.mp4").get_by_role("button", name="Edit and run: flim.mp4").click()
        dialog = page.get_by_role("dialog")
        link = dialog.get_by_label("Link")
        expect(link).to_have_value(f"{host}/flim.mp4")
        link.fill("film.mp4")
        link.press("Enter")
        expect(dialog.get_by_role("alert")).to_contain_text("must begin with https://")
        link.fill(f"{host}/film.mp4")
        dialog.get_by_label("Shape").select_option("1:1")
        dialog.get_by_role("button", name="Run").click()
        page.wait_for_url(lambda url: "#/jobs/" in url and created["id"] not in url)
        made = page.url.rpartition("/")[2]
        wait_until(lambda: site.job(made)["total_chunks"], 60, "the plan")
        studio.run()
    assert site.job(made)["status"] == JobStatus.DONE
    assert {"aspect": "1:1", "sample_fps": 1}.items() <= site.job(made)["params"].items()
    page.goto("/#/jobs")
    expect(page.get_by_role("row").nth(1)).to_contain_text("Done")
