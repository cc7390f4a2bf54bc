"""`framefleet keys` and `framefleet tenants`, and a service that does not open itself to others without a key."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from backend.access.keys import create_key, list_keys
from backend.api.keys import KeyRing
from backend.db.engine import Database
from backend.local.serve import Service, ServiceFailed
from backend.settings import Settings
from tests.integration.commands import framefleet_here

KEY = re.compile(r"ff_[a-z2-7]{8}_[a-z2-7]{52}")
Typed = Callable[..., CompletedProcess[str]]


@pytest.fixture
def typed(database_url: str, tmp_path: Path) -> Typed:
    def run(*arguments: str, exit_code: int = 0) -> CompletedProcess[str]:
        done = framefleet_here(*arguments, cwd=tmp_path, DATABASE_URL=database_url)
        assert done.returncode == exit_code, done.stdout + done.stderr
        return done

    return run


def told(done: CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_a_key_is_printed_alone_and_once(typed: Typed, database: Database) -> None:
    made = typed("keys", "create", "front-end", "--tenant", "acme", "--expires", "30d")
    key = made.stdout.strip()
    assert KEY.fullmatch(key)
    assert "acme" in made.stderr and "jobs:read, jobs:write" in made.stderr
    listed = typed("keys", "list")
    assert key not in listed.stdout and key[:12] in listed.stdout and "in force" in listed.stdout
    (row,) = list_keys(database)
    assert row.expires_at is not None
    assert (row.expires_at - row.created_at).total_seconds() == pytest.approx(30 * 86_400)


def test_a_key_that_was_made_elsewhere_is_put_into_force_by_its_hash(typed: Typed, database: Database) -> None:
    """Where a command's output is kept in a log."""
    made = told(typed("keys", "make", "--json"))
    assert KEY.fullmatch(made["key"]) and made["key"][3:11] == made["stored"][:8]
    assert list_keys(database) == []
    created = told(typed("keys", "create", "ecs", "--stored", made["stored"], "--json"))
    assert "key" not in created
    assert KeyRing(database).key_of(made["key"]).name == "ecs"
    assert made["key"] not in typed("keys", "create", "again", "--stored", made["stored"], exit_code=2).stderr
    assert "keys make" in typed("keys", "create", "x", "--stored", made["key"], exit_code=2).stderr


def test_scopes_are_asked_for_by_name(typed: Typed) -> None:
    made = told(typed("keys", "create", "ops", "--scope", "fleet:admin", "--scope", "metrics", "--json"))
    assert (made["name"], made["tenant"], made["scopes"]) == ("ops", "default", ["fleet:admin", "metrics"])
    assert KEY.fullmatch(made["key"])
    assert "jobs:read" in typed("keys", "create", "x", "--scope", "everything", exit_code=2).stderr
    assert "30d" in typed("keys", "create", "x", "--expires", "soon", exit_code=2).stderr


def test_a_revoked_key_is_shown_as_such_and_its_name_is_free(typed: Typed) -> None:
    typed("keys", "create", "old")
    assert "choose another name" in typed("keys", "create", "old", exit_code=2).stderr
    assert told(typed("keys", "revoke", "old", "--json")) == {"name": "old", "revoked": True}
    assert "no key old" in typed("keys", "revoke", "old", exit_code=2).stderr
    typed("keys", "create", "old")
    assert [each["state"] for each in told(typed("keys", "list", "--json"))["keys"]] == ["in force", "revoked"]


def test_what_a_tenant_may_use_is_set_piece_by_piece(typed: Typed) -> None:
    typed("keys", "create", "a", "--tenant", "acme")
    typed("tenants", "set", "acme", "--open-jobs", "5", "--cpu-seconds", "3600.5")
    changed = told(typed("tenants", "set", "acme", "--bytes", "1000000000000", "--open-jobs", "none", "--json"))
    limits = {"open_jobs_max": None, "bytes_max": 10**12, "frames_max": None, "cpu_seconds_max": 3600.5}
    assert changed == {"name": "acme", **limits}
    listed = told(typed("tenants", "list", "--json"))["tenants"]
    assert listed[0] == {"name": "acme", **limits, "allowed_prefixes": None, "keys": 1}
    assert [each["name"] for each in listed] == ["acme", "default"]
    assert "1000000000000" in typed("tenants", "list").stdout  # as it was typed
    for places in ("s3://films/acme/, gs://others", "none"):
        typed("tenants", "set", "acme", "--allowed-prefixes", places)
        kept = told(typed("tenants", "list", "--json"))["tenants"][0]
        assert (kept["allowed_prefixes"] or "none", kept["bytes_max"]) == (places, 10**12)
    assert "films is no place" in typed("tenants", "set", "acme", "--allowed-prefixes", "films", exit_code=2).stderr
    for wrong in (("--bytes", "-1"), ("--frames", "many"), ("--open-jobs", "1.5")):
        typed("tenants", "set", "acme", *wrong, exit_code=2)
    assert "small letters" in typed("tenants", "set", "Acme Inc", "--bytes", "1", exit_code=2).stderr


def test_a_service_that_others_reach_does_not_start_without_a_key(settings: Settings, database: Database) -> None:
    with socket.socket() as somebody:  # past that check the port is looked at, which is taken
        somebody.bind(("0.0.0.0", 0))
        somebody.listen()
        port = somebody.getsockname()[1]

        def complaint(settings: Settings) -> str:
            with pytest.raises(ServiceFailed) as failed, Service(settings, workers=0, host="0.0.0.0", port=port):
                pytest.fail("it started")
            return str(failed.value)

        assert "framefleet keys create NAME" in complaint(settings)
        assert "cannot be used" in complaint(settings.model_copy(update={"api_access": "open"}))
        create_key(database, "somebody")
        assert "cannot be used" in complaint(settings)
