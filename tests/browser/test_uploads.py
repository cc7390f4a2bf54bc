"""Uploads of the page: broken off and gone on with, beside one another, and while somebody looks elsewhere."""

from __future__ import annotations

import hashlib
import math
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from backend.access.keys import create_key
from tests.browser.conftest import BROWSER_ARGS, BROWSERS
from tests.browser.served import SentParts, Served, served
from tests.browser.test_sign_in import sign_in
from tests.integration.conftest import wait_until

playwright_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need the playwright package")
expect = playwright_api.expect

MIB = 2**20
NAVIGATION_MS = 90_000
PATIENCE_SEC = 300  # for half of a large file, on a busy machine too
BUCKET = "films-of-the-page"
HOSTILE_NAME = "my talk <b>.mp4"
JOB = re.compile(r"#/jobs/[0-9a-f-]{36}$")
HEAD = b"\0\0\0\x18ftypisom" + bytes(12)  # nothing to show, but what a film begins with


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Served]:
    with served(database_url, tmp_path / "api", upload_part_bytes=MIB) as site:
        yield site


@pytest.fixture
def page(browser: Any, site: Served) -> Iterator[Any]:
    context = browser.new_context(base_url=site.address)
    context.set_default_navigation_timeout(NAVIGATION_MS)
    page = site.watch(context.new_page())
    page.goto("/")
    yield page
    context.close()


