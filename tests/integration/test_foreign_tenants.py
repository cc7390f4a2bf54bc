"""Whatever a key's tenant asks for of another tenant's is not there, in the very words of what never was."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from backend.access.tenants import set_allowed_prefixes
from backend.jobs.film_place import settled
from backend.jobs.layout import result_key
from backend.jobs.outputs import output_places
from backend.jobs.service import JobService, NewJob
from backend.kinds import kind_named
from backend.queue.queue import Queue
from backend.states import JobStatus
from backend.storage import open_store
from tests.conftest import empty_database
from tests.integration.keyed import JOBS, Api, Caller, api_on
from tests.integration.queue.helpers import sql

ACME, OTHER = "acme", "other"
NEVER_WAS = "00000000-0000-4000-8000-000000000000"
UPLOADS = "/api/v1/uploads"
ROWS = "video_analysis_jobs"
FILES = {
    "output/film.mp4": b"film", "tracks.json": b"{}", "camera_path.json": b"{}", "contact_sheet.png": b"png",
    "manifest.json": b"{}", "tracks.parquet": b"p", "tracks.mot.txt": b"m", "tracks.csv": b"c",
}  # fmt: skip
# Of what a real job leaves; these files stand for it by their names alone, and nothing was planned or analysed.
MADE_FROM_FILES = ("/plot", "/segments", "/timeline", "/report", "/poster", "/preview", "/people", "/source")


@pytest.fixture(scope="module")
def api(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    changes = {"allowed_prefixes": "s3://open/", "rate_limit": "off", "rate_limit_create": "off"}
    with empty_database(postgres) as url, api_on(url, tmp_path_factory.mktemp("api"), **changes) as api:
        api.app.extensions["framefleet"].planners.shutdown()  # nothing is planned behind the requests' backs
        api.app.extensions["framefleet"].plan_soon = lambda job_id: None
        yield api


@pytest.fixture(scope="module")
def acme(api: Api) -> Caller:
    return api.holder("of-acme", tenant=ACME)


@pytest.fixture(scope="module")
def other(api: Api) -> Caller:
    return api.holder("of-another", tenant=OTHER)


@pytest.fixture(scope="module")
def theirs(api: Api, acme: Caller) -> dict[str, str]:
    """Ids of a job of acme's that is done, with every file, and of an upload that it began."""
    job = acme.ask(JOBS, "POST", json={"input": "https://films.example/a.mp4"}).get_json()
    upload = acme.ask(UPLOADS, "POST", json={"name": "b.mp4", "size_bytes": 4}).get_json()
    store = open_store(api.app.extensions["framefleet"].settings)
    for name, data in FILES.items():
        store.put(result_key(job["id"], name), data)
    key = result_key(job["id"], "output/film.mp4")
    done = f"UPDATE {ROWS} SET status = 'done', stage = 'DONE', output_uri = 'x', output_key = :key WHERE id = :id"
    sql(api.database, done, key=key, id=job["id"])
    return {"job_id": job["id"], "upload_id": upload["id"]}


