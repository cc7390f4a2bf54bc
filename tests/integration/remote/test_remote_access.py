"""Who may do what with a token: nothing without one, only what it claimed itself, nothing after it was revoked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask
from pydantic import SecretStr

from backend.cli import cli
from backend.db.engine import Database
from backend.errors import AccessRevoked, ClaimLost, InvalidRequest, ObjectNotFound, ServerUnavailable
from backend.jobs.layout import artifact_key
from backend.queue import messages as m
from backend.queue.figures import list_workers
from backend.queue.queue import Queue
from backend.queue.registry import Presence
from backend.queue.remote_workers import add_remote_worker, revoke_remote_worker
from backend.settings import Settings, get_settings
from backend.states import DeepMode, JobStatus
from backend.storage import open_store
from backend.versions import SCHEMA_VERSION
from backend.workers.remote.files import RemoteFiles
from backend.workers.remote.queue import RemoteQueue
from backend.workers.remote.registry import RemoteRegistry
from backend.workers.remote.server import Server, claim_path
from backend.workers.remote.transport import HttpTransport, Reply
from tests.integration.queue.helpers import (
    BROKEN,
    STALE_ACTS,
    chunk_row,
    chunk_rows,
    claim_of,
    complete,
    everything,
    planned_job,
    sql,
    statuses,
)
from tests.integration.remote.over_http import AppTransport, RemoteHands, a_hold, serve

SECRET_WORDS = ("file:///film.mp4", "s3://", "input_uri", "artifact_s3_key", "postgresql")


@pytest.fixture
def transport(app: Flask, database: Database, settings: Settings) -> AppTransport:
    return serve(app, database, settings)


@pytest.fixture
def hands(transport: AppTransport, database: Database, settings: Settings) -> Callable[[str], Any]:
    return lambda name: RemoteHands(transport, database, settings, name)


@pytest.fixture
def cli_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def told(*arguments: str, exit_code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(cli, [*arguments, "--json"])
    assert result.exit_code == exit_code, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_without_the_right_token_nobody_learns_or_changes_anything(transport: AppTransport, database: Database) -> None:
    planned_job(database, 1)
    token = add_remote_worker(database, "desk")
    flipped = token[:-1] + ("A" if token[-1] != "A" else "B")
    secret = token.split("-", 2)[2]
    given = ["", "Bearer x", f"Basic {token}", f"Bearer {token}x", f"Bearer {flipped}", f"Bearer ff-999999-{secret}"]
    before = everything(database)
    body = m.Asked(worker="x", kinds=["crop"], schema_version=SCHEMA_VERSION).model_dump_json().encode()
    plain = {"Content-Type": "application/json"}
    for headers in [plain, *(plain | {"Authorization": each} for each in given)]:
        for path in ("/claim", "/hello", "/queued", "/chunks/1/1/release", "/chunks/1/1/upload", "/probe"):
            reply = transport.send("POST", m.REMOTE_PATH + path, headers, body)
            assert (reply.status, json.loads(reply.body)["code"]) == (401, "caller_refused"), headers
            assert token not in reply.body.decode()
    assert everything(database) == before


def test_a_token_is_kept_as_a_digest_only(database: Database) -> None:
    token = add_remote_worker(database, "desk")
    (row,) = sql(database, "SELECT * FROM remote_workers")
    assert token not in str(row) and token.split("-", 2)[2] not in str(row)
    assert len(row["token_sha256"]) == 64


def test_what_a_remote_worker_gets_of_a_claim_names_no_place_of_ours(
    transport: AppTransport, hands: Callable[[str], Any], database: Database
) -> None:
    planned_job(database, 1)
    said: list[str] = []
    transport.answered = lambda path, reply: said.append(reply.body.decode()) or reply  # type: ignore[func-returns-value]
    claim = claim_of(hands("desk"))
    assert claim.input_uri == ""
    assert not [word for word in SECRET_WORDS for text in said if word in text.replace('"input_uri":null', "")]


def test_a_token_may_act_on_nothing_that_others_claimed(
    hands: Callable[[str], Any], database: Database, settings: Settings
) -> None:
    planned_job(database, 2)
    desk, thief = hands("desk"), hands("thief")
    of_desk = claim_of(desk)
    of_fleet = claim_of(Queue(database, settings.model_copy(update={"worker_id": "remote-x"})))
    before = everything(database)
    for claim in (of_desk, of_fleet):
        for act in STALE_ACTS.values():
            with pytest.raises(ClaimLost):
                act(thief, claim)
        files = RemoteFiles(claim, a_hold(settings), thief.server, settings)
        for read in (files.source, files.artifact, lambda f=files: f.object("x"), lambda f=files: f.put(b"mine")):
            with pytest.raises(ClaimLost):
                read()
    assert everything(database) == before
    assert list(open_store(settings).list("jobs/")) == []
    desk.heartbeat_chunk(of_desk, 0.5)


def test_a_revoked_token_is_refused_at_once_and_its_chunks_are_back_in_the_queue(
    hands: Callable[[str], Any], database: Database, settings: Settings
) -> None:
    job_id = planned_job(database, 3)
    desk, other = hands("desk"), hands("other")
    first, second, of_other = claim_of(desk), claim_of(desk), claim_of(other)
    assert revoke_remote_worker(database, "desk") == 2
    for claim in (first, second):
        row = chunk_row(database, claim)
        assert (row["status"], row["failures"], row["attempts"], row["claimed_by"]) == ("queued", 0, 1, None)
    assert chunk_row(database, of_other)["status"] == "processing"
    before = everything(database)
    for act in STALE_ACTS.values():
        with pytest.raises(AccessRevoked):
            act(desk, first)
    for act in (lambda: desk.claim_chunk(DeepMode.GPU), desk.server.hello, lambda: desk.has_queued(DeepMode.GPU)):
        with pytest.raises(AccessRevoked):
            act()
    assert everything(database) == before
    again = claim_of(other)
    assert (again.chunk_id, again.attempts) == (first.chunk_id, 2)
    assert complete(other, again) == JobStatus.PROCESSING
    assert statuses(database, job_id) == ["completed", "queued", "processing"]


def test_a_claim_that_a_revocation_overtakes_is_given_back(
    transport: AppTransport, hands: Callable[[str], Any], database: Database
) -> None:
    """Whoever revoked the token found nothing to give back: the claim was on its way."""
    job_id = planned_job(database, 1)
    desk = hands("desk")
    sql(
        database,
        "CREATE FUNCTION revoke() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " UPDATE remote_workers SET revoked_at = now(); RETURN NEW; END $$",
    )
    sql(
        database,
        "CREATE TRIGGER revoke AFTER UPDATE ON video_analysis_chunks FOR EACH ROW"
        " WHEN (NEW.status = 'processing') EXECUTE FUNCTION revoke()",
    )
    with pytest.raises(AccessRevoked):
        desk.claim_chunk(DeepMode.GPU)
    (row,) = chunk_rows(database, job_id)
    assert (row["status"], row["attempts"], row["failures"]) == ("queued", 1, 0)


def test_a_chunk_without_its_artifact_is_not_completed(hands: Callable[[str], Any], database: Database) -> None:
    job_id = planned_job(database, 1)
    desk = hands("desk")
    claim = claim_of(desk)
    with pytest.raises(ObjectNotFound):
        desk.remote.complete_chunk(claim, "anything", "a" * 64, None)
    assert statuses(database, job_id) == ["processing"]


def test_the_artifact_is_written_once_and_where_the_server_says(
    hands: Callable[[str], Any], database: Database, settings: Settings
) -> None:
    job_id = planned_job(database, 1)
    desk = hands("desk")
    claim = claim_of(desk)
    desk.complete_chunk(claim, "jobs/another/place.json", "a" * 64, None)
    key = artifact_key(job_id, "chunks/chunk_{:04d}.json", 0)
    assert chunk_row(database, claim)["artifact_s3_key"] == key
    assert list(open_store(settings).list("jobs/")) == [key]


@pytest.mark.parametrize("lost", ["/claim", "/complete"])
def test_a_claim_whose_answer_was_lost_goes_back_with_the_next_question_and_counts_no_failure(
    transport: AppTransport, hands: Callable[[str], Any], database: Database, lost: str
) -> None:
    job_id = planned_job(database, 3)
    desk = hands("desk")
    in_hand = claim_of(desk)

    def cut(path: str, reply: Reply) -> Reply:
        if path.endswith(lost) and cuts:
            cuts.pop()
            raise ServerUnavailable("The network was cut.")
        return reply

    cuts = [True]
    transport.answered = cut
    if lost == "/claim":
        with pytest.raises(ServerUnavailable):
            desk.claim_chunk(DeepMode.GPU)
    else:
        with pytest.raises(ClaimLost):  # it was heard the first time
            desk.complete_and_claim(in_hand, "key", "a" * 64, None, deep_mode=DeepMode.GPU)
    assert statuses(database, job_id).count("processing") == (2 if lost == "/claim" else 1)
    following = claim_of(desk)
    assert (following.chunk_index, following.attempts) == (1, 2)
    rows = chunk_rows(database, job_id)
    assert [row["failures"] for row in rows] == [0, 0, 0]
    assert rows[0]["status"] == ("processing" if lost == "/claim" else "completed")
    assert rows[2]["status"] == "queued"


def test_an_older_worker_claims_only_what_it_knows(
    transport: AppTransport, hands: Callable[[str], Any], database: Database
) -> None:
    planned_job(database, 1)
    sql(database, "UPDATE video_analysis_jobs SET schema_version = :now", now=SCHEMA_VERSION)
    desk = hands("desk")
    body = {"worker": "old", "kinds": ["crop", "unheard_of"], "schema_version": SCHEMA_VERSION}

    def given(**changes: object) -> m.Claimed | None:
        return desk.server.ask("/claim", m.Asked.model_validate(body | changes), m.Given).claim

    assert given(schema_version=SCHEMA_VERSION - 1) is None
    assert given(kinds=["pose"]) is None
    assert given(schema_version=SCHEMA_VERSION + 7) is not None


def test_a_worker_that_knows_more_than_the_server_gets_what_the_server_knows(
    hands: Callable[[str], Any], database: Database
) -> None:
    planned_job(database, 1)
    sql(database, "UPDATE video_analysis_jobs SET schema_version = :next", next=SCHEMA_VERSION + 1)
    desk = hands("desk")
    newer = {"worker": "new", "kinds": ["crop"], "schema_version": SCHEMA_VERSION + 1}
    assert desk.server.ask("/claim", m.Asked.model_validate(newer), m.Given).claim is None


def test_operators_see_a_remote_worker_and_can_stop_it(hands: Callable[[str], Any], database: Database) -> None:
    desk = hands("desk")
    registry = RemoteRegistry(desk.server)

    def seen(begins: bool, trouble: str | None = None) -> bool:
        of_itself = {"machine": "liar", "device": "CPU, 2 threads"}
        present = Presence(
            "desk", "gpu_chunk_worker", ["crop"], SCHEMA_VERSION, ["h264_nvenc"], trouble, begins, **of_itself
        )
        return registry.seen(present).stop

    assert not seen(True, "The disk is full.")
    (row,) = list_workers(database)
    assert (row["worker_id"], row["state"], row["trouble"]) == ("remote-1/desk/desk", "unwell", "The disk is full.")
    assert row["hardware"] == ["h264_nvenc"]
    assert (row["machine"], row["device"]) == ("desk", "CPU, 2 threads")  # the name that its token was given
    sql(database, "UPDATE workers SET asked_to_stop_at = now()")
    assert seen(False)
    registry.gone("desk")
    assert list_workers(database) == []


def test_a_failure_unheard_of_is_tried_again(hands: Callable[[str], Any], database: Database) -> None:
    job_id = planned_job(database, 1)
    desk = hands("desk")
    claim = claim_of(desk)
    desk.server.tell(claim_path(claim, "fail"), m.Failure(code="of_tomorrow", message="Something\0new."))
    (row,) = chunk_rows(database, job_id)
    assert (row["status"], row["error_code"], row["failures"]) == ("queued", "internal_error", 1)
    desk.fail_chunk(claim_of(desk), BROKEN)
    assert statuses(database, job_id) == ["failed"]


STRANGE: list[tuple[str, dict[str, Any]]] = [
    ("/claim", {"worker": "a/../b", "kinds": [], "schema_version": 1}),
    ("/claim", {"worker": "a", "kinds": ["{x"], "schema_version": 1}),
    ("/claim", {"worker": "a", "kinds": [], "schema_version": 1, "held": [[1, 2**40]]}),
    ("/seen", {"worker": "a", "kinds": [], "schema_version": 1, "kind": "analysis_worker", "begins": True}),
    ("/chunks/1/1/beat", {"progress": "NaN"}),
    ("/chunks/1/1/beat", {"progress": 2}),
    ("/chunks/1/1/complete", {"sha256": "A" * 64}),
    ("/chunks/1/1/complete", {"sha256": "a" * 64, "detector": {"name": "\0"}}),
    ("/chunks/1/1/complete", {"sha256": "a" * 64, "detector": {"name": "x" * 20_000}}),
    ("/chunks/1/1/upload", {"size_bytes": 0}),
    ("/chunks/1/1/upload", {"size_bytes": True}),
    ("/chunks/1/1/upload", {"size_bytes": "9"}),
    ("/chunks/1/1/upload", {"size_bytes": 9, "if_absent": "yes"}),
    ("/chunks/1/1/beat", {"progress": True}),
    ("/chunks/99999999999999999999/1/release", {}),
]


def test_strange_requests_are_the_callers_error(hands: Callable[[str], Any], transport: AppTransport) -> None:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {hands('desk').token}"}
    for path, body in STRANGE:
        reply = transport.send("POST", m.REMOTE_PATH + path, headers, json.dumps(body).encode())
        assert (reply.status, json.loads(reply.body)["code"]) == (422, "invalid_value"), (path, body)


@pytest.mark.usefixtures("cli_database")
def test_an_operator_adds_lists_and_revokes(database: Database) -> None:
    token = told("remote", "add", "desk")["token"]
    assert "another name" in told("remote", "add", "desk", exit_code=2)["error"]["message"]
    (row,) = told("remote", "list")["remote_workers"]
    assert (row["name"], row["revoked_at"], row["chunks_in_work"]) == ("desk", None, 0)
    assert token not in CliRunner().invoke(cli, ["remote", "list"]).output
    assert told("remote", "revoke", "desk") == {"name": "desk", "revoked": True, "released_chunks": 0}
    assert told("remote", "revoke", "desk", exit_code=2)["error"]["code"] == "invalid_request"
    assert told("remote", "add", "desk")["token"] != token
    assert told("remote", "add", "../desk", exit_code=2)["error"]["code"] == "invalid_request"


@pytest.mark.parametrize(
    ("address", "allowed", "is_taken"),
    [
        ("https://fleet.example.com/base", False, True),
        ("http://127.0.0.1:8000", False, True),
        ("http://localhost:8000", False, True),
        ("http://fleet.example.com", False, False),
        ("http://192.168.1.5:8000", False, False),
        ("http://192.168.1.5:8000", True, True),
        ("http://127.0.0.1.example.com", False, False),
        ("https://user:word@fleet.example.com", False, False),
        ("ftp://fleet.example.com", True, False),
        ("fleet.example.com", True, False),
    ],
)
def test_a_token_goes_over_tls_only_unless_allowed(address: str, allowed: bool, is_taken: bool) -> None:
    if is_taken:
        assert HttpTransport(address, allow_http=allowed).base_url == address
        return
    with pytest.raises(InvalidRequest, match="--server"):
        HttpTransport(address, allow_http=allowed)


def test_a_token_is_not_shown(transport: AppTransport) -> None:
    server = Server(transport, SecretStr("ff-1-hunter2"), "x")
    assert "hunter2" not in repr(server) + str(vars(RemoteQueue(server)))
