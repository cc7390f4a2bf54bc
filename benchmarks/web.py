"""The page in Chromium: `python -m benchmarks.web many` and `python -m benchmarks.web drag`.

`many`: 1,000 jobs and 10,000 chunks of `tests/seed.py`. For each view, how long after the last byte of an answer the
page is idle again, the longest of its first three seconds; then what it asks in twenty seconds, and how much of that is
answered with 304.

`drag`: `framefleet up` with two workers and a film of ten minutes at 30 frames/s without a cut (a real clip over and
over). The window is dragged 30 times at ten places of the film; from the pointer's move to the new path on the screen,
as the editor measures it. Asserts nothing.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from backend.db.embedded import EmbeddedPostgres
from backend.db.engine import Database
from backend.db.migrate import upgrade
from backend.states import JobStatus
from benchmarks.editing import serving
from benchmarks.measured import console, ffmpeg
from benchmarks.seams import MEDIA
from benchmarks.uploads import free_port
from tests.browser.conftest import BROWSER_ARGS, BROWSERS
from tests.browser.served import served
from tests.browser.site import VIEWS, Heard
from tests.integration.rows import sql
from tests.seed import seed

JOBS, CHUNKS = 1000, 10_000
SETTLE_SEC, LOOK_SEC = 3, 20
MINUTES, CLIP = 10, "intel_one-by-one-person-detection.mp4"
PLACES, DRAGS_AT_ONE = 10, 3
LOOP_FRAME = "fps=30,scale=640:360"
# From the end of each answer of the API to the next idle moment after a frame.
WATCH = """
window.idleMs = [];
new PerformanceObserver((list) => {
  for (const { name, responseEnd } of list.getEntries()) {
    if (!name.includes("/api/")) continue;
    requestAnimationFrame(() => requestIdleCallback(() => window.idleMs.push(performance.now() - responseEnd)));
  }
}).observe({ type: "resource", buffered: true });
"""


@contextmanager
def browser() -> Iterator[Any]:
    path = next(found for name in BROWSERS if (found := shutil.which(name)))
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=BROWSER_ARGS)
        yield launched
        launched.close()


def many() -> None:
    with tempfile.TemporaryDirectory(prefix="framefleet-web-") as name:
        folder = Path(name)
        with EmbeddedPostgres(folder / "database") as server:
            upgrade(Database(server.url))
            with served(server.url, folder) as site, browser() as chromium:
                site.api.app.extensions["framefleet"].planners.shutdown()
                seed(site.api.database, jobs=JOBS, chunks=CHUNKS)
                query = "SELECT id FROM video_analysis_jobs WHERE status = :status LIMIT 1"
                job = sql(site.api.database, query, status=JobStatus.PROCESSING)[0]["id"]
                for view in VIEWS:
                    _look(chromium, site.address, view.format(id=job))


def _look(chromium: Any, address: str, view: str) -> None:
    context, heard = chromium.new_context(viewport={"width": 1280, "height": 800}), Heard()
    context.add_init_script(WATCH)
    page = context.new_page()
    heard.listen(page)
    page.goto(f"{address}/{view}")
    page.wait_for_timeout(1000 * SETTLE_SEC)
    idle_ms = page.evaluate("window.idleMs")
    start = len(heard.asked)
    page.wait_for_timeout(1000 * LOOK_SEC)
    asked = [status for _, path, status in heard.asked[start:] if "/api/" in path]
    context.close()
    unchanged = sum(status == 304 for status in asked)
    console.print(
        f"{view:.20}: idle after {max(idle_ms, default=0):.0f} ms at most; "
        f"then {len(asked)} requests in {LOOK_SEC} s, {unchanged} of them 304"
    )


def drag() -> None:
    with tempfile.TemporaryDirectory(prefix="framefleet-web-") as name:
        folder = Path(name)
        film = folder / "film.mp4"
        length = ["-t", str(60 * MINUTES), "-an", "-vf", LOOP_FRAME, "-preset", "ultrafast", "-g", "60"]
        ffmpeg("-stream_loop", "-1", "-i", str(MEDIA / CLIP), *length, str(film))
        port = free_port()
        with serving(folder / "data", port) as client, browser() as chromium:
            began = time.monotonic()
            job = client.wait(client.create_job("crop", file=film, params={"aspect": "9:16", "sample_fps": 5.0}).id)
            client.download_file(job.id, "camera_path.json", folder / "path.json")
            path = json.loads((folder / "path.json").read_bytes())
            frames, shots = len(path["frames"]), len(path["shots"])
            console.print(f"{frames} frames in {shots} shots, analysed in {time.monotonic() - began:.0f} s")
            page = chromium.new_page(viewport={"width": 1280, "height": 900})
            page.goto(f"http://127.0.0.1:{port}/#/jobs/{job.id}/edit")
            page.locator(".edit-stage[aria-busy=false]").wait_for(timeout=120_000)
            for place in range(PLACES):
                _drag_at(page, int((place + 0.5) / PLACES * frames))
            took = page.evaluate("performance.getEntriesByName('solve-to-screen').map((each) => each.duration)")
    p50, p95 = np.percentile(took, [50, 95])
    console.print(f"{len(took)} answers drawn: p50 {p50:.0f} ms, p95 {p95:.0f} ms after the pointer moved")


def _drag_at(page: Any, frame: int) -> None:
    page.locator(".scrub").fill(str(frame))
    page.wait_for_timeout(500)
    for _ in range(DRAGS_AT_ONE):
        box = page.locator(".overlay .window").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.8
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + random.choice((-40, -25, 25, 40)), y, steps=2)
        page.wait_for_timeout(600)
        page.mouse.up()
        page.locator(".edit-stage[aria-busy=false]").wait_for(timeout=60_000)


if __name__ == "__main__":
    for part in sys.argv[1:] or ("many", "drag"):
        {"many": many, "drag": drag}[part]()
