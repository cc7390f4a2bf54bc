"""Pictures of each view, light, dark and on a phone: `python -m tests.screenshots [FOLDER [VIEW-LOOK …]]`.

A server of its own with an embedded PostgreSQL; one job really runs, all others are rows (tests/seed.py).
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright
from rich.console import Console
from werkzeug.serving import make_server

from backend.api.app import create_app
from backend.db.engine import Database
from backend.db.provided import database_of
from backend.local.demo import demo
from backend.local.sample import make_sample
from backend.settings import Settings
from backend.states import JobStatus
from tests.browser.conftest import BROWSER_ARGS, BROWSERS
from tests.integration.rows import sql
from tests.seed import seed

FOLDER = Path("build/screenshots")
SAMPLE_SEC = 12
MODEL = "yolo11n.onnx"  # comes with the packages
SETTLE_MS = 1500
WIDE, PHONE, NARROW = (1280, 800), (390, 844), (320, 640)
# A view whose heading is still to come says so.
FILMS_ARE_THERE = """() => (document.querySelector("dialog[open]") || document.querySelector("h1"))
  && !document.querySelector("main h1")?.textContent.startsWith("…")
  && [...document.querySelectorAll("video[src]:not([hidden])")].every((film) => film.readyState > 1 || film.error)"""


@dataclass(frozen=True)
class View:
    """`address`: {processing}, {failed}: a job of that status; {done}: the one that ran. `paused`: the whole fleet.
    `signed_out`: seen by somebody whose key is asked for. `film`: is chosen there."""

    name: str
    address: str
    paused: bool = False
    signed_out: bool = False
    film: bool = False


@dataclass(frozen=True)
class Look:
    name: str
    size: tuple[int, int]
    options: dict[str, Any]


VIEWS = (
    View("new", "#/new"),
    View("new-chosen", "#/new", film=True),
    View("jobs", "#/jobs"),
    View("job-at-work", "#/jobs/{processing}"),
    View("job-failed", "#/jobs/{failed}"),
    View("job-done", "#/jobs/{done}"),
    View("edit", "#/jobs/{done}/edit"),
    View("fleet", "#/fleet"),
    View("fleet-paused", "#/fleet", paused=True),
    View("nowhere", "#/nowhere"),
    View("not-found", "no-such-page"),
    View("docs", "docs"),
    View("report", "api/v1/jobs/{done}/report"),
    View("sign-in", "", signed_out=True),
)
LOOKS = (
    Look("light", WIDE, {"color_scheme": "light"}),
    Look("dark", WIDE, {"color_scheme": "dark"}),
    Look("phone", PHONE, {"color_scheme": "light"}),
    Look("phone-dark", PHONE, {"color_scheme": "dark"}),
    Look("narrow", NARROW, {"color_scheme": "light"}),
    Look("forced-colours", WIDE, {"forced_colors": "active", "reduced_motion": "reduce"}),
)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    console = Console()
    os.environ.setdefault("MODEL_NAME", MODEL)  # for the workers too
    with tempfile.TemporaryDirectory(prefix="framefleet-screenshots-") as name:
        settings = Settings.model_validate({"data_dir": Path(name)})
        film = make_sample(Path(name) / "street.mp4", SAMPLE_SEC)
        if demo(settings, video=film, workers=1, port=0, stay=False, console=console):
            sys.exit(1)
        with database_of(settings) as (database, located):
            take(set(sys.argv[2:]), database, located, film, folder)
    console.print(f"{len(list(folder.glob('*.png')))} pictures: {folder}")


def take(wanted: set[str], database: Database, settings: Settings, film: Path, folder: Path) -> None:
    ran = str(sql(database, "SELECT id FROM video_analysis_jobs")[0]["id"])
    seed(database, jobs=60, chunks=600)
    query = (
        "SELECT id FROM video_analysis_jobs WHERE status = :status AND kind = 'crop' ORDER BY created_at DESC LIMIT 1"
    )
    statuses = (JobStatus.PROCESSING, JobStatus.FAILED)
    jobs = {"done": ran} | {str(each): str(sql(database, query, status=each)[0]["id"]) for each in statuses}
    with sync_playwright() as playwright:
        path = next(path for path in BROWSERS if Path(path).exists())
        browser = playwright.chromium.launch(executable_path=path, args=BROWSER_ARGS)
        for signed_out in (False, True):
            access = "keys" if signed_out else "auto"
            with _served(settings.model_copy(update={"api_access": access})) as address:
                for view in (each for each in VIEWS if each.signed_out == signed_out):
                    _pause(database, view.paused)
                    for look in (each for each in LOOKS if not wanted or f"{view.name}-{each.name}" in wanted):
                        _take(browser, database, f"{address}/{view.address.format(**jobs)}", view, look, film, folder)
        browser.close()


def _take(browser: Any, database: Database, address: str, view: View, look: Look, film: Path, folder: Path) -> None:
    size = {"width": look.size[0], "height": look.size[1]}
    sql(database, "UPDATE workers SET seen_at = now() WHERE worker_id LIKE 'seeded-%'")
    context = browser.new_context(viewport=size, **look.options)
    page = context.new_page()
    page.goto(address)
    page.wait_for_timeout(SETTLE_MS)
    page.wait_for_function(FILMS_ARE_THERE)
    page.wait_for_timeout(SETTLE_MS)
    if view.film:
        page.locator("input[type=file]").first.set_input_files(film)
        page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=folder / f"{view.name}-{look.name}.png")
    context.close()


def _pause(database: Database, paused: bool) -> None:
    values = "now(), 'The cluster moves.', 'anna'" if paused else "NULL, NULL, NULL"
    sql(database, f"UPDATE fleet SET (paused_at, reason, paused_by) = ({values})")


@contextmanager
def _served(settings: Settings) -> Iterator[str]:
    """Without planners: what was seeded stays as it is."""
    app = create_app(settings)
    app.extensions["framefleet"].planners.shutdown()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        app.extensions["framefleet"].database.close()


if __name__ == "__main__":
    main()
