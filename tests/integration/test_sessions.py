"""A person signs in with a key: a cookie stands for it, for as long as both are good, and for the page alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from backend.access.keys import MAX_SESSIONS, create_key, revoke_key
from backend.access.scopes import Scope
from backend.api.credentials import COOKIE
from tests.conftest import empty_database
from tests.integration.conftest import wait_until
from tests.integration.keyed import ELSEWHERE, JOBS, SESSION, Api, api_on
from tests.integration.test_keys import GUESSED

OWN_PAGE = {"Origin": "http://localhost"}
HALF_A_DAY_SEC = 12 * 3600


@pytest.fixture(scope="module")
def api(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with empty_database(postgres) as url, api_on(url, tmp_path_factory.mktemp("api")) as api:
        yield api


class Browser:
    """On another machine; it keeps its cookies and says where a request comes from, as browsers do."""

    def __init__(self, api: Api, address: str = ELSEWHERE) -> None:
        self.client: FlaskClient = api.app.test_client()
        self._address = address

    def ask(self, path: str, method: str = "GET", **more: Any) -> TestResponse:
        environ = {"REMOTE_ADDR": self._address}
        headers = more.pop("headers", {} if method == "GET" else OWN_PAGE)
        return self.client.open(path, method=method, headers=headers, environ_overrides=environ, **more)

    def sign_in(self, key: str, **more: Any) -> TestResponse:
        return self.ask(SESSION, "POST", json={"key": key}, **more)

    @property
    def cookie(self) -> str:
        found = self.client.get_cookie(COOKIE)
        return found.value if found else ""


def rows(api: Api, statement: str, **params: object) -> list[Any]:
    with api.database.transaction() as connection:
        result = connection.execute(text(statement), params)
        return list(result) if result.returns_rows else []


def test_a_cookie_stands_for_the_key_that_was_shown(api: Api) -> None:
    browser = Browser(api)
    assert browser.ask(JOBS).status_code == 401
    answer = browser.sign_in(create_key(api.database, "person", tenant="acme", scopes=[Scope.JOBS_READ]))
    assert (answer.status_code, answer.get_json()) == (
        201, {"key": "person", "tenant": "acme", "scopes": ["jobs:read"]},
    )  # fmt: skip
    assert browser.ask(JOBS).status_code == 200
    assert browser.ask(SESSION).get_json()["key"] == "person"
    # As a film's address is asked for: nothing but the cookie.
    assert browser.ask(f"{JOBS}/00000000-0000-4000-8000-000000000000/output").status_code == 404
    assert browser.ask(JOBS, "POST", json={}).status_code == 403


def test_no_script_and_no_other_site_gets_the_cookie_and_no_row_gives_it_away(api: Api) -> None:
    key = create_key(api.database, "strict")
    browser = Browser(api)
    attributes = set(browser.sign_in(key).headers["Set-Cookie"].split("; ")[1:])
    assert attributes == {"HttpOnly", "SameSite=Strict", "Path=/", f"Max-Age={HALF_A_DAY_SEC}"} | {
        each for each in attributes if each.startswith("Expires=")
    }
    assert re.fullmatch(r"[a-z2-7]{52}", browser.cookie)
    assert browser.cookie not in str(rows(api, "SELECT s::text FROM api_sessions s"))
    for over_tls in ({"base_url": "https://localhost"}, {"headers": {"X-Forwarded-Proto": "https"}}):
        assert "Secure" in Browser(api).sign_in(key, **over_tls).headers["Set-Cookie"].split("; ")


def test_a_session_ends_with_its_key(api: Api) -> None:
    browser = Browser(api)
    key = create_key(api.database, "short-lived", lasts_sec=100)
    max_age = int(re.findall(r"Max-Age=(\d+)", browser.sign_in(key).headers["Set-Cookie"])[0])
    assert 90 <= max_age <= 100
    revoke_key(api.database, "short-lived")
    assert rows(api, "SELECT 1 FROM api_sessions s JOIN api_keys k ON k.id = key_id WHERE name = 'short-lived'") == []
    wait_until(lambda: browser.ask(JOBS).status_code == 401, 60, "the refusal")
    assert browser.sign_in(key).get_json()["code"] == "key_revoked"


def test_a_session_is_over_after_its_time(api: Api) -> None:
    browser = Browser(api)
    browser.sign_in(create_key(api.database, "yesterday"))
    rows(api, "UPDATE api_sessions SET expires_at = now() - interval '1 second' WHERE key_id IN"
              " (SELECT id FROM api_keys WHERE name = 'yesterday')")  # fmt: skip
    answer = browser.ask(JOBS)
    assert (answer.status_code, answer.get_json()["code"]) == (401, "key_invalid")
    Browser(api).sign_in(create_key(api.database, "today"))
    left = rows(api, "SELECT 1 FROM api_sessions s JOIN api_keys k ON k.id = key_id WHERE name = 'yesterday'")
    assert left == [], "what is over stays for ever"


def test_who_signs_out_is_out_and_nobody_else(api: Api) -> None:
    key = create_key(api.database, "two-browsers")
    one, other = Browser(api), Browser(api)
    for browser in (one, other):
        browser.sign_in(key)
        assert browser.ask(JOBS).status_code == 200
    kept = one.cookie
    assert one.ask(SESSION, "DELETE").status_code == 204
    assert one.cookie == ""
    assert one.ask(JOBS).status_code == 401
    one.client.set_cookie(COOKIE, kept)
    assert one.ask(JOBS).status_code == 401  # in earnest, not only in this browser
    assert other.ask(JOBS).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://localhost:8001"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_what_a_page_of_another_site_makes_a_browser_do_is_refused(api: Api, headers: dict[str, str]) -> None:
    """Also where a browser, or something between, takes away who made the request."""
    browser = Browser(api)
    browser.sign_in(create_key(api.database, f"victim-{len(rows(api, 'SELECT 1 FROM api_keys'))}"))
    body = {"input": "https://films.example/a.mp4"}
    for path, method in ((JOBS, "POST"), (SESSION, "DELETE"), ("/api/v1/fleet/pause", "POST")):
        answer = browser.ask(path, method, json=body, headers=headers)
        assert (answer.status_code, answer.mimetype) == (403, "application/problem+json"), path
    assert browser.ask(JOBS).get_json()["jobs"] == []  # still signed in, and nothing was made


def test_a_page_may_act_for_who_is_signed_in(api: Api) -> None:
    """So that the refusals are not everybody's."""
    browser = Browser(api)
    browser.sign_in(create_key(api.database, "owner", tenant="owner"))
    for headers in (OWN_PAGE, {"Sec-Fetch-Site": "same-origin"}):
        answer = browser.ask(JOBS, "POST", json={"input": "https://films.example/a.mp4"}, headers=headers)
        assert answer.status_code == 202


