"""Every route that the description names: what it says to who has no key, a key for something else, another's key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from backend.access.scopes import Scope
from tests.conftest import empty_database
from tests.integration.keyed import Api, api_on
from tests.unit.test_access_marks import OPEN, OWN

SOME_JOB = "00000000-0000-4000-8000-000000000000"
OTHER_JOB = "00000000-0000-4000-8000-000000000001"
JOBS = "/api/v1/jobs"
NOT_FOUND = {"job_id": "job_not_found", "upload_id": "upload_not_found"}
# Of the routes that look at their body before they look for what it is about.
BODIES: dict[str, dict[str, Any]] = {
    "parts": {"json": {"parts": [{"number": 1}]}},
    "1": {"data": b"bytes"},
    **{name: {"json": {"params": {}}} for name in ("versions", "again", "solve")},
}


@pytest.fixture(scope="module")
def api(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with empty_database(postgres) as url, api_on(url, tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture(scope="module")
def operations(api: Api) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path with values in it, and what the description says of it; HEAD for every GET."""
    spec = api.app.test_client().get("/openapi.json").get_json()
    found = []
    for path, verbs in spec["paths"].items():
        for verb, operation in verbs.items():
            found.append((verb.upper(), _filled(path), operation))
            if verb == "get":
                found.append(("HEAD", _filled(path), operation))
    return found


def _filled(path: str) -> str:
    values = {"job_id": SOME_JOB, "upload_id": SOME_JOB, "name": "a", "phase": "detect"}
    return re.sub(r"{(\w+)}", lambda match: values.get(match[1], "1"), path)


def _scope(operation: dict[str, Any]) -> Scope | None:
    """What the description says that the caller must have."""
    asked = {scope for way in operation.get("security", []) for scope in way.get("api_key", [])}
    return Scope(asked.pop()) if asked else None


def test_without_a_key_another_machine_gets_nothing(api: Api, operations: list[Any]) -> None:
    stranger = api.stranger()
    let_in = []
    for method, path, operation in operations:
        if path in OPEN or path.startswith(OWN):
            continue
        assert _scope(operation) is not None, f"{path} does not say which scope it takes"
        answer = stranger.ask(path, method)
        if (answer.status_code, answer.headers.get("WWW-Authenticate")) != (401, "Bearer"):
            let_in.append((method, path, answer.status))
        elif method != "HEAD":
            assert (answer.mimetype, answer.get_json()["code"]) == ("application/problem+json", "key_missing")
    assert let_in == []
    assert len(operations) > 40


def test_what_is_open_answers_and_what_checks_by_itself_refuses(api: Api, operations: list[Any]) -> None:
    stranger = api.stranger()
    for path in OPEN - {"/docs/assets/<path:name>", "/static/<path:filename>"}:
        assert stranger.ask(path).status_code == 200, path
    assert stranger.ask("/static/app.js").status_code == 200
    own = [(method, path) for method, path, _ in operations if path.startswith(OWN) and method != "HEAD"]
    statuses = {f"{method} {path}": stranger.ask(path, method).status_code for method, path in own}
    exceptions = {
        "POST /api/v1/session": 415,  # says what to send
        "DELETE /api/v1/session": 204,  # nobody is signed out
        "GET /api/v1/remote/links/1/1/1/1": 422,  # without its signature
    }
    assert {where: status for where, status in statuses.items() if status != 401} == exceptions


def test_a_key_for_everything_else_is_refused_by_name(api: Api, operations: list[Any]) -> None:
    holders = {lacking: api.holder(f"all-but-{lacking.name}", *set(Scope) - {lacking}) for lacking in Scope}
    wrong = []
    for method, path, operation in operations:
        scope = _scope(operation)
        if scope is None:
            continue
        answer = holders[scope].ask(path, method)
        challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
        if (answer.status_code, answer.headers.get("WWW-Authenticate")) != (403, challenge):
            wrong.append((method, path, answer.status))
        elif method != "HEAD":
            said = answer.get_json()
            assert said["code"] == "scope_missing" and scope in said["detail"]
    assert wrong == []


def test_a_key_with_the_scope_is_let_in(api: Api, operations: list[Any]) -> None:
    """So that the refusals are not everybody's."""
    holders = {scope: api.holder(f"only-{scope.name}", scope) for scope in Scope}
    refused = []
    for method, path, operation in operations:
        scope = _scope(operation)
        if scope is not None and holders[scope].ask(path, method).status_code in (401, 403):
            refused.append((method, path))
    assert refused == []


def test_to_put_a_job_before_others_takes_a_scope_of_its_own(api: Api) -> None:
    plain = api.holder("plain", Scope.JOBS_READ, Scope.JOBS_WRITE)
    urgent = api.holder("urgent", Scope.JOBS_WRITE, Scope.JOBS_PRIORITY)
    body = {"input": "https://films.example/a.mp4"}
    for priority in (1, -1):
        answer = plain.ask("/api/v1/jobs", "POST", json=body | {"priority": priority})
        assert (answer.status_code, answer.get_json()["code"]) == (403, "scope_missing")
        assert "jobs:priority" in answer.get_json()["detail"]
    form = {"file": (__file__, "a.mp4"), "priority": "7"}
    assert plain.code("/api/v1/jobs", "POST", data=form) == (403, "scope_missing")
    assert plain.ask("/api/v1/jobs").get_json()["jobs"] == []
    assert urgent.ask("/api/v1/jobs", "POST", json=body | {"priority": 5}).status_code == 202
    assert plain.ask("/api/v1/jobs", "POST", json=body | {"priority": 0}).status_code == 202


def test_what_is_another_tenants_is_not_there(api: Api, operations: list[Any]) -> None:
    """Every route with a job or an upload in it, in the same words as for one that never was."""
    owner, foreigner = (api.holder(name, tenant=name) for name in ("owner", "foreigner"))
    begun = {"name": "own.mp4", "size_bytes": 5}
    made = {
        "job_id": owner.ask(JOBS, "POST", json={"input": "https://films.example/own.mp4"}).get_json()["id"],
        "upload_id": owner.ask("/api/v1/uploads", "POST", json=begun).get_json()["id"],
    }
    tried, seen_by_owner = [], []
    for method, path, operation in operations:
        parameters = operation.get("parameters", [])
        named = [each["name"] for each in parameters if each["in"] == "path" and each["name"] in made]
        if not named:
            continue
        own, nobodys = path.replace(SOME_JOB, made[named[0]]), path.replace(SOME_JOB, OTHER_JOB)
        body = BODIES.get(path.rpartition("/")[2], {})
        met, never = foreigner.ask(own, method, **body), foreigner.ask(nobodys, method, **body)
        words = met.get_data(as_text=True).replace(made[named[0]], OTHER_JOB)
        assert (met.status_code, words) == (404, never.get_data(as_text=True)), f"{method} {own}"
        assert method == "HEAD" or met.get_json()["code"] == NOT_FOUND[named[0]], f"{method} {own}"
        tried.append((method, own, body, NOT_FOUND[named[0]]))
    assert foreigner.ask(JOBS).get_json()["jobs"] == []
    assert owner.ask(f"{JOBS}/{made['job_id']}").get_json()["status"] in ("queued", "failed")  # nobody cancelled it
    # So that the refusals are not everybody's; what ends the upload comes last.
    for method, own, body, not_found in sorted(tried, key=lambda each: each[0] == "DELETE"):
        seen_by_owner.append(owner.code(own, method, **body)[1])
        assert seen_by_owner[-1] != not_found, f"{method} {own}"
    assert len(tried) > 20
