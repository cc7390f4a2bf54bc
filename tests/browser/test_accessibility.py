"""axe finds nothing in any view, light and dark, wide and narrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from backend.states import JobStatus
from tests.browser.filmed import filmed
from tests.browser.served import served
from tests.browser.site import VIEWS
from tests.conftest import empty_database
from tests.integration.rows import sql
from tests.seed import seed

axe_core = pytest.importorskip("axe_playwright_python.base", reason="needs the axe-playwright-python package")
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
# `target-size` is WCAG 2.2's and off by default: 24 pixels, or as much room around it.
OPTIONS = {"rules": {"target-size": {"enabled": True}}}
DOCS = "docs"


@pytest.fixture(scope="module")
def site(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Its address, and the id of a job at work."""
    with empty_database(postgres) as url, served(url, tmp_path_factory.mktemp("api")) as site:
        site.api.app.extensions["framefleet"].planners.shutdown()
        seed(site.api.database, jobs=8, chunks=24)
        query = "SELECT id FROM video_analysis_jobs WHERE status = :status LIMIT 1"
        job = sql(site.api.database, query, status=JobStatus.PROCESSING)[0]["id"]
        yield site.address, str(job)


@pytest.mark.parametrize(
    ("scheme", "viewport", "pages"),
    [
        ("light", WIDE, VIEWS),
        ("dark", NARROW, VIEWS),
        pytest.param("dark", WIDE, (*VIEWS, DOCS), marks=pytest.mark.slow),
        pytest.param("light", NARROW, (*VIEWS, DOCS), marks=pytest.mark.slow),
    ],
)
def test_axe_finds_nothing_in_any_view(
    browser: Any, site: tuple[str, str], scheme: str, viewport: dict[str, int], pages: tuple[str, ...]
) -> None:
    address, job = site
    assert _complaints(browser, scheme, viewport, [f"{address}/{place.format(id=job)}" for place in pages]) == []


def test_axe_finds_nothing_in_review_and_editor_of_a_film(browser: Any, database_url: str, tmp_path: Path) -> None:
    with filmed(database_url, tmp_path) as films:
        job = films.done(films.numbered(seconds=2), aspect="9:16")
        pages = [f"{films.site.address}/#/jobs/{job}", f"{films.site.address}/#/jobs/{job}/edit"]
        for scheme, viewport in (("light", WIDE), ("dark", NARROW)):
            assert _complaints(browser, scheme, viewport, pages, ".overlay .window") == []


def _complaints(
    browser: Any, scheme: str, viewport: dict[str, int], addresses: Sequence[str], sign: str = "h1"
) -> list[str]:
    """What axe finds in each page, once `sign` is there."""
    found = []
    # The policy forbids the very script that looks.
    context = browser.new_context(bypass_csp=True, color_scheme=scheme, reduced_motion="reduce", viewport=viewport)
    context.add_init_script(path=axe_core.AXE_FILE_PATH)
    for address in addresses:
        page = context.new_page()
        page.goto(address)
        page.locator(sign).first.wait_for(timeout=30_000)
        page.wait_for_timeout(500)  # for what comes a little later
        answer = page.evaluate("(options) => axe.run(document, options)", OPTIONS)
        assert answer["passes"], address  # it looked at something
        found += [f"{address}: {_told(each)}" for each in answer["violations"]]
        page.close()
    context.close()
    return found


def _told(violation: dict[str, Any]) -> str:
    return f"{violation['id']}: {'; '.join(node['html'][:150] for node in violation['nodes'][:4])}"