def routes_of_one(api: Api) -> list[tuple[str, str]]:
    """Method and path of every route to one job or one upload, with {job_id} or {upload_id} in it."""
    found = []
    for rule in api.app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        if ("{job_id}" in path or "{upload_id}" in path) and "/remote/" not in path:
            found += [(method, path) for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"})]
    return found


def said_of(caller: Caller, method: str, path: str, ids: dict[str, str]) -> tuple[int, str]:
    """Status and body, without the id itself."""
    values = {"name": "camera_path.json", "number": "1", "phase": "detect", "index": "0", **ids}
    body: dict[str, Any] = {"data": b"four"} if method == "PUT" else {}
    if path.endswith(("/versions", "/again", "/solve")) and method == "POST":
        body = {"json": {}}
    if path.endswith("/parts"):
        body = {"json": {"parts": [{"number": 1}]}}
    answer = caller.ask(path.format(**values), method, **body)
    said = answer.get_json(silent=True) or {}
    text = json.dumps({name: value for name, value in said.items() if name not in ("instance", "request_id")})
    for each in ids.values():
        text = text.replace(each, "ID")
    return answer.status_code, text


def test_every_route_to_another_tenants_says_what_it_says_of_nothing(
    api: Api, acme: Caller, other: Caller, theirs: dict[str, str]
) -> None:
    everything = f"SELECT to_jsonb(j) - 'updated_at' AS row FROM {ROWS} j UNION ALL SELECT to_jsonb(u) FROM uploads u"
    before = sql(api.database, everything)
    nothing = {"job_id": NEVER_WAS, "upload_id": NEVER_WAS}
    routes = routes_of_one(api)
    assert len(routes) > 20
    for method, path in routes:
        foreign = said_of(other, method, path, theirs)
        assert foreign == said_of(other, method, path, nothing), (method, path)
        assert foreign[0] == 404 and "not_found" in foreign[1], (method, path, foreign)
    assert sql(api.database, everything) == before
    # And it is not that these routes answer nobody.
    mine = {path: said_of(acme, "GET", path, theirs)[0] for method, path in routes if method == "GET"}
    assert {status for path, status in mine.items() if not path.endswith(MADE_FROM_FILES)} == {200}


def test_lists_have_the_tenants_own_jobs(acme: Caller, other: Caller, theirs: dict[str, str]) -> None:
    assert [job["id"] for job in acme.ask(JOBS).get_json()["jobs"]] == [theirs["job_id"]]
    for query in ("", "?status=done", "?q=a", "?kind=crop", f"?tenant={ACME}", "?limit=200"):
        assert (other.ask(JOBS + query).get_json() or {}).get("jobs", []) == [], query
    assert other.code(f"{JOBS}?before={theirs['job_id']}") == (404, "job_not_found")


def test_nothing_but_the_key_says_whose_a_job_is(api: Api, other: Caller) -> None:
    wanted = {"input": "https://films.example/a.mp4"}
    assert other.ask(JOBS, "POST", json={**wanted, "tenant": ACME}).status_code in (400, 422)
    headers = {"X-Tenant": ACME, "X-Framefleet-Tenant": ACME, "Tenant": ACME, "X-Forwarded-User": ACME}
    made = other.ask(f"{JOBS}?tenant={ACME}", "POST", json=wanted, headers=headers)
    if made.status_code == 202:
        found = sql(api.database, f"SELECT tenant FROM {ROWS} WHERE id = :id", id=made.get_json()["id"])
        assert found == [{"tenant": OTHER}]
    submitted = other.ask("/submit", "POST", json={"uri": wanted["input"]}, headers=headers)
    found = sql(api.database, f"SELECT tenant FROM {ROWS} WHERE id = :id", id=submitted.get_json()["job_id"])
    assert found == [{"tenant": OTHER}]


def test_one_idempotency_key_of_two_tenants_is_two_jobs(acme: Caller, other: Caller) -> None:
    key = {"headers": {"Idempotency-Key": "the same"}, "json": {"input": "https://films.example/k.mp4"}}
    first, second = (caller.ask(JOBS, "POST", **key).get_json()["id"] for caller in (acme, other))
    assert first != second
    assert acme.ask(JOBS, "POST", **key).get_json()["id"] == first


def test_another_tenants_upload_is_no_input(other: Caller, theirs: dict[str, str]) -> None:
    assert other.code(JOBS, "POST", json={"upload": theirs["upload_id"]}) == (404, "upload_not_found")


def test_a_tenant_names_its_own_places_and_no_others(api: Api, acme: Caller, other: Caller) -> None:
    set_allowed_prefixes(api.database, ACME, "s3://films/acme/")
    try:
        for uri, mine, others in (("s3://films/acme/a.mp4", 202, 422), ("s3://open/a.mp4", 422, 202)):
            statuses = [caller.ask(JOBS, "POST", json={"input": uri}).status_code for caller in (acme, other)]
            assert [status == 202 for status in statuses] == [mine == 202, others == 202], uri
    finally:
        set_allowed_prefixes(api.database, ACME, None)


def test_pipelines_of_one_name_are_each_tenants_own(api: Api, acme: Caller, other: Caller) -> None:
    for tenant in (ACME, OTHER):
        set_allowed_prefixes(api.database, tenant, f"s3://videos/tenants/{tenant}/")
    body = {
        "job_id": "weekly",
        "master_audio_http_url": "https://films.example/a.wav",
        "segments": [{"start_sec": 0, "duration_sec": 1}],
    }
    try:
        places = [caller.ask("/api/pipeline/segment", "POST", json=body).get_json() for caller in (acme, other)]
    finally:
        for tenant in (ACME, OTHER):
            set_allowed_prefixes(api.database, tenant, None)
    uris = [[each["uri"] for each in place["segments"]] for place in places]
    assert [uri.startswith(f"s3://videos/tenants/{t}/") for (uri,), t in zip(uris, (ACME, OTHER), strict=True)]
    assert uris[0] != uris[1]


def test_films_of_two_tenants_beside_one_input_have_a_name_each(api: Api, s3_server: str) -> None:
    """Made by operators even, whose films of one input replace each other within a tenant."""
    settings = api.app.extensions["framefleet"].settings.model_copy(update={"s3_endpoint_url": s3_server})
    queue, store = Queue(api.database, settings), open_store(settings)
    places = {}
    for tenant in (ACME, OTHER, ACME):
        job = JobService(api.database).create(
            NewJob("crop", "s3://films/in/a.mp4", "a.mp4", output_name=None, tenant=tenant)
        )
        sql(api.database, f"UPDATE {ROWS} SET status = 'aggregating', available_at = now() WHERE id = :id", id=job.id)
        claim = queue.claim_job(JobStatus.AGGREGATING, job.id)
        assert claim is not None
        candidates = output_places(claim, kind_named("crop").output, store, settings)
        places.setdefault(tenant, []).append(settled(api.database, claim, candidates).uri)
    assert places[ACME][0] == places[ACME][1] == "s3://films/in/a_cropped.mp4"
    assert places[OTHER][0] not in places[ACME]


def test_a_link_to_a_film_is_good_for_five_minutes(
    postgres: str, s3_server: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("signed")
    given = {
        "storage_url": "s3://films/store", "s3_endpoint_url": s3_server, "s3_region": "us-east-1",
        "s3_access_key_id": "testing", "s3_secret_access_key": "testing", "s3_addressing_style": "path",
    }  # fmt: skip
    with empty_database(postgres) as url, api_on(url, folder, **given) as api:
        job = JobService(api.database).create(NewJob("crop", "https://films.example/a.mp4", "a.mp4"))
        done = f"UPDATE {ROWS} SET status = 'done', stage = 'DONE', output_uri = 'x', output_key = 'jobs/x/f'"
        sql(api.database, done)
        links = [api.holder(f"reader-{n}").ask(f"{JOBS}/{job.id}/output").headers["Location"] for n in range(2)]
    for link in links:
        assert 0 < int(re.findall(r"[?&](?:X-Amz-Expires|Expires)=(\d+)", link)[0]) <= 300


def test_a_push_queue_works_on_any_tenants_job(api: Api, theirs: dict[str, str]) -> None:
    """It has a token of its own, and only ids."""
    answer = api.app.test_client().post("/process", json={"job_id": theirs["job_id"]})
    assert (answer.status_code, answer.get_json()["status"]) == (200, "done")
    assert UUID(answer.get_json()["job_id"]) == UUID(theirs["job_id"])
