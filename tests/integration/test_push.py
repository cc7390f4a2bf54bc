"""The serverless cropper's routes at the root: their shapes, who may call them, and what they do to jobs."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flask.testing import FlaskClient
from sqlalchemy import text

from backend.api.app import create_app
from backend.db.engine import Database
from backend.errors import MediaUndecodable, unexpected
from backend.jobs.service import JobService
from backend.queue.outcome import ends_of_job
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode, JobStatus
from backend.storage import open_store
from tests.conftest import Said
from tests.integration.conftest import read_film
from tests.integration.queue.helpers import planned_job
from tests.loopback import loopback
from tests.samples import make_sample

PROCESS_TOKEN, CLEANUP_TOKEN = "a long process token", "a long cleanup token"
AUDIENCE, ISSUER, ACCOUNT = "https://crop.example/process", "https://issuer.example", "tasks@project.example"
RSA_KEY, OTHER_RSA_KEY = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())

Make = Callable[..., FlaskClient]


@pytest.fixture
def client_with(settings: Settings) -> Iterator[Make]:
    apps = []

    def make(**changes: Any) -> FlaskClient:
        given = settings.model_dump(exclude_unset=True) | {"detector": "hog"} | changes
        app = create_app(Settings.model_validate(given))
        apps.append(app)
        return app.test_client()

    yield make
    for app in apps:
        app.extensions["framefleet"].planners.shutdown()
        app.extensions["framefleet"].database.close()


def execute(database: Database, statement: str, **params: Any) -> None:
    with database.transaction() as connection:
        connection.execute(text(statement), params)


def test_a_job_sent_to_submit_and_process_is_done_and_status_says_where(
    client_with: Make, settings: Settings, database: Database, tmp_path: Path
) -> None:
    clip = make_sample(tmp_path / "clip.mp4", seconds=1)
    client = client_with(process_token=PROCESS_TOKEN)
    with loopback(lambda request: (200, clip.read_bytes())) as address:
        answer = client.post("/submit", json={"uri": f"{address}/talk.mp4"})
        assert answer.status_code == 202
        assert answer.get_json() == {"job_id": answer.get_json()["job_id"], "status": "queued"}
        job_id = answer.get_json()["job_id"]
        queued = client.get(f"/status/{job_id}").get_json()
        assert set(queued) == {"job_id", "status", "created_at_ts", "updated_at_ts"}
        assert abs(queued["created_at_ts"] - time.time()) < 60
        done = client.post("/process", json={"job_id": job_id}, headers={"X-Process-Token": PROCESS_TOKEN})
    assert done.status_code == 200, done.get_json()
    shown = client.get(f"/status/{job_id}").get_json()
    assert set(shown) == {"job_id", "status", "created_at_ts", "updated_at_ts", "result"}
    assert (shown["status"], set(shown["result"])) == ("done", {"output_uri"})
    assert shown["result"]["output_uri"].endswith("/talk_cropped.mp4")
    job = JobService(database).get(uuid.UUID(job_id))
    open_store(settings).get_file(job.output_key or "", tmp_path / "film.mp4")
    assert len(read_film(tmp_path / "film.mp4").pts) == 25
    again = client.post("/process", json={"job_id": job_id}, headers={"X-Process-Token": PROCESS_TOKEN})
    assert (again.status_code, again.get_json()["status"]) == (200, "done")


def test_a_bad_submission_is_refused_by_name_and_makes_no_job(client_with: Make) -> None:
    client = client_with()
    bad = {"invalid_value": ({}, {"uri": 7}, []), "unsupported_input": ({"uri": "file:///etc/passwd"},)}
    for code, bodies in bad.items():
        for body in bodies:
            answer = client.post("/submit", json=body)
            assert (answer.status_code, answer.get_json()["code"]) == (422, code), body
    assert client.get("/api/v1/jobs").get_json()["jobs"] == []


def test_the_status_of_a_failed_job_has_its_error_in_words(client_with: Make, database: Database) -> None:
    job_id = planned_job(database)
    execute(database, "UPDATE video_analysis_jobs SET status = 'failed', error_message = 'No video in it.'")
    shown = client_with().get(f"/status/{job_id}").get_json()
    assert (shown["status"], shown["error"]) == ("failed", "No video in it.")
    assert "result" not in shown
    assert client_with().get(f"/status/{uuid.uuid4()}").status_code == 404


def test_health_and_gpu_answer_as_they_did(client_with: Make) -> None:
    client = client_with()
    assert client.get("/health").get_json() == {"ok": True}
    assert list(client.get("/gpu").get_json()) == [
        "cuda_available", "device_name", "memory_total_mb", "memory_used_mb", "memory_reserved_mb", "memory_free_mb",
        "hardware",
    ]  # fmt: skip


def test_a_job_that_is_active_is_answered_with_200_and_left_alone(
    client_with: Make, database: Database, settings: Settings, said: list[Said]
) -> None:
    job_id = planned_job(database, 1)
    claim = Queue(database, settings).claim_chunk(DeepMode.GPU)
    assert claim is not None
    answer = client_with(process_token=PROCESS_TOKEN).post(
        "/process", json={"job_id": str(job_id)}, headers={"X-Process-Token": PROCESS_TOKEN}
    )
    assert (answer.status_code, answer.get_json()["status"]) == (200, "processing")
    assert [chunk.attempts for chunk in JobService(database).chunks(job_id)] == [1]
    assert "job_already_active" in [each.event for each in said]


def test_a_crashed_job_is_worked_on_again_and_not_failed_after_45_minutes(
    client_with: Make, database: Database, settings: Settings
) -> None:
    """The predecessor's row stayed active for 45 minutes, then the job was failed for good."""
    job_id = planned_job(database, 1)
    claim = Queue(database, settings).claim_chunk(DeepMode.GPU)
    assert claim is not None
    execute(database, "UPDATE video_analysis_chunks SET lease_expires_at = now() - interval '1 hour'")
    client = client_with(cleanup_token=CLEANUP_TOKEN)
    cleaned = client.post("/cleanup", headers={"X-Cleanup-Token": CLEANUP_TOKEN}).get_json()
    assert cleaned == {"deleted_jobs": [], "expired_uploads": [], "recovered_claims": 1}
    (chunk,) = JobService(database).chunks(job_id)
    assert (chunk.status, chunk.failures) == ("queued", 1)
    assert client.get(f"/status/{job_id}").get_json()["status"] == "processing"


