"""What stands round every view: the fleet's state, the way home, and news for who looks elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.serving import make_server

from backend.states import JobStatus
from tests.conftest import empty_database
from tests.integration.keyed import Api, api_on
from tests.integration.rows import add_job, sql

playwright_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need the playwright package")
expect = playwright_api.expect

VIEWS = ("#/new", "#/jobs", "#/fleet", "#/jobs/{job}", "#/jobs/{job}/edit", "#/nowhere")
REASON = "a <b>disk</b> is changed"


@pytest.fixture(scope="module")
def api(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with empty_database(postgres) as url, api_on(url, tmp_path_factory.mktemp("shell")) as api:
        yield api


@pytest.fixture(scope="module")
def address(api: Api) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, api.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    context = browser.new_context(base_url=address)
    context.grant_permissions(["notifications"])
    page = context.new_page()
    yield page
    context.close()


def test_a_fleet_that_is_paused_by_api_is_said_on_every_view(api: Api, page: Any) -> None:
    job_id = add_job(api.database, [{"status": "queued"}])
    banner = page.locator("#banner")
    page.goto("/")
    expect(banner).to_contain_text("No worker")
    assert page.request.post("/api/v1/fleet/pause", data={"reason": REASON}).ok
    for view in VIEWS:
        page.goto("about:blank")
        page.goto(f"/{view.format(job=job_id)}")
        expect(banner).to_contain_text("The fleet is paused")
        expect(banner).to_contain_text(REASON)
    assert page.request.post("/api/v1/fleet/resume").ok
    page.reload()
    expect(banner).not_to_contain_text("paused")


def test_a_wrong_address_and_a_view_that_breaks_have_a_way_home(page: Any, address: str) -> None:
    page.goto("/nothing/here")
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()
    assert page.title() == "There is no such page · framefleet"
    page.get_by_role("link", name="See all jobs").click()
    page.wait_for_url(f"{address}/#/jobs")
    expect(page.get_by_role("link", name="Jobs", exact=True)).to_have_attribute("aria-current", "page")
    page.goto("/#/no/such/view")
    expect(page.get_by_role("heading", name="There is no such view")).to_be_visible()
    broken = "export function mount() { throw new Error('broken on purpose'); }"
    page.route("**/static/fleet/view.js", lambda route: route.fulfill(body=broken, content_type="text/javascript"))
    page.get_by_role("link", name="Fleet", exact=True).click()
    expect(page.get_by_role("heading", name="This view cannot be shown")).to_be_focused()
    page.get_by_role("link", name="see all jobs").click()
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_focused()
    assert page.evaluate("document.querySelector('[data-broken]')") is None


def test_who_asked_for_it_is_told_once_when_the_job_is_done(api: Api, page: Any) -> None:
    job_id = add_job(api.database, [{"status": "queued"}], input_name="talk.mp4")
    page.add_init_script(
        """window.told = [];
        const Real = window.Notification;
        window.Notification = class { constructor(title, more) { window.told.push(`${title}: ${more.body}`); } };
        window.Notification.permission = "default";
        window.Notification.requestPermission = () => {
            window.asked = (window.asked ?? 0) + 1;
            return Promise.resolve(window.Notification.permission = "granted");
        };"""
    )
    page.goto("/#/jobs")
    assert page.evaluate("window.asked") is None
    page.get_by_role("button", name="More for talk.mp4").click()
    page.get_by_role("button", name="Tell me when it is done").click()
    expect(page.get_by_text("You are told when")).to_be_visible()
    assert page.evaluate("window.asked") == 1
    sql(api.database, "UPDATE video_analysis_jobs SET status = :done WHERE id = :id", done=JobStatus.DONE, id=job_id)
    page.wait_for_function("() => window.told.length > 0")
    page.wait_for_timeout(2000)  # another look at the list says nothing more
    assert page.evaluate("window.told") == ["The film is done: talk.mp4"]


def test_estimates_promise_no_more_than_they_know(browser: Any, address: str) -> None:
    page = browser.new_page(bypass_csp=True)
    page.goto(address)
    said = page.evaluate(
        """async () => {
            const { timeLeft } = await import("/static/core/words.js");
            return [null, 3, 10, 11, 56, 58, 89, 90, 3569, 3600, 9000].map(timeLeft);
        }"""
    )
    assert said == [
        *["", "a few seconds left", "a few seconds left", "about 10 seconds left", "about 55 seconds left"],
        *["about a minute left", "about a minute left", "about 2 minutes left", "about 59 minutes left"],
        *["about an hour left", "about 2.5 hours left"],
    ]
    page.close()
