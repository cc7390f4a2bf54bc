"""The page, used as a person uses it: a real browser, the real service, a real video."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import av
import numpy as np
import pytest

from tests.conftest import MODEL, shared_file

playwright_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need the playwright package")
expect = playwright_api.expect

PHONE_PX = 360
START_SEC, STOP_SEC = 60, 30
WORK_MS = 60_000
NOT_A_VIDEO = b"These are words, not pictures.\n" * 100


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where `framefleet up` serves the page. Workers may still be loading their model."""
    folder = tmp_path_factory.mktemp("service")
    port = _free_port()
    detector = {"MODEL_NAME": str(MODEL)} if MODEL.exists() else {"DETECTOR": "hog"}
    quick = {"HTTP_ALLOW_PRIVATE": "true", "MAX_ATTEMPTS": "1", "RETRY_BASE_SECONDS": "0", "DRAIN_SECONDS": "0"}
    with (folder / "up.log").open("wb") as log:
        command = [sys.executable, "-m", "backend", "up", "--port", str(port), "--workers", "1"]
        process = subprocess.Popen(
            [*command, "--data-dir", str(folder / "data")],
            env=dict(os.environ) | detector | quick,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}", process, folder / "up.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=STOP_SEC)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def faults() -> list[str]:
    """What the browser complained about. A test takes out what it provoked."""
    return []