def test_cleanup_deletes_what_is_older_than_retention_days(client_with: Make, database: Database) -> None:
    old, young = planned_job(database), planned_job(database)
    for job_id, days in ((old, 15), (young, 13)):
        execute(
            database,
            "UPDATE video_analysis_jobs SET status = 'failed', completed_at = now() - :days * interval '1 day'"
            " WHERE id = :id",
            id=job_id,
            days=days,
        )
    client = client_with(cleanup_token=CLEANUP_TOKEN)
    answer = client.post("/cleanup", headers={"X-Cleanup-Token": CLEANUP_TOKEN}).get_json()
    assert answer["deleted_jobs"] == [str(old)]
    assert [job["id"] for job in client.get("/api/v1/jobs").get_json()["jobs"]] == [str(young)]


def test_a_wrong_token_is_refused_and_said_nowhere(client_with: Make, said: list[Said]) -> None:
    client = client_with(process_token=PROCESS_TOKEN, cleanup_token=CLEANUP_TOKEN)
    for path, header in {"/process": "X-Process-Token", "/cleanup": "X-Cleanup-Token"}.items():
        for token in (None, "", "a guess of somebody", PROCESS_TOKEN + "x", "\xe9" * 9):
            headers = {} if token is None else {header: token}
            answer = client.post(path, json={"job_id": str(uuid.uuid4())}, headers=headers)
            assert (answer.status_code, answer.get_json()["code"]) == (401, "caller_refused")
            shown = answer.get_data(as_text=True) + json.dumps([each.fields for each in said], default=str)
            assert "a guess" not in shown and PROCESS_TOKEN not in shown and CLEANUP_TOKEN not in shown


ELSEWHERE = [
    {"SERVER_NAME": "0.0.0.0"},
    {"SERVER_PROTOCOL": "HTTP/1.0"},
    {"SERVER_NAME": "/run/gunicorn.sock"},
    {"REMOTE_ADDR": "192.0.2.7"},
    {"HTTP_X_FORWARDED_FOR": "192.0.2.7"},
    {"HTTP_HOST": "rebound.example:8000"},
]


def test_without_a_token_only_this_machine_may_call(client_with: Make) -> None:
    client = client_with(allowed_hosts="*")
    assert client.post("/cleanup").status_code == 200
    for elsewhere in ELSEWHERE:
        for path in ("/process", "/cleanup"):
            answer = client.post(path, json={"job_id": str(uuid.uuid4())}, environ_overrides=elsewhere)
            assert (answer.status_code, answer.get_json()["code"]) == (401, "caller_refused"), elsewhere


# OIDC


def jwks() -> dict[str, Any]:
    public = {
        "rsa": jwt.algorithms.RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True),
        "ec": jwt.algorithms.ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True),
    }
    return {"keys": [{**key, "kid": name, "use": "sig"} for name, key in public.items()]}


