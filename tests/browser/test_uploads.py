"""An upload of the page, broken off and gone on with: a real browser, the real API, both kinds of store."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import boto3
import pytest

from backend.settings import Settings
from backend.storage import open_store
from tests.conftest import empty_database
from tests.integration.conftest import wait_until

playwright_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need the playwright package")
expect = playwright_api.expect

MIB = 2**20
SIZE_BYTES = 30 * MIB
PART_BYTES = 5 * MIB
START_SEC = 90
BUCKET = "films-of-the-page"


@dataclass
class Served:
    """An API process, and its store."""

    address: str
    settings: Settings


@contextmanager
def serving(url: str, folder: Path, **environment: str) -> Iterator[Served]:
    """gunicorn as operators run it: no workers, so jobs stay where they are."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {"DATABASE_URL": url, "FRAMEFLEET_DATA_DIR": str(folder / "data"), "UPLOAD_PART_BYTES": str(PART_BYTES)}
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "backend.api.app:create_app()"]
    with (folder / "api.log").open("wb") as log:
        env = os.environ | env | environment
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"), START_SEC, "the API's first answer")
        settings = Settings.model_validate({"storage_url": environment["STORAGE_URL"], "data_dir": folder})
        yield Served(f"http://127.0.0.1:{port}", settings)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2):
            return True
    except (URLError, OSError):
        return False


@pytest.fixture
def over_a_folder(postgres: str, tmp_path: Path) -> Iterator[Served]:
    objects = (tmp_path / "objects").as_uri()
    with empty_database(postgres) as url, serving(url, tmp_path, STORAGE_URL=objects) as served:
        yield served


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "my talk <b>.mp4"
    path.write_bytes(os.urandom(SIZE_BYTES))
    return path


class Watched:
    """A page, and the parts that it sent to the end."""

    def __init__(self, browser: Any, address: str, state: Path | None = None) -> None:
        self.context = browser.new_context(base_url=address, storage_state=state)
        self.context.set_default_navigation_timeout(1000 * START_SEC)
        self.page = self.context.new_page()
        self.sent: list[tuple[str, int]] = []
        self.faults: list[str] = []
        self.page.on("response", self._note)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.goto("/")

    def _note(self, response: Any) -> None:
        number = re.search(r"/parts/(\d+)$|[?&]partNumber=(\d+)", response.url)
        if number and response.ok and response.request.method == "PUT":
            self.sent.append((response.url.partition("?")[0], int(number[1] or number[2])))

    def hold(self, numbers: str) -> None:
        """These parts stay on their way."""
        self.page.route(re.compile(rf"/parts/[{numbers}]$"), lambda route: None)

    def slow(self, bytes_per_sec: int) -> None:
        session = self.context.new_cdp_session(self.page)
        session.send("Network.enable")
        rates = {"downloadThroughput": -1, "uploadThroughput": bytes_per_sec}
        session.send("Network.emulateNetworkConditions", {"offline": False, "latency": 0, **rates})

    @property
    def numbers(self) -> set[int]:
        return {number for _, number in self.sent}


def press(page: Any, button: str) -> None:
    """At once: on a busy machine a click waits for frames that the upload does not wait for."""
    expect(page.locator(button)).to_be_visible()
    page.locator(button).evaluate("button => button.click()")


