"""The editor in a real browser, over a real API and pipeline: what a person changes is what the new film shows, and
nobody is looked for again. Only the detector is another one: it finds what is bright."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from werkzeug.serving import make_server

from backend.vision.detector import Detections
from tests.integration import films
from tests.integration.conftest import wait_until
from tests.integration.keyed import api_on
from tests.integration.rows import sql
from tests.integration.studio import Studio

playwright_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need the playwright package")
expect = playwright_api.expect

SIZE, SECONDS, RATE = (320, 180), 4, 10
WALKER, STANDER = 235, 190  # how bright they are
SOLVED_MS = 20_000


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody walks to the right, somebody else stands at the right, lower and for as long."""
    times = [Fraction(number, RATE) for number in range(SECONDS * RATE)]
    return films.write_film(
        tmp_path_factory.mktemp("film") / "two.mp4", (_picture(float(t)) for t in times), times, films.Shape(gop=RATE)
    )


def _picture(sec: float) -> Any:
    luma = np.full((SIZE[1], SIZE[0]), 60, np.uint8)
    left = round(20 + 40 * sec)
    luma[40:130, left : left + 30] = WALKER
    luma[60:120, 270:300] = STANDER
    return films.grey(luma)


class BrightOnes:
    batch_size = 4

    def describe(self) -> dict[str, Any]:
        return {"model": "bright", "device": "cpu"}

    def detect(self, pictures: Sequence[NDArray[np.uint8]], *, conf: float, iou: float) -> list[Detections]:
        return [self._found(picture[:, :, 1]) for picture in pictures]

    def _found(self, luma: NDArray[np.uint8]) -> Detections:
        columns = np.flatnonzero((luma > 130).any(axis=0))
        groups = [each for each in np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1) if len(each) > 10]
        boxes = []
        for group in groups:
            rows = np.flatnonzero((luma[:, group] > 130).any(axis=1))
            boxes.append([group[0], rows[0], group[-1] + 1, rows[-1] + 1])
        return Detections(np.array(boxes, np.float64).reshape(-1, 4), np.full(len(boxes), 0.9))


class Desk:
    """An API, workers in this process, a done job, and pages on it."""

    def __init__(self, address: str, studio: Studio, new_page: Callable[[], Any]) -> None:
        self.address, self.studio, self.open = address, studio, new_page
        self.job = ""

    def make_job(self, film: Path, http: Any) -> None:
        fields = {
            "file": (film.open("rb"), "two.mp4"),
            "kind": "crop",
            "params": '{"aspect": "9:16", "preset": "ultrafast"}',
        }
        self.job = str(http.post("/api/v1/jobs", data=fields).get_json()["id"])
        unplanned = "SELECT 1 AS it FROM video_analysis_jobs WHERE total_chunks IS NULL"
        wait_until(lambda: not sql(self.studio.database, unplanned), 60, "the plan")
        self.studio.run()
        self.studio.done(UUID(self.job))

    def edit(self, query: str = "", **page: Any) -> Any:
        opened = self.open(**page)
        opened.goto(f"/#/jobs/{self.job}/edit{query}")
        ready(opened)
        return opened

    def path_of(self, job_id: str, page: Any) -> dict[str, Any]:
        return dict(page.request.get(f"{self.address}/api/v1/jobs/{job_id}/camera-path").json())

    def claimed_chunks(self) -> int:
        return int(sql(self.studio.database, "SELECT sum(attempts) AS n FROM video_analysis_chunks")[0]["n"])


