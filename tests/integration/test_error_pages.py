"""Browsers that were given a wrong address see a page with a way home; programs get the problem, as they always did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.integration.keyed import api_on

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
HOSTILE = "/nothing/<script>alert(1)</script>"


@pytest.fixture
def client(database_url: str, tmp_path: Path) -> Iterator[FlaskClient]:
    with api_on(database_url, tmp_path) as api:
        yield api.app.test_client()


def ask(client: FlaskClient, path: str, accept: str, **more: Any) -> Any:
    return client.open(path, headers={"Accept": accept}, **more)


def test_a_browser_is_shown_a_page_with_a_way_home(client: FlaskClient) -> None:
    answer = ask(client, HOSTILE, BROWSER)
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "There is no such page" in answer.text
    assert 'href="/"' in answer.text
    assert "alert(1)" not in answer.text
    assert "<script" not in answer.text
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer.headers["Vary"] == "Accept"
    assert ask(client, "/nothing", BROWSER, method="HEAD").mimetype == "text/html"
    foreign = ask(client, "/", BROWSER, base_url="http://films.example")
    assert (foreign.status_code, foreign.mimetype) == (400, "text/html")
    assert "ALLOWED_HOSTS" in foreign.text


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/nothing", "*/*"),
        ("/nothing", "application/json, text/html;q=0.5"),
        ("/nothing", "application/problem+json"),
        ("/api/v1/nothing", BROWSER),
        ("/api/v1/jobs/00000000-0000-4000-8000-000000000000", BROWSER),
    ],
)
def test_programs_get_the_problem(client: FlaskClient, path: str, accept: str) -> None:
    answer = ask(client, path, accept)
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
    assert ("Vary" in answer.headers) == (not path.startswith("/api/"))


def test_what_is_posted_is_answered_with_the_problem(client: FlaskClient) -> None:
    answer = ask(client, "/nothing", BROWSER, method="POST")
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
    allowed = ask(client, "/docs", BROWSER, method="POST")
    assert (allowed.status_code, allowed.mimetype) == (405, "application/problem+json")
