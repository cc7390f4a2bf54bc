"""Keys to the API: shown once, stored as hashes, looked up in a way that tells a stranger nothing, and revocable."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from backend.access.keys import create_key, has_keys, list_keys, revoke_key
from backend.access.scopes import Scope
from backend.api.keys import FRESH_SEC, KeyRing
from backend.api.streams import OF_ONE_TENANT, STREAMED
from backend.db.engine import Database
from backend.errors import InvalidRequest, KeyExpired, KeyInvalid, KeyRevoked
from tests.conftest import Said, empty_database
from tests.integration.conftest import wait_until
from tests.integration.keyed import ELSEWHERE, JOBS, SESSION, Api, api_on

# Of the right form, and nobody's.
GUESSED = "ff_aaaaaaaa_" + "a" * 52


@pytest.fixture(scope="module")
def api(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    changes = {
        "metrics_token": "prometheus-7f3c9a21",
        "rate_limit": "8 per minute",
        "rate_limit_create": "2 per minute",
    }
    with empty_database(postgres) as url, api_on(url, tmp_path_factory.mktemp("api"), **changes) as api:
        yield api


@pytest.fixture(scope="module")
def database(api: Api) -> Database:
    return api.database


def execute(database: Database, statement: str, **params: object) -> list[Any]:
    with database.transaction() as connection:
        result = connection.execute(text(statement), params)
        return list(result) if result.returns_rows else []


def test_a_key_is_kept_as_a_hash_and_told_to_nobody_else(database: Database, said: list[Said]) -> None:
    key = create_key(database, "hashed", lasts_sec=60)
    secret = key.rpartition("_")[2]
    assert len(secret) == 52  # 256 bits, five in each
    rows = execute(database, "SELECT k::text, secret_sha256 FROM api_keys k WHERE name = 'hashed'")
    assert rows[0][1] == hashlib.sha256(key.encode()).hexdigest()
    assert secret not in rows[0][0]
    assert secret not in str([each.as_dict() for each in list_keys(database)])
    assert [one.event for one in said] == ["key_created"] and secret not in str(said)


def test_a_key_opens_what_it_is_for_and_says_that_it_was_used(api: Api, database: Database) -> None:
    key = create_key(database, "reader", tenant="acme", scopes=[Scope.JOBS_READ])
    reader = api.with_key(key)
    assert reader.ask(JOBS).status_code == 200
    who = reader.ask(SESSION).get_json()
    assert who == {"key": "reader", "tenant": "acme", "scopes": ["jobs:read"]}
    (used,) = execute(database, "SELECT last_used_at FROM api_keys WHERE name = 'reader'")
    assert used[0] is not None


def test_whatever_is_wrong_with_a_key_a_stranger_hears_the_same(api: Api, database: Database) -> None:
    """Nobody learns from the answer which keys there are, or were."""
    key, revoked = create_key(database, "guessed-at"), create_key(database, "given-up")
    revoke_key(database, "given-up")
    wrong = [GUESSED, *[each[:-1] + ("a" if each[-1] != "a" else "b") for each in (key, revoked)]]
    wrong += [" ", "ff_", "x" * 10_000, key.upper(), f"{key}a", "\u00e4\u00f6"]
    answers = set()
    for number, each in enumerate(wrong):  # from another address each: who guesses often is shut out
        answer = api.with_key(each, f"198.51.100.{number}").ask(JOBS)
        answers.add((answer.status_code, answer.headers["WWW-Authenticate"], answer.data))
    ((status, challenge, body),) = answers
    assert (status, challenge) == (401, 'Bearer error="invalid_token"')
    assert b'"key_invalid"' in body


def test_only_who_has_the_whole_key_hears_that_it_was_revoked_or_is_over(api: Api, database: Database) -> None:
    key = create_key(database, "over", lasts_sec=3600)
    execute(database, "UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE name = 'over'")
    assert api.with_key(key).code(JOBS) == (401, "key_expired")
    key = create_key(database, "withdrawn")
    revoke_key(database, "withdrawn")
    assert api.with_key(key).code(JOBS) == (401, "key_revoked")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_key_is_looked_up_again_after_three_seconds(database: Database) -> None:
    """A revocation holds within five seconds, and not every poll of every client asks the database."""
    clock = Clock()
    ring = KeyRing(database, clock)
    key = create_key(database, "in-use")
    assert ring.key_of(key).name == "in-use"
    revoke_key(database, "in-use")
    clock.now += FRESH_SEC - 0.1
    assert ring.key_of(key).name == "in-use"
    clock.now += 0.2
    with pytest.raises(KeyRevoked):
        ring.key_of(key)
    assert FRESH_SEC < 5 - 1


def test_a_key_ends_in_the_middle_of_what_is_remembered_of_it(database: Database) -> None:
    clock = Clock()
    ring = KeyRing(database, clock)
    key = create_key(database, "short", lasts_sec=3600)
    execute(database, "UPDATE api_keys SET expires_at = now() + interval '1 hour' WHERE name = 'short'")
    assert ring.key_of(key).name == "short"
    clock.now += 3590
    assert ring.key_of(key).name == "short"
    execute(database, "UPDATE api_keys SET expires_at = now() + interval '2 seconds' WHERE name = 'short'")
    clock.now += FRESH_SEC
    assert ring.key_of(key).name == "short"
    clock.now += 2.0  # and the database is not asked again
    with pytest.raises(KeyExpired):
        ring.key_of(key)


def test_guesses_do_not_fill_the_memory(database: Database) -> None:
    ring = KeyRing(database, most=2)
    for letter in "abcd":
        with pytest.raises(KeyInvalid):
            ring.key_of(f"ff_{letter * 8}_{letter * 52}")
    assert len(ring) == 2


def test_a_revoked_key_that_is_in_use_is_refused_within_five_seconds(api: Api, database: Database) -> None:
    holder = api.with_key(create_key(database, "lost"))
    assert holder.ask(SESSION).status_code == 200
    revoke_key(database, "lost")
    wait_until(lambda: holder.code(SESSION) == (401, "key_revoked"), 60, "the refusal")


def test_names_tenants_scopes_and_times_that_are_none_are_refused(database: Database) -> None:
    create_key(database, "taken")
    for wrong in (
        {"name": "taken"}, {"name": ""}, {"name": "a b"}, {"name": "x" * 64}, {"tenant": "../x"}, {"tenant": "A"},
        {"tenant": ""}, {"scopes": []}, {"lasts_sec": 0.0}, {"lasts_sec": 1e12}, {"lasts_sec": float("nan")},
    ):  # fmt: skip
        with pytest.raises(InvalidRequest):
            create_key(database, **{"name": "fresh"} | wrong)  # type: ignore[arg-type]
    assert [each.name for each in list_keys(database) if each.name == "fresh"] == []
    revoke_key(database, "taken")
    create_key(database, "taken")
    with pytest.raises(InvalidRequest, match="no key"):
        revoke_key(database, "nobodys")


def test_a_scope_of_a_newer_release_opens_nothing(api: Api, database: Database) -> None:
    key = create_key(database, "newer", scopes=[Scope.METRICS])
    execute(database, "UPDATE api_keys SET scopes = '{jobs:teleport,metrics}' WHERE name = 'newer'")
    assert api.with_key(key).ask(SESSION).get_json()["scopes"] == ["metrics"]


def test_prometheus_needs_no_key_of_its_own_and_gets_nothing_else(api: Api) -> None:
    prometheus = api.with_key("prometheus-7f3c9a21")
    assert prometheus.ask("/metrics").status_code == 200
    assert prometheus.code(JOBS) == (403, "scope_missing")
    assert api.with_key("prometheus-7f3c9a22", "198.51.100.50").code("/metrics") == (401, "key_invalid")


def test_a_client_that_asks_too_often_is_told_when_to_come_again(api: Api) -> None:
    hasty, other = api.holder("hasty"), api.holder("other")
    assert [hasty.ask(JOBS).status_code for _ in range(8)] == [200] * 8
    answer = hasty.ask(JOBS)
    assert (answer.status_code, answer.get_json()["code"], answer.mimetype) == (
        429, "rate_limited", "application/problem+json",
    )  # fmt: skip
    assert answer.get_json()["retryable"] is True
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert other.ask(JOBS).status_code == 200
    # What makes something new is counted apart, and more tightly.
    assert [other.code(JOBS, "POST", json={})[0] for _ in range(3)] == [422, 422, 429]
    assert other.ask(JOBS).status_code == 200


def test_this_machine_is_not_limited(api: Api) -> None:
    client = api.app.test_client()
    assert {client.get(JOBS).status_code for _ in range(20)} == {200}


def test_who_guesses_is_shut_out_and_who_shares_the_address_is_not(api: Api, database: Database) -> None:
    """Behind a proxy all have one address."""
    address = "2001:db8::1"
    known = api.with_key(create_key(database, "neighbour"), address)
    assert known.ask(SESSION).status_code == 200
    guesses = [api.with_key(GUESSED, f"2001:db8::{number:x}").code(JOBS) for number in range(2, 13)]
    assert guesses == [(401, "key_invalid")] * 10 + [(429, "rate_limited")]
    assert known.ask(SESSION).status_code == 200
    # Before anybody is asked, so that guessing costs the database nothing.
    assert api.with_key(create_key(database, "newcomer"), address).code(JOBS) == (429, "rate_limited")
    assert api.with_key(GUESSED, "2001:db8:0:1::1").code(JOBS) == (401, "key_invalid")


def test_a_key_that_this_machine_shows_is_looked_at_all_the_same(api: Api, database: Database) -> None:
    client = api.app.test_client()
    assert client.get(JOBS, headers={"Authorization": f"Bearer {GUESSED}"}).status_code == 401
    key = create_key(database, "local", tenant="acme", scopes=[Scope.METRICS])
    assert client.get(JOBS, headers={"Authorization": f"Bearer {key}"}).status_code == 403


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"REMOTE_ADDR": ELSEWHERE},
        {"REMOTE_ADDR": "::ffff:127.0.0.1"},
        {"REMOTE_ADDR": ""},
        {"SERVER_NAME": "0.0.0.0"},
        {"SERVER_PROTOCOL": "HTTP/1.0"},  # nginx's way to pass a request on, where nobody told it more
        {"SERVER_NAME": "/run/framefleet.sock"},
        {"HTTP_HOST": "192.0.2.1"},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_X_FORWARDED_HOST": "localhost"},
        {"HTTP_X_REAL_IP": "127.0.0.1"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
        {"HTTP_VIA": "1.1 proxy"},
    ],
)
def test_what_may_come_from_another_machine_takes_a_key(api: Api, elsewhere: dict[str, str]) -> None:
    client = api.app.test_client()
    assert client.get(JOBS).status_code == 200
    answer = client.get(JOBS, environ_overrides=elsewhere)
    assert (answer.status_code, answer.get_json()["code"]) == (401, "key_missing")


def test_a_service_asks_everybody_for_a_key_or_nobody_where_it_is_told_to(
    api: Api, database: Database, tmp_path: Path, said: list[Said]
) -> None:
    key = create_key(database, "for-all-modes", tenant="acme")
    proxys_own = {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}
    with api_on(database.url, tmp_path, api_access="keys") as strict:
        assert strict.app.test_client().get(JOBS).status_code == 401
        assert strict.app.test_client().get("/health").status_code == 200
        assert strict.with_key(key, "127.0.0.1").ask(JOBS).status_code == 200
    with api_on(database.url, tmp_path, api_access="open", rate_limit="2 per minute") as lax:
        assert lax.stranger().ask(JOBS).status_code == 200
        assert lax.stranger().ask(JOBS, headers=proxys_own).status_code == 200
        assert lax.with_key(GUESSED).code(JOBS) == (401, "key_invalid")
        assert lax.with_key(key).ask(SESSION).get_json()["tenant"] == "acme"
        # An address counts where there is no key.
        assert lax.stranger().code(JOBS) == (429, "rate_limited")
        assert lax.stranger("198.51.100.7").ask(JOBS).status_code == 200
    told = [(one.level, one.fields["access"]) for one in said if one.event == "api_access"]
    assert told == [("info", "keys"), ("warning", "open")]


def test_there_are_keys_or_there_are_none(postgres: str) -> None:
    with empty_database(postgres) as url:
        database = Database(url)
        assert not has_keys(database)
        create_key(database, "first")
        assert has_keys(database)
        revoke_key(database, "first")
        assert not has_keys(database)
        database.close()


def test_one_tenant_holds_half_of_the_threads_for_large_bodies(api: Api) -> None:
    streams = api.app.extensions["framefleet"].streams
    greedy, other = api.holder("greedy", tenant="greedy"), api.holder("patient", tenant="patient")
    streamed = {"environ_base": {STREAMED: True}, "json": {"kind": "crop"}}
    for _ in range(OF_ONE_TENANT):
        assert streams.begin("greedy")
    assert greedy.code(JOBS, "POST", **streamed) == (429, "busy")
    assert greedy.code(JOBS) == (200, None)
    assert other.code(JOBS, "POST", **streamed)[0] == 422
    streams.end("greedy")
    assert greedy.code(JOBS, "POST", **streamed)[0] == 422
    assert streams.begin("greedy")  # what is over was given back