@pytest.fixture
def desk(browser: Any, database_url: str, tmp_path: Path, film: Path) -> Iterator[Desk]:
    """Whatever the page's scripts throw, and whatever dialog opens, fails the test."""
    faults: list[str] = []
    with ExitStack() as stack:
        api = stack.enter_context(api_on(database_url, tmp_path, chunk_seconds=2.0, overlap_samples=2))
        server = make_server("127.0.0.1", 0, api.app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        contexts = []

        def new_page(**options: Any) -> Any:
            """A page of its own browser, or with `beside` another tab of that page's."""
            beside = options.pop("beside", None)
            context = beside.context if beside else browser.new_context(base_url=address, **options)
            contexts.append(context)
            page = context.new_page()
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
            return page

        studio = Studio(api.database, api.app.extensions["framefleet"].settings, None, people=BrightOnes)  # type: ignore[arg-type]  # nobody poses
        desk = Desk(address, studio, new_page)
        desk.make_job(film, api.app.test_client())
        yield desk
        for context in set(contexts):
            context.close()
        server.shutdown()
        thread.join()
        server.server_close()
    assert faults == []


def ready(page: Any) -> None:
    expect(page.locator(".edit-status")).to_contain_text("of the frames hold", timeout=SOLVED_MS)


def solved(page: Any, act: Callable[[], Any]) -> None:
    """`act`, and the whole path that the server has for it."""
    act()
    expect(page.locator(".edit-stage")).to_have_attribute("aria-busy", "false", timeout=SOLVED_MS)
    expect(page.locator(".edit-stage").get_by_role("alert")).to_be_hidden()


def on_picture(page: Any, x: float, y: float) -> tuple[float, float]:
    """Where a point of the source lies on the page."""
    page.locator(".overlay").scroll_into_view_if_needed()
    where = """(overlay, [x, y]) => {
        const point = new DOMPoint(x, y).matrixTransform(overlay.getScreenCTM());
        return [point.x, point.y];
    }"""
    left, top = page.locator(".overlay").evaluate(where, [x, y])
    return left, top


def centre_of(window: list[float]) -> tuple[float, float]:
    """Of a camera path's row."""
    return window[1] + window[3] / 2, window[2] + window[4] / 2


def centre_shown(page: Any) -> tuple[float, float]:
    x, y, width, height = (
        float(page.locator(".overlay .window").get_attribute(name)) for name in ("x", "y", "width", "height")
    )
    return x + width / 2, y + height / 2


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*on_picture(page, *start))
    page.mouse.down()
    page.mouse.move(*on_picture(page, *end), steps=4)
    page.mouse.up()


def made_at(page: Any, act: Callable[[], Any]) -> str:
    """The new version, whose view comes up."""
    before = page.url
    act()
    page.wait_for_url(lambda url: url != before and not url.endswith("/edit"))
    return str(page.url.rpartition("/")[2])


def bright_until(film: Path, number: int) -> float:
    """Where the last bright column of that frame is, as a share of the width."""
    with av.open(str(film)) as container:
        picture = list(container.decode(video=0))[number].to_ndarray(format="rgb24")
    return float(np.flatnonzero((picture[:, :, 1] > 130).any(axis=0))[-1] + 1) / picture.shape[1]


def test_a_person_is_picked_and_a_keyframe_pinned_and_the_new_film_shows_it_without_detecting(
    desk: Desk, tmp_path: Path
) -> None:
    before = desk.claimed_chunks()
    page = desk.edit()
    people = page.locator(".overlay .person")
    track = int(people.filter(has=page.locator("rect.box[x^='27']")).get_attribute("data-track"))
    solved(page, lambda: page.mouse.click(*on_picture(page, 285, 90)))
    expect(page.get_by_role("checkbox", name=f"Person {track}")).to_be_checked()
    assert centre_shown(page)[0] > 250
    page.get_by_label("Frame", exact=True).fill("20")
    solved(page, lambda: drag(page, centre_shown(page), (140, 90)))
    expect(page.locator(".overlay .window.pinned")).to_be_visible()
    assert centre_shown(page)[0] == pytest.approx(140, abs=1.5)
    expect(page.get_by_role("button", name="Keyframe at 0:02.00")).to_be_visible()
    measures = "performance.getEntriesByName('solve-to-screen').map(each => each.duration)"
    page.wait_for_function(f"{measures}.length > 0")
    # Undone, done again, and there after a reload.
    solved(page, lambda: page.get_by_role("button", name="Undo").click())
    expect(page.get_by_role("button", name="Keyframe at")).to_have_count(0)
    solved(page, lambda: page.keyboard.press("Control+Shift+Z"))
    expect(page.get_by_role("button", name="Keyframe at")).to_have_count(1)
    page.reload()
    ready(page)
    expect(page.get_by_role("button", name="Keyframe at 0:02.00")).to_be_visible()
    expect(page.get_by_role("checkbox", name=f"Person {track}")).to_be_checked()
    version = made_at(page, lambda: page.get_by_role("button", name="Render", exact=True).click())
    desk.studio.run()
    job = desk.studio.done(UUID(version))
    assert (job.version, str(job.version_of), job.params["subject"]) == (2, desk.job, f"track:{track}")
    assert desk.claimed_chunks() == before
    path = desk.path_of(version, page)
    assert centre_of(path["frames"][20])[0] == pytest.approx(140, abs=1.5)
    assert path["certificate"]["subject_track_ids"] == [track]
    # In the pixels too: the walker, from 100 to 130 at that time, is at the edge of the window that was put there.
    left = 140 - path["frames"][20][3] / 2
    shown_to = (130 - left) / path["frames"][20][3]
    assert bright_until(desk.studio.output(UUID(version), tmp_path), 20) == pytest.approx(shown_to, abs=0.05)
    assert bright_until(desk.studio.output(UUID(desk.job), tmp_path), 20) > shown_to + 0.2
    # The draft went with the render.
    page.goto(f"/#/jobs/{desk.job}/edit")
    ready(page)
    expect(page.get_by_role("button", name="Discard changes")).to_be_disabled()
    versions = page.get_by_role("region", name="Versions").get_by_role("listitem")
    expect(versions).to_have_count(2)
    expect(versions.nth(1)).to_contain_text(f"follows person {track}, 1 keyframe (0:02.00)")
    for number in (1, 2):
        page.get_by_role("checkbox", name=f"Compare version {number}").check()
    page.get_by_role("button", name="Compare two").click()
    expect(page.get_by_role("group", name="Versions 1 and 2").get_by_role("row")).to_have_count(7)