def make_film(path: Path, size_bytes: int) -> Path:
    path.write_bytes((HEAD + os.urandom(MIB) * (size_bytes // MIB + 1))[:size_bytes])
    return path


@contextmanager
def profile(browser: Any, folder: Path, site: Served) -> Iterator[tuple[Any, SentParts]]:
    """A browser of its own, whose profile stays when it is gone; a page in it, and the parts that this sends."""
    path = next(found for name in BROWSERS if (found := shutil.which(name)))
    context = browser.browser_type.launch_persistent_context(folder, executable_path=path, args=BROWSER_ARGS)
    try:
        context.set_default_navigation_timeout(NAVIGATION_MS)
        page = site.watch(context.pages[0])
        sent = SentParts(page)
        page.goto(site.address)
        yield page, sent
    finally:
        context.close()


def wait_for_parts(page: Any, sent: SentParts, count: int, timeout_sec: float = 60) -> None:
    deadline = time.monotonic() + timeout_sec
    while len(sent.all) < count:
        assert time.monotonic() < deadline, f"{sent.numbers}: not {count} parts within {timeout_sec} s"
        page.wait_for_timeout(50)


def kill_at_half_and_go_on(browser: Any, site: Served, film: Path, parts: int, folder: Path) -> None:
    """The file is sent to half of it, the browser ends, and the same profile goes on with the same file."""
    with profile(browser, folder / "profile", site) as (page, first):
        page.locator('input[value="1:1"]').check()
        page.set_input_files("#file", film)
        site.parts_let = parts // 2
        page.click("#submit")
        wait_for_parts(page, first, parts // 2, timeout_sec=PATIENCE_SEC)
        expect(page.get_by_role("listitem", name=HOSTILE_NAME)).to_contain_text(re.compile(r"[\d.]+ MB of [\d.]+ MB"))
        expect(page).to_have_title(re.compile(r"^Uploading \d\d % · framefleet$"))
    site.parts_let = math.inf
    with profile(browser, folder / "profile", site) as (page, second):
        offer = page.get_by_role("region", name="Not finished").get_by_role("listitem")
        expect(offer).to_contain_text(re.compile(rf"{re.escape(HOSTILE_NAME)}[\d.]+ MB of [\d.]+ MB are there"))
        chooser = offer.get_by_label("Choose the same file to go on")
        other = make_film(folder / "another.mp4", 2 * MIB)
        chooser.set_input_files(other)
        expect(offer.get_by_role("alert")).to_contain_text("That is another file.")
        chooser.set_input_files(film)
        page.wait_for_url(JOB, timeout=1000 * PATIENCE_SEC)
        assert len(first.numbers) == parts // 2
        assert sorted(first.numbers + second.numbers) == list(range(1, parts + 1))
        assert {url.rpartition("/")[0] for url, _ in first.all} == {url.rpartition("/")[0] for url, _ in second.all}
        assert page.evaluate("Object.keys(localStorage).filter(key => key.startsWith('framefleet-upload'))") == []
    job = site.jobs()[HOSTILE_NAME]
    assert job["params"]["aspect"] == "1:1"
    assert hashlib.sha256(site.stored(job["id"])).digest() == hashlib.sha256(film.read_bytes()).digest()


def test_after_the_tab_was_killed_only_the_missing_parts_are_sent(browser: Any, site: Served, tmp_path: Path) -> None:
    kill_at_half_and_go_on(browser, site, make_film(tmp_path / HOSTILE_NAME, 20 * MIB), 20, tmp_path)


@pytest.mark.slow
def test_300_mb_are_gone_on_with_after_the_tab_was_killed(browser: Any, database_url: str, tmp_path: Path) -> None:
    with served(database_url, tmp_path / "api") as site:  # with parts as they are by default
        film = make_film(tmp_path / HOSTILE_NAME, 300_000_000)
        kill_at_half_and_go_on(browser, site, film, -(-300_000_000 // (16 * MIB)), tmp_path)


def test_two_files_are_sent_at_once_while_somebody_looks_elsewhere(page: Any, site: Served, tmp_path: Path) -> None:
    sent = SentParts(page)
    site.parts_let = 3
    names = ["a.mp4", "b.mp4", "c.mp4"]
    page.set_input_files("#file", [make_film(tmp_path / name, 4 * MIB) for name in names])
    page.get_by_role("button", name="Start 3 films · 12.6 MB").click()
    first, _, third = (page.get_by_role("listitem", name=name) for name in names)
    wait_for_parts(page, sent, 3)
    expect(third).to_contain_text("waiting for others")
    first.get_by_role("button", name="Pause").click()
    expect(first).to_contain_text("paused")
    expect(third).not_to_contain_text("waiting")
    expect(first.get_by_role("button", name="Go on")).to_be_focused()
    page.get_by_role("button", name="Pause all").click()
    site.parts_let = math.inf
    page.wait_for_timeout(500)
    assert len(sent.all) == 3
    asked: list[str] = []
    page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.close(run_before_unload=True)
    wait_until(lambda: page.wait_for_timeout(20) or asked, 60, "the question before the page goes")
    assert asked == ["beforeunload"]

    page.get_by_role("link", name="Jobs", exact=True).click()
    strip = page.get_by_role("region", name="Uploads")
    expect(strip).to_contain_text("3 files paused, ")
    strip.get_by_role("button", name="Go on").click()
    for name in names:
        expect(page.locator("#notices")).to_contain_text(f"{name} is uploaded and begins.", timeout=20_000)
    expect(strip).to_be_hidden()
    assert sorted(number for _, number in sent.all) == sorted([1, 2, 3, 4] * 3)
    assert set(site.jobs()) == set(names)


def test_a_second_tab_does_not_send_the_same_file_and_goes_on_once_the_first_is_gone(
    page: Any, site: Served, tmp_path: Path
) -> None:
    film = make_film(tmp_path / HOSTILE_NAME, 4 * MIB)
    sent = SentParts(page)
    site.parts_let = 2
    page.set_input_files("#file", film)
    page.click("#submit")
    wait_for_parts(page, sent, 2)
    second = site.watch(page.context.new_page())
    sent_there = SentParts(second)
    second.goto("/")
    expect(second.get_by_role("region", name="Not finished")).to_contain_text("Being uploaded in another tab.")
    second.set_input_files("#file", film)
    second.click("#submit")
    row = second.get_by_role("listitem", name=HOSTILE_NAME)
    expect(row.get_by_role("alert")).to_contain_text("is being uploaded in another tab")
    assert sent_there.all == []
    page.close()
    site.parts_let = math.inf
    again = row.get_by_role("button", name="Try again")

    def goes_on() -> bool:
        """The browser lets go of what a closed tab held a moment later: until then it is still the other tab's."""
        if again.is_visible():
            again.click()
        return bool(sent_there.all)

    wait_until(goes_on, 60, "the end of the first tab's upload")
    second.wait_for_url(JOB)
    assert sorted(sent.numbers + sent_there.numbers) == [1, 2, 3, 4]


def test_discarding_throws_away_what_arrived_and_makes_no_job(page: Any, site: Served, tmp_path: Path) -> None:
    sent = SentParts(page)
    site.parts_let = 2
    page.set_input_files("#file", make_film(tmp_path / HOSTILE_NAME, 4 * MIB))
    page.click("#submit")
    wait_for_parts(page, sent, 2)
    page.get_by_role("button", name="Discard").click()
    page.get_by_role("dialog").get_by_role("button", name="Discard").click()
    expect(page.get_by_role("listitem", name=HOSTILE_NAME)).to_have_count(0)
    root = tmp_path / "api" / "objects" / ".uploads"
    wait_until(lambda: not list(root.iterdir()), 60, "the end of what arrived")
    page.reload()
    expect(page.get_by_role("region", name="Not finished")).to_be_hidden()
    assert site.jobs() == {}


def test_with_a_handle_of_the_file_one_click_goes_on_after_a_reload(page: Any, site: Served) -> None:
    page.evaluate(
        """async (head) => {
            const folder = await navigator.storage.getDirectory();
            const handle = await folder.getFileHandle("own.mp4", { create: true });
            const writing = await handle.createWritable();
            await writing.write(new Uint8Array([...head, ...new Uint8Array(4 * 2 ** 20 - head.length)]));
            await writing.close();
            window.showOpenFilePicker = async () => [handle];
        }""",
        list(HEAD),
    )
    sent = SentParts(page)
    site.parts_let = 2
    page.locator("#file").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Start 1 film · 4.2 MB").click()
    wait_for_parts(page, sent, 2)
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    site.parts_let = math.inf
    page.get_by_role("button", name="Go on: own.mp4").click()
    page.wait_for_url(JOB)
    assert sent.numbers == [1, 2, 3, 4]
    assert len(site.stored(site.jobs()["own.mp4"]["id"])) == 4 * MIB


def test_a_session_that_ends_in_the_middle_is_asked_for_again_and_the_upload_goes_on(
    browser: Any, database_url: str, tmp_path: Path
) -> None:
    with served(database_url, tmp_path / "api", upload_part_bytes=MIB, api_access="keys") as site:
        context = browser.new_context(base_url=site.address)
        page = site.watch(context.new_page())
        sent = SentParts(page)
        page.goto("/")
        sign_in(page, create_key(site.api.database, "anna"))
        expect(page.get_by_role("button", name="Sign out anna")).to_be_visible()
        site.parts_let = 2
        page.set_input_files("#file", make_film(tmp_path / HOSTILE_NAME, 4 * MIB))
        page.click("#submit")
        wait_for_parts(page, sent, 2)
        context.clear_cookies()
        site.parts_let = math.inf
        sign_in(page, create_key(site.api.database, "bert"))  # of the same tenant
        page.wait_for_url(JOB)
        assert sent.numbers == [1, 2, 3, 4]
        context.close()


@pytest.mark.slow
@pytest.mark.parametrize("has_rule", [True, False], ids=["with a CORS rule", "without one"])
def test_parts_go_straight_to_a_bucket_that_lets_the_page_in_else_through_the_api(
    browser: Any, database_url: str, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_rule: bool
) -> None:
    bucket = f"{BUCKET}-{has_rule}".lower()
    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    client.create_bucket(Bucket=bucket)
    film = make_film(tmp_path / HOSTILE_NAME, 30 * MIB)
    settings = {"storage_url": f"s3://{bucket}/store", "s3_endpoint_url": s3_server, "upload_part_bytes": 5 * MIB}
    with served(database_url, tmp_path / "api", **settings) as site:
        context = browser.new_context(base_url=site.address)
        page = site.watch(context.new_page())
        sent = SentParts(page)
        page.goto("/")
        if not has_rule:  # moto lets everybody in
            page.route(f"{s3_server}/**", lambda route: route.abort())
        page.set_input_files("#file", film)
        page.click("#submit")
        page.wait_for_url(JOB, timeout=NAVIGATION_MS)
        assert sent.numbers == [1, 2, 3, 4, 5, 6]
        assert {url.startswith(s3_server) for url, _ in sent.all} == {has_rule}
        job_id = page.url.rpartition("/")[2]
        stored = client.get_object(Bucket=bucket, Key=f"store/jobs/{job_id}/source")["Body"].read()
        assert hashlib.sha256(stored).digest() == hashlib.sha256(film.read_bytes()).digest()
        context.close()
