"""A thousand jobs and ten thousand chunks: what the page asks for while somebody looks, and whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from backend.states import JobStatus
from tests.browser.served import served
from tests.browser.site import VIEWS, Heard
from tests.conftest import empty_database
from tests.integration.rows import sql
from tests.seed import seed

JOBS, CHUNKS = 1000, 10_000
LOOK_MS, SETTLE_MS = 3000, 1000
LIVE = ("#/jobs", "#/jobs/{id}", "#/fleet")
# Pictures of what was worked on: no row that stands for a job has any.
PICTURES = {"poster", "preview", "people"}


@pytest.fixture(scope="module")
def site(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Its address, and the id of a job at work."""
    with empty_database(postgres) as url, served(url, tmp_path_factory.mktemp("api")) as site:
        site.api.app.extensions["framefleet"].planners.shutdown()
        seed(site.api.database, jobs=JOBS, chunks=CHUNKS)
        query = "SELECT id FROM video_analysis_jobs WHERE status = :status LIMIT 1"
        job = sql(site.api.database, query, status=JobStatus.PROCESSING)[0]["id"]
        yield site.address, str(job)


def test_the_page_asks_seldom_and_nobody_else(browser: Any, site: tuple[str, str]) -> None:
    address, job = site
    context, heard = browser.new_context(), Heard()
    page = context.new_page()
    heard.listen(page)
    for view in VIEWS:
        page.goto(f"{address}/{view.format(id=job)}")
        page.get_by_role("heading", level=1).first.wait_for()
        page.wait_for_timeout(SETTLE_MS)
        if view not in LIVE:
            continue
        start = len(heard.asked)
        page.wait_for_timeout(LOOK_MS)
        polled = [path for host, path, _ in heard.asked[start:]]
        assert max((polled.count(path) for path in polled), default=0) <= LOOK_MS / 1000 + 1, (view, polled)
    assert heard.hosts() == {urlsplit(address).netloc}
    assert {path.rpartition("/")[2] for _, path, status in heard.asked if status >= 400} <= PICTURES
    assert [each for each in heard.faults if not each.startswith("Failed to load resource")] == []
    context.close()