def test_all_of_it_by_keys_and_what_cannot_be_is_said_beside_the_picture(desk: Desk) -> None:
    page = desk.edit("?fill=blur&aspect=1:1&subject=nonsense&crf=1")
    expect(page.get_by_label("Where somebody does not fit")).to_have_value("blur")
    assert page.url.endswith("/edit")
    solved(page, lambda: page.get_by_role("button", name="Undo").press("Enter"))
    expect(page.get_by_label("Shape")).to_have_value("9:16")
    window = page.get_by_role("application", name="Window")
    window.focus()
    x = centre_shown(page)[0]
    solved(page, lambda: page.keyboard.press("Shift+ArrowRight"))
    page.keyboard.press("ArrowRight")
    expect(window).to_contain_text("keyframe")
    assert centre_shown(page)[0] == pytest.approx(x + 11, abs=0.3)
    width = float(page.locator(".overlay .window").get_attribute("width"))
    solved(page, lambda: page.keyboard.press("+"))
    assert float(page.locator(".overlay .window").get_attribute("width")) == pytest.approx(width - 4, abs=0.2)
    page.get_by_label("Frame", exact=True).focus()
    page.keyboard.press("End")
    window.focus()
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Keyframe at")).to_have_count(2)
    page.keyboard.press("[")
    expect(page.get_by_role("slider", name="Frame")).to_have_value("0")
    page.keyboard.press("]")
    expect(page.get_by_role("slider", name="Frame")).to_have_value(str(SECONDS * RATE - 1))
    mark = page.get_by_role("button", name="Keyframe at 0:03.90")
    mark.press("Shift+ArrowLeft")
    expect(page.get_by_role("button", name="Keyframe at 0:02.90")).to_be_focused()
    page.keyboard.press("Delete")
    expect(page.get_by_role("button", name="Keyframe at")).to_have_count(1)
    # A neighbour that no camera can reach in time.
    page.get_by_label("Frame", exact=True).fill("1")
    window.focus()
    for _ in range(12):
        page.keyboard.press("Shift+ArrowRight")
    expect(page.locator(".edit-stage").get_by_role("alert")).to_contain_text("cannot be met")
    expect(page.get_by_role("button", name="Render", exact=True)).to_be_disabled()
    page.keyboard.press("Control+z")
    expect(page.locator(".edit-stage").get_by_role("alert")).to_be_hidden()
    other = desk.edit(beside=page)
    solved(other, lambda: other.get_by_label("Shape").select_option("1:1"))
    expect(page.get_by_text("changed in another tab")).to_be_visible()
    page.get_by_role("button", name="Take over theirs").click()
    expect(page.get_by_label("Shape")).to_have_value("1:1")


