"""The page of a server that asks for keys: a person signs in, sees their jobs and their film, and signs out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from werkzeug.serving import make_server

from backend.access.keys import create_key
from backend.access.scopes import Scope
from backend.jobs.service import JobService, NewJob
from tests.conftest import empty_database
from tests.integration.conftest import wait_until
from tests.integration.keyed import Api, api_on

playwright_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need the playwright package")
expect = playwright_api.expect
SESSION_COOKIE = "framefleet_session"


@pytest.fixture(scope="module")
def api(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    with empty_database(postgres) as url, api_on(url, folder, api_access="keys") as api:
        yield api


@pytest.fixture(scope="module")
def address(api: Api) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, api.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """In a profile of its own; whatever the page's scripts throw fails the test."""
    context = browser.new_context(base_url=address)
    page = context.new_page()
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    yield page
    context.close()
    assert thrown == []


def sign_in(page: Any, key: str) -> None:
    page.get_by_role("textbox", name="Key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def test_a_person_signs_in_sees_their_jobs_and_signs_out(api: Api, page: Any) -> None:
    key = create_key(api.database, "anna")
    JobService(api.database).create(NewJob("crop", "https://films.example/talk.mp4", "talk.mp4"))
    page.goto("/#/jobs")
    dialog = page.get_by_role("dialog", name="This server asks for a key")
    expect(dialog).to_be_visible()
    sign_in(page, "ff_of_nobody")
    expect(dialog.get_by_role("alert")).to_contain_text("opens nothing here")
    for _ in range(2):  # the second one closes any other dialog
        page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    sign_in(page, key)
    expect(dialog).to_be_hidden()
    # What was asked for before is shown now, without loading the page again.
    expect(page.get_by_role("link", name="talk.mp4")).to_be_visible()
    assert page.evaluate("document.cookie") == ""
    assert [cookie["name"] for cookie in page.context.cookies()] == [SESSION_COOKIE]
    page.reload()
    expect(page.get_by_role("link", name="talk.mp4")).to_be_visible()
    page.get_by_role("button", name="Sign out anna").click()
    expect(dialog).to_be_visible()
    expect(page.get_by_role("link", name="talk.mp4")).to_be_hidden()
    assert page.context.cookies() == []


def test_whose_session_ends_in_the_middle_is_asked_again(api: Api, page: Any) -> None:
    first = create_key(api.database, "bert")
    job_id = str(JobService(api.database).create(NewJob("crop", "https://films.example/more.mp4", "more.mp4")).id)
    page.goto("/#/jobs")
    sign_in(page, first)
    expect(page.get_by_role("button", name="Sign out bert")).to_be_visible()
    # Listed already; cancelling asks the server, which does not know whose session this was any more.
    cancel = page.get_by_role("button", name="Cancel: more.mp4")
    expect(cancel).to_be_visible()
    page.context.clear_cookies()  # as after its twelve hours
    cancel.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    sign_in(page, create_key(api.database, "carla"))
    expect(page.get_by_role("button", name="Sign out carla")).to_be_visible()
    wait_until(lambda: JobService(api.database).get(UUID(job_id)).paused_at, 60, "what was asked for before")


def test_who_may_not_see_the_fleet_is_not_led_there(api: Api, page: Any) -> None:
    page.goto("/#/jobs")
    sign_in(page, create_key(api.database, "dora", scopes=(Scope.JOBS_READ, Scope.JOBS_WRITE)))
    expect(page.get_by_role("button", name="Sign out dora")).to_be_visible()
    expect(page.get_by_role("link", name="Fleet", exact=True)).to_be_hidden()
    expect(page.get_by_role("link", name="Jobs", exact=True)).to_be_visible()
