"""Jobs through the client, against an API that listens: created once, listed, waited for, moved; and typed errors."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from uuid import uuid4

import pytest
from sqlalchemy import text

from backend.access.keys import create_key
from backend.access.scopes import Scope
from backend.client import (
    Client,
    ClientError,
    Conflict,
    Forbidden,
    Job,
    NotFound,
    Refused,
    ServerTrouble,
    Unauthorized,
    Unreachable,
    WaitTimedOut,
)
from tests.integration.client.conftest import Served, listening
from tests.integration.commands import PROJECT
from tests.integration.remote.cut import Network
from tests.loopback import Request, loopback

INPUT = "http://127.0.0.1:9/a.mp4"


def count_jobs(served: Served) -> int:
    with served.database.transaction() as connection:
        return int(connection.execute(text("SELECT count(*) FROM video_analysis_jobs")).scalar_one())


def test_a_job_is_made_once_though_its_answer_is_lost(served: Served, far_client: Client, wire: Network) -> None:
    before = count_jobs(served)
    wire.lose_answers = 1
    job = far_client.create_job("crop", input=INPUT, params={"aspect": "9:16"}, priority=3)
    assert (wire.lose_answers, count_jobs(served)) == (0, before + 1)
    assert (job.kind, job.params["aspect"], job.input_name) == ("crop", "9:16", "a.mp4")
    assert far_client.job(job.id).id == job.id
    key = str(uuid4())
    assert (
        far_client.create_job(input=INPUT, idempotency_key=key).id
        == far_client.create_job(input=INPUT, idempotency_key=key).id
    )


def test_pages_are_followed(served: Served, client: Client) -> None:
    with served.database.transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO video_analysis_jobs (id, kind, status, input_uri, input_name, created_at) SELECT "
                "gen_random_uuid(), 'crop', 'cancelled', 'https://h/a', 'a', now() - n * interval '1 minute' "
                "FROM generate_series(1, 230) n"
            )
        )
    jobs = list(client.jobs(status="cancelled"))
    assert len({job.id for job in jobs}) == len(jobs) == 230
    assert all(newer.created_at > older.created_at for newer, older in pairwise(jobs))
    assert [job.id for job in client.jobs(status="cancelled", limit=101)] == [job.id for job in jobs[:101]]


def test_waiting_ends_with_the_job_and_tells_what_changed(served: Served, client: Client) -> None:
    job_id = served.job(status="processing", stage="PROCESSING")
    seen: list[str] = []

    def note(job: Job) -> None:
        seen.append(job.status)
        if job.status == "processing":
            served.change(job_id, status="failed", error_code="source_not_found", error_message="It is gone.")

    with pytest.raises(WaitTimedOut):
        client.wait(job_id, timeout_sec=0)
    job = client.wait(job_id, on_progress=note)
    assert seen == ["processing", "failed"]
    assert job.error is not None and (job.error.code, job.error.message) == ("source_not_found", "It is gone.")


def test_a_job_is_moved(served: Served, client: Client) -> None:
    job_id = served.job()
    assert client.pause(job_id).paused
    assert not client.resume(job_id).paused
    served.change(job_id, status="failed", error_code="storage_error", error_message="Away.")
    assert client.retry(job_id).status == "queued"
    assert client.cancel(job_id).status == "cancelled"
    assert client.cancel(job_id).is_over
    assert client.chunks(job_id) == [] and client.deliveries(job_id) == []


def test_errors_have_types_and_codes(served: Served, client: Client) -> None:
    with pytest.raises(NotFound) as missing:
        client.job(str(uuid4()))
    assert (missing.value.code, missing.value.status, missing.value.retryable) == ("job_not_found", 404, False)
    with pytest.raises(Refused):
        client.job("../../metrics")
    with pytest.raises(Conflict) as over:
        client.pause(served.job(status="cancelled"))
    assert over.value.code == "invalid_state"
    with pytest.raises(Refused) as refused:
        client.create_job("crop", input=INPUT, params={"aspect": "square"})
    assert refused.value.code == "invalid_params" and "aspect" in refused.value.message
    with pytest.raises(NotFound) as early:
        client.tracks(served.job())
    assert early.value.code == "object_not_found"


def test_a_server_that_asks_for_patience_gets_it_within_bounds() -> None:
    answers = [(503, b"", {"Retry-After": "0"}), (429, b"", {"Retry-After": "0"}), (200, b'{"chunks": []}', {})]
    with loopback(lambda _: answers.pop(0)) as address, Client(address, patience_sec=20) as client:
        assert client.chunks("a") == []
    with (
        loopback(lambda _: (503, b"", {"Retry-After": "3600"})) as address,
        Client(address, patience_sec=2) as client,
        pytest.raises(ServerTrouble) as trouble,
    ):
        client.job("a")
    assert trouble.value.code == "status_503"


def test_who_does_not_answer_or_is_no_api_is_named_without_the_key() -> None:
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9 cannot be reached") as nobody:
        Client("http://127.0.0.1:9", "s3cr3t", patience_sec=0).job("a")
    assert "s3cr3t" not in str(nobody.value) and nobody.value.retryable
    with loopback(lambda _: (200, b"<html>")) as address, pytest.raises(Unreachable, match="no JSON"):
        Client(address).job("a")


def test_the_key_is_sent_and_never_over_plain_http_to_another_machine() -> None:
    got: list[Request] = []

    def answer(request: Request) -> tuple[int, bytes]:
        got.append(request)
        return 200, b'{"chunks": []}'

    with loopback(answer) as address:
        Client(address, "s3cr3t").chunks("a")
    assert got[0].headers["authorization"] == "Bearer s3cr3t"
    with pytest.raises(ClientError, match="anybody on the way") as refused:
        Client("http://films.example.com", "s3cr3t")
    assert refused.value.code == "bad_address"
    Client("http://films.example.com", "s3cr3t", allow_http=True)
    for bad in ("films.example.com", "ftp://h", "https://user:word@h", "https://h/?a=1"):
        with pytest.raises(ClientError, match="Give the address"):
            Client(bad)


def test_what_a_key_may_not_do_is_said(served: Served) -> None:
    reader = create_key(served.database, "reader", scopes=[Scope.JOBS_READ])
    with listening(served.settings.model_copy(update={"api_access": "keys"})) as address:
        with pytest.raises(Unauthorized), Client(address) as nobody:
            list(nobody.jobs())
        with Client(address, reader) as client:
            assert client.job(served.job()).status == "queued"
            with pytest.raises(Forbidden) as forbidden:
                client.create_job(input=INPUT)
    assert forbidden.value.code == "scope_missing"


def test_it_brings_no_server_with_it() -> None:
    script = "import sys, backend.client; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {"flask", "sqlalchemy", "psycopg", "pydantic", "av", "numpy", "boto3"} == set()
