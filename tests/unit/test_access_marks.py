"""Every route says whom it is for, and one that does not is nobody's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from backend.api.access import Scope, access_of, caller, needs, open_to_all
from backend.api.app import create_app
from backend.settings import Settings

# Whoever adds to these says why here: the rest of the API is behind scopes.
OPEN = {"/health", "/ready", "/", "/openapi.json", "/docs", "/docs/assets/<path:name>", "/static/<path:filename>"}
OWN = ("/process", "/cleanup", "/api/v1/remote/", "/api/v1/session")


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    """Nobody asks its database."""
    given = {
        "database_url": "postgresql://nobody@127.0.0.1:1/none",
        "storage_url": (tmp_path / "objects").as_uri(),
        "data_dir": tmp_path / "data",
    }
    return create_app(Settings.model_validate(given))


def test_every_route_says_whom_it_is_for(app: Flask) -> None:
    unmarked, unexpected = [], []
    for rule in app.url_map.iter_rules():
        access = access_of(app.view_functions[rule.endpoint])
        if access is None:
            unmarked.append(rule.rule)
        elif (access.scope is None) != (rule.rule in OPEN or rule.rule.startswith(OWN)):
            unexpected.append(rule.rule)
    assert (unmarked, unexpected) == ([], [])


def test_every_operation_of_the_description_is_a_route_that_says_so(app: Flask) -> None:
    spec: dict[str, Any] = app.test_client().get("/openapi.json").get_json()
    served = {(_plain(rule.rule), method) for rule in app.url_map.iter_rules() for method in rule.methods or ()}
    described = {(path, verb.upper()) for path, verbs in spec["paths"].items() for verb in verbs}
    assert described and described <= served


def test_a_route_that_says_nothing_is_refused_even_to_this_machine(app: Flask) -> None:
    app.add_url_rule("/forgotten", "forgotten", lambda: "secret")
    app.add_url_rule("/said", "said", open_to_all(lambda: "hello"))
    client = app.test_client()
    refused = client.get("/forgotten")
    assert (refused.status_code, refused.mimetype) == (403, "application/problem+json")
    assert b"secret" not in refused.data
    assert client.get("/said").data == b"hello"
    # What asks for nothing and runs nothing of ours is answered as ever.
    assert client.get("/nowhere").status_code == 404
    assert client.options("/forgotten").status_code == 200


def test_this_machine_has_every_scope_of_the_default_tenant(app: Flask) -> None:
    def shown() -> dict[str, Any]:
        return {"tenant": caller().tenant, "scopes": sorted(caller().scopes), "key": caller().key_name}

    app.add_url_rule("/me", "me", needs(Scope.JOBS_READ)(shown))
    app.add_url_rule("/open", "open", open_to_all(lambda: shown()))
    client = app.test_client()
    assert client.get("/me").get_json() == {"tenant": "default", "scopes": sorted(Scope), "key": None}
    assert client.get("/open").get_json()["scopes"] == []


def _plain(rule: str) -> str:
    """/jobs/<uuid:job_id> as the description has it: /jobs/{job_id}."""
    return "/".join(
        "{" + part.strip("<>").rpartition(":")[2] + "}" if part.startswith("<") else part for part in rule.split("/")
    )