@pytest.mark.parametrize("body", [{}, {"key": 7}, {"key": "x" * 201}, [], "text"])
def test_what_is_no_key_is_no_sign_in(api: Api, body: Any) -> None:
    answer = Browser(api).ask(SESSION, "POST", json=body)
    assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid_value")


def test_who_guesses_at_the_form_is_shut_out(api: Api) -> None:
    browser = Browser(api, "198.51.100.99")
    statuses = [browser.sign_in(GUESSED).status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    browser.client.set_cookie(COOKIE, "a" * 52)
    assert browser.ask(JOBS).status_code == 429


def test_the_sessions_of_a_key_do_not_pile_up(api: Api) -> None:
    key = create_key(api.database, "popular")
    first = Browser(api)
    first.sign_in(key)
    rows(api, "INSERT INTO api_sessions (token_sha256, key_id, expires_at) SELECT 'x' || n, k.id, now() + interval '1h'"
              " FROM generate_series(1, :n) n, api_keys k WHERE name = 'popular'", n=MAX_SESSIONS)  # fmt: skip
    Browser(api).sign_in(key)
    count = rows(api, "SELECT count(*) FROM api_sessions s JOIN api_keys k ON k.id = key_id WHERE name = 'popular'")
    assert count[0][0] == MAX_SESSIONS
    assert first.ask(JOBS).status_code == 401


def test_an_old_cookie_shuts_nobody_out_where_no_key_is_needed(api: Api) -> None:
    """Cookies know no ports: another server of this machine may have set it."""
    client = api.app.test_client()
    client.set_cookie(COOKIE, "a" * 52)
    assert client.get(JOBS).status_code == 200
    assert client.get(SESSION).get_json()["key"] is None
