"""axe finds nothing in any view, light and dark, wide and narrow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from backend.states import JobStatus
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
    found = []
    # The policy forbids the very script that looks.
    context = browser.new_context(bypass_csp=True, color_scheme=scheme, reduced_motion="reduce", viewport=viewport)
    context.add_init_script(path=axe_core.AXE_FILE_PATH)
    for place in pages:
        page = context.new_page()
        page.goto(f"{address}/{place.format(id=job)}")
        page.get_by_role("heading", level=1).first.wait_for()
        page.wait_for_timeout(500)  # for what comes a little later than the heading
        answer = page.evaluate("(options) => axe.run(document, options)", OPTIONS)
        assert answer["passes"], place  # it looked at something
        found += [f"{place}: {_told(each)}" for each in answer["violations"]]
        page.close()
    context.close()
    assert found == []


def _told(violation: dict[str, Any]) -> str:
    return f"{violation['id']}: {'; '.join(node['html'][:150] for node in violation['nodes'][:4])}"
