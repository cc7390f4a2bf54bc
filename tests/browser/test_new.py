"""The view New in a real browser, over a real API: what is chosen is looked at before anything is sent, and started."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.browser.served import Served, served
from tests.samples import make_sample

playwright_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need the playwright package")
expect = playwright_api.expect

HOSTILE_NAME = "<img src=x onerror=alert(1)>.mp4"
JOB = re.compile(r"#/jobs/[0-9a-f-]{36}$")
# format, codec, pixel format
FILMS = {
    "mp4": "mpeg4", "matroska": "mpeg4", "webm": "libvpx", "avi": "mpeg4", "mpegts": "mpeg2video", "mpeg": "mpeg2video",
    "flv": "flv", "asf": "wmv2", "mxf": "mpeg2video", "ivf": "libvpx", "mov": "mpeg4", "ogg": "libvpx",
}  # fmt: skip
OTHERS = {
    "page.mp4": (b"<!doctype html><p>Sign in first</p>", "This is text."),
    "words.mp4": ("Grüße, keine Bilder.\n".encode() * 300, "This is text."),
    "list.mp4": (b"#EXTM3U\n#EXT-X-VERSION:3\nhttps://x.example/1.ts\n", "This is a list of other files"),
    "photo.mp4": (b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(100), "This is a picture (JPEG)."),
    "shot.mov": (b"\x89PNG\r\n\x1a\n" + bytes(100), "This is a picture (PNG)."),
    "phone.mp4": (b"\0\0\0\x18ftypheic" + bytes(100), "This is a picture (HEIF)."),
    "cat.mp4": (b"GIF89a" + bytes(100), "This is a picture (GIF)."),
    "paper.mp4": (b"%PDF-1.7\n", "This is a document (PDF)."),
    "archive.mp4": (b"PK\x03\x04" + bytes(100), "This is a ZIP archive or an Office document."),
    "tone.mp4": (b"RIFF\0\0\0\0WAVEfmt ", "This is sound without a picture (WAV)."),
    "empty.mp4": (b"", "This file is empty."),
}


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Served]:
    with served(database_url, tmp_path / "api") as site:
        yield site


@pytest.fixture
def page(browser: Any, site: Served) -> Iterator[Any]:
    """The view New at 1280 x 800. It counts the object URLs that are held, and what is sent."""
    context = browser.new_context(base_url=site.address, viewport={"width": 1280, "height": 800})
    page = site.watch(context.new_page())
    page.add_init_script(
        """window.held = 0;
        const [create, revoke] = [URL.createObjectURL, URL.revokeObjectURL];
        URL.createObjectURL = (...given) => (window.held += 1, create(...given));
        URL.revokeObjectURL = (...given) => (window.held -= 1, revoke(...given));"""
    )
    page.posted = []
    page.on("request", lambda request: page.posted.append(request.url) if request.method in ("POST", "PUT") else None)
    page.goto("/")
    yield page
    context.close()


def test_films_are_looked_at_with_the_chosen_shape_over_them_and_started_together(
    page: Any, site: Served, tmp_path: Path
) -> None:
    film = make_sample(tmp_path / "street.mp4", 2)
    unknown = _blob(HOSTILE_NAME, b"RIFF\0\0\0\0AVI " + bytes(range(256)))
    page.set_input_files("#file", film)
    page.set_input_files("#file", [unknown, _blob("notes.mp4", b"words, no pictures\n")])
    street, hostile, notes = (_card(page, name) for name in ("street.mp4", HOSTILE_NAME, "notes.mp4"))
    expect(street).to_contain_text("1280 \u00d7 720")
    expect(hostile).to_contain_text("this browser cannot decode it")
    expect(notes.get_by_role("alert")).to_have_text("This is text. Choose a video.")
    assert page.locator("main img").count() == 0
    outline = street.locator("svg.outline")
    for shape, window in (("1:1", "280 0 720 720"), ("source", "0 0 1280 720"), ("9:16", "438 0 405 720")):
        page.locator(f'input[name="aspect"][value="{shape}"]').check()
        assert outline.get_attribute("data-window") == window
    _assert_dimmed_outside(street.locator(".film-frame"), film)

    page.fill("#uri", "https://films.example/one.mp4\nnonsense\ns3://closed/two.mov")
    expect(page.locator("#link-complaints")).to_have_text(
        "Line 2: A link must begin with https://, http://, s3:// or gs://."
    )
    expect(page.get_by_role("button", name="Start 4 films · ")).to_be_visible()
    assert page.posted == []
    assert page.evaluate("window.held") == 0

    page.get_by_text("More options").click()
    page.get_by_label("Where a person does not fit").select_option("blur")
    page.get_by_role("button", name="Start 4 films").click()
    expect(_card(page, "two.mov").get_by_role("alert")).to_contain_text("not open to clients")
    expect(page.get_by_role("link", name="Open the job")).to_have_count(2)
    jobs = site.jobs()
    assert set(jobs) == {"street.mp4", HOSTILE_NAME, "one.mp4"}
    for job in jobs.values():
        assert job["params"].items() >= {"aspect": "9:16", "fill": "blur", "crf": 20.0}.items()
    assert page.input_value("#uri") == "nonsense\ns3://closed/two.mov"
    assert site.stored(jobs["street.mp4"]["id"]) == film.read_bytes()
    page.get_by_role("link", name="Jobs", exact=True).click()
    page.get_by_role("link", name="New", exact=True).click()
    expect(notes).to_be_visible()  # what is chosen waits
    expect(page.get_by_role("link", name="Open the job")).to_have_count(0)


def test_what_cannot_be_a_video_is_refused_before_a_byte_is_sent(page: Any) -> None:
    page.set_input_files("#file", [_blob(name, data) for name, (data, _) in OTHERS.items()])
    for name, (_, words) in OTHERS.items():
        expect(_card(page, name).get_by_role("alert")).to_contain_text(words)
    page.click("#submit")
    expect(page.locator("#form-error")).to_contain_text("Choose a video.")
    films = {f"film.{format}": _film(format, codec) for format, codec in FILMS.items()}
    noise = np.random.default_rng(3).integers(0, 256, 5000, np.uint8).tobytes()
    page.set_input_files("#file", [_blob(name, data) for name, data in (films | {"unknown": noise}).items()])
    expect(page.locator("#submit")).to_contain_text(f"Start {len(films) + 1} films")
    expect(page.locator(".film [role=alert]:visible")).to_have_count(len(OTHERS))
    assert page.posted == []


def test_files_and_links_are_dropped_anywhere_and_text_into_a_field_stays_text(page: Any, tmp_path: Path) -> None:
    film = make_sample(tmp_path / "street.mp4", 1)
    transfer = page.evaluate_handle(
        """(base64) => {
          const bytes = Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], "street.mp4", { type: "video/mp4" }));
          transfer.items.add(new File(["words"], "notes.txt"));
          return transfer;
        }""",
        base64.b64encode(film.read_bytes()).decode(),
    )
    page.dispatch_event("#drop", "dragenter", {"dataTransfer": transfer})
    expect(page.locator("#drop")).to_have_class(re.compile("over"))
    page.dispatch_event("footer", "drop", {"dataTransfer": transfer})
    expect(page.locator("#drop")).not_to_have_class(re.compile("over"))
    expect(_card(page, "street.mp4")).to_contain_text("1280 \u00d7 720")
    expect(_card(page, "notes.txt").get_by_role("alert")).to_contain_text("This is text.")
    link = page.evaluate_handle(
        """() => {
          const transfer = new DataTransfer();
          transfer.setData("text/uri-list", "https://films.example/one.mp4");
          return transfer;
        }"""
    )
    page.dispatch_event("footer", "drop", {"dataTransfer": link})
    assert page.input_value("#uri") == "https://films.example/one.mp4"
    page.dispatch_event("#uri", "drop", {"dataTransfer": link})  # the browser puts it where the pointer is
    assert page.input_value("#uri") == "https://films.example/one.mp4"
    expect(page.get_by_role("button", name="Start 2 films")).to_be_visible()
    assert page.posted == []


def test_start_stays_in_sight_on_a_phone_and_keys_do_all(page: Any, site: Served, tmp_path: Path) -> None:
    films = [make_sample(tmp_path / f"{'long name ' * 12}{index}.mp4", 2) for index in range(3)]
    page.set_input_files("#file", films)
    expect(page.locator(".film canvas")).to_have_count(3)
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for place in (0, 400):
            page.evaluate(f"window.scrollTo(0, {place})")
            box = page.locator("#submit").bounding_box()
            assert box["y"] > 0 and box["y"] + box["height"] <= 700
    for _ in films:
        page.get_by_role("button", name=re.compile("^Remove")).first.focus()
        page.keyboard.press("Enter")
    expect(page.locator(".film")).to_have_count(0)
    expect(page.locator("#file")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.type("htt")
    expect(page.locator("#link-complaints")).to_be_hidden()  # it goes on
    page.keyboard.type("ps://films.example/a.mp4")
    for key in ("Tab", "Tab", "ArrowRight", "Tab", "ArrowRight", "Tab", "Tab", "Enter"):
        page.keyboard.press(key)  # past the card's button, to the shape, the people, the options and Start
    page.wait_for_url(JOB)
    assert site.jobs()["a.mp4"]["params"].items() >= {"aspect": "1:1", "subject": "all"}.items()


def test_nothing_is_lost_while_the_server_is_away_or_the_quota_is_full(
    browser: Any, database_url: str, tmp_path: Path
) -> None:
    with served(database_url, tmp_path / "api", tenant_max_open_jobs=1) as site:
        context = browser.new_context(base_url=site.address)
        page = site.watch(context.new_page())
        page.goto("/")
        page.route("**/api/v1/jobs", lambda route: route.abort())
        page.fill("#uri", "https://films.example/first.mp4")
        page.click("#submit")
        expect(_card(page, "first.mp4").get_by_role("alert")).to_contain_text("The server does not answer")
        page.unroute("**/api/v1/jobs")
        page.click("#submit")
        page.wait_for_url(JOB)

        page.goto("/#/new")
        page.set_input_files("#file", make_sample(tmp_path / "second.mp4", 2))
        page.click("#submit")
        row = page.get_by_role("listitem", name="second.mp4")
        expect(row.get_by_role("alert")).to_contain_text("quota_exceeded")
        first = site.jobs()["first.mp4"]["id"]
        page.request.post(f"/api/v1/jobs/{first}/cancel", data={})
        row.get_by_role("button", name="Try again").click()
        page.wait_for_url(JOB)
        assert set(site.jobs()) == {"first.mp4", "second.mp4"}
        context.close()


def _card(page: Any, name: str) -> Any:
    return page.locator(".film").filter(has=page.get_by_text(name, exact=True))


def _blob(name: str, data: bytes) -> dict[str, Any]:
    return {"name": name, "mimeType": "video/mp4", "buffer": data}


def _film(container: str, codec: str) -> bytes:
    """A second of grey."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for index in range(25):
            frame = av.VideoFrame(320, 240, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([128]) * plane.buffer_size)
            frame.pts = index
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def _assert_dimmed_outside(frame: Any, film: Path) -> None:
    """As it stands on the screen: the film's own first picture within the window, a darker one beside it."""
    frame.scroll_into_view_if_needed()
    shown = _luma(io.BytesIO(frame.screenshot()))
    source = _luma(str(film))
    height, width = shown.shape
    rows = np.linspace(0.2, 0.8, 20)
    for columns, share in ((np.linspace(0.40, 0.60, 20), 1.0), (np.linspace(0.05, 0.28, 20), 0.38)):
        there = shown[np.ix_((rows * height).astype(int), (columns * width).astype(int))].mean()
        was = source[np.ix_((rows * source.shape[0]).astype(int), (columns * source.shape[1]).astype(int))].mean()
        assert there == pytest.approx(share * was, abs=12)


def _luma(file: Any) -> np.ndarray[Any, Any]:
    """Of the first picture, from 0 to 255."""
    with av.open(file) as container:
        pixels = next(container.decode(video=0)).to_ndarray(format="rgb24")
    return np.asarray(pixels @ np.array([0.299, 0.587, 0.114]))
