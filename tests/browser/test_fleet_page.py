"""The fleet's page in a real browser, over a real API: who works, what failed, and a pause that others made."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import request
from werkzeug.serving import make_server

from backend.access.keys import create_key
from backend.access.scopes import Scope
from backend.queue.fleet import pause_fleet
from backend.queue.registry import Presence, WorkerRows
from backend.versions import SCHEMA_VERSION
from tests.integration.keyed import Api, api_on
from tests.integration.rows import add_job, ago, sql

playwright_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need the playwright package")
expect = playwright_api.expect

HOSTILE = "<img src=x onerror=alert(1)>"
PHONE = {"width": 320, "height": 700}


@contextmanager
def page_on(browser: Any, address: str, faults: list[str], **options: Any) -> Iterator[Any]:
    context = browser.new_context(base_url=address, **options)
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    yield page
    context.close()


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[Api]:
    with api_on(database_url, tmp_path) as api:
        yield api


@pytest.fixture
def asked(api: Api) -> list[str]:
    """Paths, in the order of the requests."""
    asked: list[str] = []
    api.app.before_request(lambda: asked.append(request.path))
    return asked


@pytest.fixture
def address(api: Api, asked: list[str]) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, api.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def faults() -> Iterator[list[str]]:
    """Whatever the page's scripts throw, and whatever dialog opens, fails the test."""
    faults: list[str] = []
    yield faults
    assert faults == []


def present(api: Api, worker_id: str, **more: Any) -> None:
    told = {"trouble": None, "machine": None, "device": None, **more}
    knows = ["crop"]
    WorkerRows(api.database).seen(
        Presence(worker_id, "gpu_chunk_worker", knows, SCHEMA_VERSION, ["h264_nvenc", "nvdec"], begins=False, **told)
    )


def fill(api: Api) -> None:
    present(api, "w1", machine="gpu-host-1", device="NVIDIA H100 80GB HBM3")
    present(api, "w2", machine=HOSTILE, device="CPU, 2 threads, OpenVINO", trouble="The disk is full.")
    held = {"status": "processing", "attempts": 1, "claimed_by": "w1", "started_at": ago(api.database, 75)}
    add_job(api.database, [held, {}, {}], input_name=f"{HOSTILE}.mp4")
    over = {"status": "failed", "error_code": "media_truncated", "error_message": "The file ends early."}
    failed = {**over, "failed_by": "w1", "attempts": 3, "completed_at": ago(api.database, 600)}
    add_job(api.database, [failed], input_name="broken.mp4", completed_at=ago(api.database, 500), **over)
    sql(
        api.database,
        "INSERT INTO fleet_samples SELECT now() - make_interval(mins => n), n % 40, n % 7, 2, n % 5"
        " FROM generate_series(1, 1400) n WHERE n NOT BETWEEN 300 AND 420",
    )


def test_operators_see_who_works_retry_what_failed_and_pause(
    browser: Any, api: Api, address: str, asked: list[str], faults: list[str]
) -> None:
    fill(api)
    with page_on(browser, address, faults) as page:
        page.goto("/#/fleet")
        working = page.get_by_role("table", name="Workers").get_by_role("row").filter(has_text="w1")
        expect(working).to_contain_text("At work")
        expect(working).to_contain_text("NVIDIA H100 80GB HBM3")
        expect(working).to_contain_text("encodes with h264_nvenc; decodes with nvdec")
        expect(working.get_by_role("link")).to_have_text(f"{HOSTILE}.mp4")
        expect(working).to_contain_text("chunk 1 (detect), for 1 min")
        unwell = page.get_by_role("row").filter(has_text="The disk is full.")
        expect(unwell).to_contain_text(HOSTILE)
        expect(page.get_by_role("table", name="Lanes")).to_contain_text("default")
        expect(page.locator(".chart svg .line.queued")).to_have_count(1)
        page.get_by_text("As a table").click()
        history = page.get_by_role("region", name="History as a table").locator("tbody tr")
        expect(history.first).to_be_visible()  # it is filled when it is opened
        assert 250 < history.count() <= 300
        expect(page.locator(".figure").filter(has_text="BacklogPerWorker").locator("strong")).to_have_text("1.5")

        # What keeps its place and its focus while answers come: a button, and the scroll.
        retry = page.get_by_role("button", name="Retry broken.mp4")
        expect(page.locator(".failed-job")).to_contain_text("The file ends early.")
        retry.focus()
        before = page.evaluate("scrollY")
        sql(api.database, "UPDATE video_analysis_chunks SET status = 'completed', progress = 1 WHERE claimed_by = 'w1'")
        expect(working).to_contain_text("nothing")
        assert page.evaluate("[document.activeElement.textContent, scrollY]") == ["Retry", before]
        page.keyboard.press("Enter")
        expect(page.locator(".failed-job")).to_have_count(0)
        (job,) = sql(api.database, "SELECT status FROM video_analysis_jobs WHERE input_name = 'broken.mp4'")
        assert job["status"] in ("queued", "processing")
        # Asking goes on, a request a second at most, and mostly unchanged.
        del asked[:]
        page.wait_for_timeout(3000)
        assert 1 <= len([path for path in asked if path.startswith("/api/")]) <= 3

        page.get_by_role("button", name="Pause…").click()
        page.get_by_label("Why?").fill(HOSTILE)
        page.get_by_role("dialog").get_by_role("button", name="Pause").click()
        panel = page.get_by_label("Pause and resume")
        expect(panel).to_contain_text(f"Paused by this machine, just now: {HOSTILE}")
        assert sql(api.database, "SELECT reason FROM fleet")[0]["reason"] == HOSTILE
        panel.get_by_role("button", name="Resume").click()
        expect(panel).to_contain_text("Work goes on")
        assert sql(api.database, "SELECT paused_at FROM fleet")[0]["paused_at"] is None


def test_a_pause_from_elsewhere_is_said_here_and_fits_a_phone(
    browser: Any, api: Api, address: str, faults: list[str]
) -> None:
    fill(api)
    pause_fleet(api.database, "the store moves", "ada@ops")
    with page_on(browser, address, faults, viewport=PHONE) as page:
        page.goto("/#/fleet")
        expect(page.get_by_label("Pause and resume")).to_contain_text("Paused by ada@ops, just now: the store moves")
        expect(page.locator(".chart svg")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_who_does_not_run_the_fleet_is_told_so(browser: Any, api: Api, address: str, faults: list[str]) -> None:
    key = create_key(api.database, "reader", scopes=(Scope.JOBS_READ,))
    with page_on(browser, address, faults, extra_http_headers={"Authorization": f"Bearer {key}"}) as page:
        page.goto("/#/fleet")
        expect(page.get_by_role("main")).to_contain_text("This is for whoever runs the fleet")
        expect(page.get_by_role("table")).to_have_count(0)