@pytest.fixture
def page(browser: Any, address: str, faults: list[str]) -> Iterator[Any]:
    """The idle page; the test fails for script errors, dialogs and whatever the content security policy stopped."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=address)
    page = context.new_page()
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.goto("/")
    yield page
    context.close()
    assert faults == []


def test_an_uploaded_video_is_cropped_played_and_downloaded(page: Any, tmp_path: Path) -> None:
    source = shared_file("media", "facerec_short_hamilton_clip.mp4")
    page.set_input_files("#file", source)
    page.click("#submit")
    page.wait_for_url(re.compile(r"#/jobs/[0-9a-f-]{36}$"), timeout=WORK_MS)
    result = page.locator(".of-result video")
    expect(result).to_be_visible(timeout=WORK_MS)
    expect(page.locator("#stage")).to_have_text("Done")
    expect(page.locator(".verdict")).to_contain_text("% of the frames do not fit 9:16: show them between bars")

    played = _play_to_the_end(result)
    assert played["error"] is None
    assert played["height"] == 360
    assert abs(played["width"] - 360 * 9 / 16) <= 2
    assert played["seconds"] == pytest.approx(_seconds(source), abs=0.1)

    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "facerec_short_hamilton_clip_cropped.mp4"
    download.value.save_as(tmp_path / "film.mp4")
    assert _frames(tmp_path / "film.mp4") == 275
    with page.expect_download() as download:
        page.get_by_role("link", name="Tracks, JSON").click()
    assert json.loads(Path(download.value.path()).read_bytes())

    page.reload()
    expect(result).to_be_visible()
    _assert_fits_a_phone(page)


@pytest.mark.parametrize(
    ("kind", "download", "plays", "data"),
    [
        ("audio_trim", "Download the sound", True, ["Report", "How it was cut into parts"]),
        ("stage", "Download the result", False, ["copy.json", "Report", "How it was cut into parts"]),
    ],
)
def test_what_other_kinds_leave_is_shown_and_every_link_leads_somewhere(
    page: Any, kind: str, download: str, plays: bool, data: list[str]
) -> None:
    file = {"name": "tone.wav", "mimeType": "audio/wav", "buffer": _tone()}
    job = page.request.post("/api/v1/jobs", multipart={"kind": kind, "file": file}).json()
    page.goto(f"/#job={job['id']}")
    expect(page.locator("#download")).to_have_text(download, timeout=WORK_MS)
    expect(page.locator("#job-facts")).to_contain_text(kind.replace("_", "\u00a0"))
    expect(page.locator("#video")).to_be_visible(visible=plays)
    if plays:
        _assert_it_plays_on_after_an_error(page)
    links = page.locator("#links a:visible")
    expect(links).to_have_text(data)
    for link in [page.locator("#download"), *links.all()]:
        assert page.request.get(link.get_attribute("href")).ok
    _assert_fits_a_phone(page)


def test_a_file_that_is_no_video_ends_with_a_readable_error_past_a_lost_connection(
    page: Any, faults: list[str]
) -> None:
    file = {"name": "x.mp4", "mimeType": "video/mp4", "buffer": NOT_A_VIDEO}
    job = page.request.post("/api/v1/jobs", multipart={"kind": "crop", "file": file}).json()
    page.route("**/api/v1/jobs/*", lambda route: route.abort())
    page.goto(f"/#/jobs/{job['id']}")
    expect(page.locator("#trouble")).to_contain_text("No news from the server")
    page.unroute("**/api/v1/jobs/*")
    failure = page.locator("#failure")
    expect(failure).to_be_visible(timeout=WORK_MS)
    expect(page.locator("#trouble")).to_be_hidden()
    expect(failure).to_contain_text("not a video")
    expect(failure).to_contain_text("Check that it is the right file.")
    expect(failure.locator("code")).to_have_text("not_a_video")
    expect(page.get_by_role("button", name="Retry")).to_be_hidden()
    _assert_fits_a_phone(page)
    _take_out(faults, "Failed to load resource")


def test_a_passing_failure_can_be_tried_again(page: Any) -> None:
    body = {"input": f"http://127.0.0.1:{_free_port()}/nobody-listens.mp4"}
    job = page.request.post("/api/v1/jobs", data=body).json()
    page.goto(f"/#/jobs/{job['id']}")
    expect(page.locator("#failure")).to_be_visible(timeout=WORK_MS)
    expect(page.locator("#job-name")).to_have_text("nobody-listens.mp4")
    with page.expect_response(re.compile(r"/retry$")) as answer:
        page.get_by_role("button", name="Retry").click()
    assert answer.value.status == 202


def _assert_it_plays_on_after_an_error(page: Any) -> None:
    """As when the link that a player holds runs out: by a new one, from where it was."""
    page.evaluate(
        """async () => {
            const video = document.querySelector("#video");
            video.currentTime = 0.5;
            await new Promise(resolve => video.addEventListener("seeked", resolve, { once: true }));
            video.addEventListener("emptied", () => { window.beganAnew = true; }, { once: true });
            video.dispatchEvent(new Event("error"));
        }"""
    )
    page.wait_for_function(
        """() => window.beganAnew && document.querySelector("#video").readyState > 1
                 && Math.abs(document.querySelector("#video").currentTime - 0.5) < 0.1"""
    )
    expect(page.locator("#video-error")).to_be_hidden()


def _play_to_the_end(film: Any) -> dict[str, Any]:
    """Plays fast and without sound until `ended` or an error comes."""
    return film.evaluate(
        """video => new Promise(resolve => {
            const finish = () => resolve({
                width: video.videoWidth, height: video.videoHeight, seconds: video.currentTime,
                error: video.error && video.error.message,
            });
            video.addEventListener("ended", finish);
            video.addEventListener("error", finish);
            video.muted = true;
            video.playbackRate = 8;
            video.play();
        })"""
    )


def _assert_fits_a_phone(page: Any) -> None:
    wide = page.viewport_size
    page.set_viewport_size({"width": PHONE_PX, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_PX
    page.set_viewport_size(wide)


def _take_out(faults: list[str], provoked: str) -> None:
    faults[:] = [fault for fault in faults if provoked not in fault]


def _tone() -> bytes:
    """A second of a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(np.rint(8000 * np.sin(np.arange(8000) / 4)).astype("<i2").tobytes())
    return file.getvalue()


def _frames(film: Path) -> int:
    with av.open(str(film)) as container:
        return sum(1 for _ in container.decode(video=0))


def _seconds(film: Path) -> float:
    """From the first sound or picture to the last one."""
    with av.open(str(film)) as container:
        return float((container.duration or 0) / av.time_base)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SEC
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(f"{address}/ready", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"`framefleet up` did not start:\n{log.read_text()}")