def token(key: Any = RSA_KEY, algorithm: str = "RS256", kid: str = "rsa", **changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "email": ACCOUNT, "email_verified": True, "iat": now, "exp": now + 300}
    wanted = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return jwt.encode(wanted, key, algorithm=algorithm, headers={"kid": kid})


@pytest.fixture
def oidc(client_with: Make, database: Database) -> Iterator[Callable[[str], Any]]:
    """Calls /process with a bearer token, on a job that is over: a call that is let in answers 200 at once."""
    job_id = planned_job(database)
    execute(database, "UPDATE video_analysis_jobs SET status = 'failed', error_message = 'x'")
    fetched: list[str] = []

    def answer(request: Any) -> tuple[int, bytes]:
        fetched.append(request.path)
        return 200, json.dumps(jwks()).encode()

    with loopback(answer) as address:
        client = client_with(
            oidc_audience=AUDIENCE, oidc_issuer=ISSUER, oidc_service_account=ACCOUNT, oidc_jwks_url=f"{address}/keys"
        )

        def call(bearer: str) -> Any:
            return client.post("/process", json={"job_id": str(job_id)}, headers={"Authorization": f"Bearer {bearer}"})

        yield call
    assert len(fetched) <= 1  # kept, whatever names of keys somebody makes up


def test_a_token_of_the_service_account_is_let_in(oidc: Callable[[str], Any]) -> None:
    assert oidc(token()).status_code == 200
    assert oidc(token(EC_KEY, "ES256", "ec")).status_code == 200


WRONG: list[dict[str, Any]] = [
    {"aud": "https://other.example"},
    {"aud": None},
    {"iss": "https://evil.example"},
    {"iss": None},
    {"exp": 1_000_000_000},
    {"exp": None},
    {"email": "somebody@project.example"},
    {"email": None},
    {"email_verified": False},
    {"key": OTHER_RSA_KEY},
    {"kid": "unknown"},
    {"key": EC_KEY, "algorithm": "ES256"},  # under the name of the RSA key
    {"algorithm": "RS512"},
    {"key": "a secret that is long enough to sign with", "algorithm": "HS256"},
    {"key": None, "algorithm": "none"},
]


def test_every_other_token_is_refused_without_saying_what_is_in_it(oidc: Callable[[str], Any]) -> None:
    for changes in WRONG:
        given = token(**changes)
        answer = oidc(given)
        assert (answer.status_code, answer.get_json()["code"]) == (401, "caller_refused"), changes
        shown = answer.get_data(as_text=True)
        assert given not in shown and ACCOUNT not in shown
    assert oidc(token()).status_code == 200


def test_keys_that_cannot_be_had_are_no_way_in(client_with: Make) -> None:
    with loopback(lambda request: (200, b"x" * 300_000)) as address:
        client = client_with(oidc_audience=AUDIENCE, oidc_issuer=ISSUER, oidc_jwks_url=f"{address}/keys")
        answer = client.post("/process", json={}, headers={"Authorization": f"Bearer {token()}"})
    assert (answer.status_code, answer.get_json()["code"]) == (503, "keys_unavailable")


def test_both_are_asked_for_where_both_are_configured(client_with: Make, database: Database) -> None:
    job_id = planned_job(database)
    execute(database, "UPDATE video_analysis_jobs SET status = 'failed', error_message = 'x'")
    with loopback(lambda request: (200, json.dumps(jwks()).encode())) as address:
        client = client_with(
            process_token=PROCESS_TOKEN, oidc_audience=AUDIENCE, oidc_issuer=ISSUER, oidc_jwks_url=f"{address}/keys"
        )
        ours, theirs = {"X-Process-Token": PROCESS_TOKEN}, {"Authorization": f"Bearer {token()}"}
        codes = [
            client.post("/process", json={"job_id": str(job_id)}, headers=headers).status_code
            for headers in (ours, theirs, ours | theirs)
        ]
    assert codes == [401, 401, 200]


@pytest.mark.parametrize(
    ("failure", "event"),
    [
        (MediaUndecodable("Broken."), "job_failed_processing_error"),
        (unexpected(), "job_failed_unexpected"),
    ],
)
def test_a_job_that_fails_for_good_is_logged_under_the_predecessors_names(
    database: Database, settings: Settings, said: list[Said], failure: Any, event: str
) -> None:
    job_id = planned_job(database, 1)
    execute(database, "UPDATE video_analysis_jobs SET status = 'aggregating'")
    queue = Queue(database, settings.model_copy(update={"max_attempts": 1}))
    claim = queue.claim_job(JobStatus.AGGREGATING, job_id)
    assert claim is not None
    ends_of_job(queue, claim).give_up(failure)
    (told,) = [each for each in said if each.event.startswith("job_failed_")]
    assert (told.event, told.fields["job_id"], told.fields["error_code"]) == (event, str(job_id), failure.code)