def wait_for_parts(watched: Watched, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(watched.sent) < count:
        assert time.monotonic() < deadline, f"{count} parts: not within a minute"
        watched.page.wait_for_timeout(50)


@pytest.mark.slow
def test_after_the_tab_was_killed_only_the_missing_parts_are_sent(
    browser: Any, over_a_folder: Served, film: Path, tmp_path: Path
) -> None:
    first = Watched(browser, over_a_folder.address)
    first.hold("456")
    first.slow(MIB)
    first.page.set_input_files("#file", film)
    first.page.click("#submit")
    expect(first.page.locator("#parts")).to_contain_text(re.compile(r" of 31\.5 MB · .*[kM]B/s"), timeout=60_000)
    wait_for_parts(first, 3)
    first.page.screenshot(path=tmp_path / "uploading.png")
    first.context.storage_state(path=tmp_path / "state.json")
    first.context.close()  # nothing more runs in it

    again = Watched(browser, over_a_folder.address, tmp_path / "state.json")
    expect(again.page.locator("#unfinished")).to_contain_text("my talk <b>.mp4")
    again.page.screenshot(path=tmp_path / "unfinished.png")
    again.page.set_input_files("#file", film)
    again.page.click("#submit")
    again.page.wait_for_url(re.compile(r"#job=[0-9a-f-]{36}$"), timeout=60_000)
    assert again.numbers.isdisjoint(first.numbers)
    assert again.numbers | first.numbers == set(range(1, 7))
    assert first.faults == again.faults == []
    job_id = again.page.url.partition("#job=")[2]
    stored = open_store(over_a_folder.settings).get(f"jobs/{job_id}/source")
    assert hashlib.sha256(stored).digest() == hashlib.sha256(film.read_bytes()).digest()
    kept = again.page.evaluate("JSON.stringify(Object.keys(localStorage))")
    assert [key for key in json.loads(kept) if key.startswith("framefleet-upload")] == []
    again.context.close()


@pytest.mark.slow
def test_cancelling_throws_an_upload_away_and_a_pause_only_holds_it(
    browser: Any, over_a_folder: Served, film: Path
) -> None:
    watched = Watched(browser, over_a_folder.address)
    watched.hold("56")
    watched.page.set_input_files("#file", film)
    watched.page.click("#submit")
    wait_for_parts(watched, 4)
    press(watched.page, "#cancel")
    expect(watched.page.locator("#chosen-name")).to_have_text("my talk <b>.mp4")
    root = Path(over_a_folder.settings.storage_root_url.removeprefix("file://"))
    wait_until(lambda: not list((root / ".uploads").iterdir()), 20, "the end of what arrived")
    assert watched.page.request.get("/api/v1/jobs").json()["jobs"] == []

    watched.page.click("#submit")
    wait_for_parts(watched, 8)
    press(watched.page, "#hold")
    expect(watched.page.locator("#stage")).to_have_text("Paused")
    watched.page.unroute_all()
    watched.page.wait_for_timeout(1500)
    assert len(watched.sent) == 8
    press(watched.page, "#hold")
    watched.page.wait_for_url(re.compile(r"#job=[0-9a-f-]{36}$"), timeout=60_000)
    assert sorted(number for _, number in watched.sent) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 6]
    assert watched.faults == []
    watched.context.close()


@pytest.mark.slow
@pytest.mark.parametrize("has_rule", [True, False], ids=["with a CORS rule", "without one"])
def test_parts_go_straight_to_a_bucket_that_lets_the_page_in_else_through_the_api(
    browser: Any, postgres: str, s3_server: str, film: Path, tmp_path: Path, has_rule: bool
) -> None:
    bucket = f"{BUCKET}-{has_rule}".lower()
    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    client.create_bucket(Bucket=bucket)
    with empty_database(postgres) as url, serving(url, tmp_path, STORAGE_URL=f"s3://{bucket}/store") as served:
        watched = Watched(browser, served.address)
        if not has_rule:  # moto lets everybody in
            watched.page.route(f"{s3_server}/**", lambda route: route.abort())
        watched.page.set_input_files("#file", film)
        watched.page.click("#submit")
        watched.page.wait_for_url(re.compile(r"#job=[0-9a-f-]{36}$"), timeout=90_000)
        assert watched.numbers == set(range(1, 7))
        assert {url.startswith(s3_server) for url, _ in watched.sent} == {has_rule}
        job_id = watched.page.url.partition("#job=")[2]
        stored = client.get_object(Bucket=bucket, Key=f"store/jobs/{job_id}/source")["Body"].read()
        assert hashlib.sha256(stored).digest() == hashlib.sha256(film.read_bytes()).digest()
        assert watched.faults == []
        watched.context.close()
