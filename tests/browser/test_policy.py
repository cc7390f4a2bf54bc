"""The content security policy, as a browser takes it: nothing of ours is stopped by it, and nobody else is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from werkzeug.serving import make_server

from backend.api.app import create_app
from backend.settings import Settings
from tests.conftest import empty_database

pytestmark = pytest.mark.slow
WAIT_MS = 20_000
INJECT = """() => {
    const script = document.createElement("script");
    script.src = "/static/docs.js?injected";
    document.body.append(script);
    document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.ran = 1'>");
}"""


@pytest.fixture(scope="module")
def address(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("policy")
    with empty_database(postgres) as url:
        given = {"database_url": url, "storage_url": (folder / "objects").as_uri(), "data_dir": folder / "data"}
        app = create_app(Settings.model_validate(given))
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
        app.extensions["framefleet"].planners.shutdown()
        app.extensions["framefleet"].database.close()


@pytest.fixture
def seen(browser: Any, address: str) -> Iterator[tuple[Any, list[str], list[str]]]:
    """A page; the hosts that it has asked, and what its console complained of."""
    page = browser.new_page()
    hosts: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: hosts.append(urlsplit(request.url).netloc or urlsplit(request.url).scheme))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page, hosts, complaints
    page.close()


@pytest.mark.parametrize("view", ["new", "jobs", "fleet", "nowhere"])
def test_the_page_works_under_its_policy_and_asks_this_host_alone(
    seen: tuple[Any, list[str], list[str]], address: str, view: str
) -> None:
    page, hosts, complaints = seen
    page.goto(f"{address}/#/{view}")
    page.locator("main h1").wait_for(timeout=WAIT_MS)
    page.wait_for_timeout(1500)  # what it asks for behind that
    assert complaints == []
    assert set(hosts) <= {urlsplit(address).netloc, "data", "blob"}


def test_the_description_works_under_its_policy_and_asks_this_host_alone(
    seen: tuple[Any, list[str], list[str]], address: str
) -> None:
    page, hosts, complaints = seen
    page.goto(f"{address}/docs")
    operation = page.locator("#operations-jobs-jobs_list_jobs__jobs_get, .opblock").first
    operation.wait_for(timeout=WAIT_MS)
    operation.locator("button").first.click()  # opens it: parameters, schemas, examples
    page.locator(".opblock-body .responses-wrapper").first.wait_for(timeout=WAIT_MS)
    assert page.locator(".opblock").count() > 40
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("() => document.documentElement.classList.contains('dark-mode')")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert page.title() == "API · framefleet"
    page.get_by_role("link", name="framefleet", exact=True).click()
    page.wait_for_url(f"{address}/")
    assert complaints == []
    assert set(hosts) <= {urlsplit(address).netloc, "data", "blob"}


def test_a_script_without_the_nonce_does_not_run(seen: tuple[Any, list[str], list[str]], address: str) -> None:
    page, _, complaints = seen
    page.goto(f"{address}/")
    page.evaluate(INJECT)
    page.wait_for_timeout(500)
    assert page.evaluate("window.ran") is None
    assert sum("Content Security Policy" in line for line in complaints) >= 2