def test_several_shapes_from_one_analysis_on_a_phone(desk: Desk) -> None:
    before = desk.claimed_chunks()
    page = desk.edit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    grip = page.locator(".overlay .grip .reach").first.bounding_box()
    assert min(grip["width"], grip["height"]) >= 43
    page.get_by_text("Several shapes in one go").click()
    for shape in ("1:1", "16:9"):
        page.get_by_role("checkbox", name=shape).check()
    page.get_by_role("button", name="Render 2 shapes").click()
    versions = page.get_by_role("region", name="Versions").get_by_role("listitem")
    expect(versions).to_have_count(3)
    desk.studio.run()
    expect(versions.nth(2)).to_contain_text("Done")
    assert desk.claimed_chunks() == before
    jobs = page.request.get(f"{desk.address}/api/v1/jobs/{desk.job}/versions").json()["jobs"]
    sizes = [desk.path_of(job["id"], page)["output_size"] for job in jobs]
    assert [round(width / height, 1) for width, height in sizes] == [0.6, 1.0, 1.8]
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


STATE = """async () => {
    const { percent } = await import("/static/core/words.js");
    const { Edits, differing } = await import("/static/edit/edits.js");
    const { changeWords } = await import("/static/edit/difference.js");
    const { wellFormed } = await import("/static/edit/choices.js");
    const { Solver } = await import("/static/edit/solver.js");
    const { Panel } = await import("/static/edit/panel.js");
    const offered = (subject) => {
        const own = new Edits({ subject, padding_ratio: 0.1, zoom: true });
        const panel = new Panel(own, { tracks: [], shots: [[0, 9]] }, () => 0);
        panel.paint();
        const modes = [...panel.element.querySelectorAll("[name=edit-mode]")];
        return modes.map(({ value, checked }) => value + (checked ? "!" : ""));
    };
    const edits = new Edits({ aspect: "9:16", shots: {}, keyframes: [] });
    edits.change({ aspect: "1:1" });
    edits.change({ padding_ratio: 0.2 }, "padding");
    edits.change({ padding_ratio: 0.3 }, "padding");
    edits.tryOut({ aspect: "4:5" });
    const trial = [edits.params.aspect, edits.changes.aspect];
    edits.forget();
    edits.undo();
    const undone = edits.changes;
    edits.redo();
    const redone = edits.changes;
    edits.undo();
    edits.change({ fill: "blur" });
    const sent = [];
    const seen = [];
    const answers = [];
    const solver = new Solver("none", {
        send: (body) => new Promise((resolve) => { sent.push(body.params.n); answers.push(resolve); }),
        onPath: (path) => seen.push(path), onTrouble: () => {},
    });
    for (const n of [1, 2, 3]) solver.near({ n }, 0, 0);
    solver.whole({ n: 4 }, 0);
    const settle = () => new Promise((resolve) => setTimeout(resolve));
    answers[0]("one");
    await settle();
    solver.near({ n: 5 }, 0, 0);
    answers[1]("whole, of before");
    await settle();
    answers[2]("three");
    await settle();
    answers[3]("five");
    await settle();
    return {
        trial, undone, redone, canRedo: edits.canRedo, sent, seen, offered: [offered("main"), offered("speaker")],
        words: changeWords(differing({ aspect: "9:16", shots: {} }, { aspect: "1:1", shots: { 2: "track:4" } })),
        shares: [0, 0.02, 1.8182, 99.97, 100].map(percent),
        kept: Object.keys(wellFormed({ aspect: "1:1", subject: "track:x", keyframes: [{ x: 1 }], crf: 3 })),
    };
}"""


def test_steps_words_and_questions_to_the_server(browser: Any, desk: Desk) -> None:
    page = desk.open(bypass_csp=True)  # which forbids what a test evaluates
    page.goto("/#/jobs")
    found = page.evaluate(STATE)
    assert found["trial"] == ["4:5", "1:1"]
    assert found["undone"] == {"aspect": "1:1"}
    assert found["redone"] == {"aspect": "1:1", "padding_ratio": 0.3}
    assert found["canRedo"] is False
    # One at a time and the newest of those that waited; an answer to what is no longer asked is not shown.
    assert found["sent"] == [1, 4, 3, 5]
    assert found["seen"] == ["one", "three", "five"]
    assert found["words"] == "1:1, follows person 4 in shot 2"
    assert found["kept"] == ["aspect"]
    # Never all for less than all, never none for some.
    assert found["shares"] == ["0 %", "0.1 %", "2 %", "99 %", "100 %"]
    # Whoever speaks can be followed where mouths and voice were looked for.
    assert found["offered"] == [["main!", "all"], ["main", "all", "speaker!"]]
