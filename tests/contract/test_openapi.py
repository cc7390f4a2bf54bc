"""The API is what its OpenAPI document says: requests made from the document, answers compared with it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import hypothesis
import numpy as np
import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from sqlalchemy import text

from backend.access.keys import create_key
from backend.access.scopes import Scope
from backend.api.app import create_app
from backend.api.description import operations
from backend.api.errors import STATUS, known_problems
from backend.db.engine import Database
from backend.jobs.layout import result_key
from backend.jobs.service import JobService, NewJob
from backend.kinds import KINDS
from backend.media.sound_facts import SoundFacts
from backend.queue.remote_workers import add_remote_worker
from backend.settings import Settings
from backend.states import JobStatus
from backend.storage import open_store
from backend.storage.s3 import make_client
from backend.vision.timeline import Timeline
from backend.vision.track_files import tracks_json, tracks_parquet
from tests.conftest import empty_database
from tests.integration.queue.helpers import FACTS

API_PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
PROBLEM = "application/problem+json"
FEW, MANY = 2, 40  # requests to an operation, of the allowed kind and as many of the others
# Rules that no schema says: a place must be open to clients, two values must go together, a cursor must be ours, this
# installation's limits of size, what lies there already.
RULES_BEYOND_SCHEMAS = ["2xx", "3xx", "401", "403", "404", "409", "411", "412", "413", "416", "422", "429"]
NOBODY = ([], Timeline(np.arange(2), Fraction(1), (2, 2)))
# Kind and state of the jobs that there are.
JOBS = [
    *((kind, JobStatus.DONE) for kind in KINDS),
    *(("crop", status) for status in JobStatus if status != JobStatus.DONE),
]
NEEDED: dict[str, dict[str, Any]] = {
    "overlay": {"highlight_regions": [{"track_id": 1}]},
    "framing": {"keyframes": [{"time_sec": 0, "x": 0, "y": 0, "width": 10, "height": 10}]},
    "downsample": {"resolution": "360p"},
    "audio_trim": {"start_sec": 0, "duration_sec": 1},
}
PROBED = {"audio_trim": SoundFacts(container="wav", codec="pcm", sample_rate=8000, channels=1, duration_seconds=1.0)}
SET_STATE = """UPDATE video_analysis_jobs
    SET status = :status, output_uri = :uri, output_key = :key, probe = CAST(:probe AS jsonb),
        error_code = :code, error_message = :code
    WHERE id = :id"""
FILES = {"tracks.json": tracks_json(*NOBODY), "tracks.parquet": tracks_parquet(*NOBODY)}


class Served:
    """The application, its jobs, and who may call it."""

    def __init__(self, app: Flask, database: Database, settings: Settings) -> None:
        self.app = app
        self.database, self.store = database, open_store(settings)
        self.worker = {"Authorization": f"Bearer {add_remote_worker(database, 'desk')}"}
        self.callers = {
            "all scopes": {"Authorization": f"Bearer {create_key(database, 'all', scopes=tuple(Scope))}"},
            "no scope for it": {"Authorization": f"Bearer {create_key(database, 'few', scopes=[Scope.METRICS])}"},
            "nobody": {},
        }

    def new_jobs(self) -> list[str]:
        """Their ids: of each kind and state one. A request may end, delete or restart any of them."""
        return [str(self._new_job(kind, status)) for kind, status in JOBS]

    def _new_job(self, name: str, status: JobStatus) -> UUID:
        kind = KINDS[name]
        job = JobService(self.database).create(NewJob(name, "https://example.com/a.mp4", "a.mp4", NEEDED.get(name, {})))
        state: dict[str, Any] = {"id": job.id, "status": status, "uri": None, "key": None, "probe": None}
        state["code"] = "media_undecodable" if status == JobStatus.FAILED else None
        if name != "stage" and status not in (JobStatus.UPLOADING, JobStatus.QUEUED):
            state["probe"] = PROBED.get(name, FACTS).model_dump_json()
        if status == JobStatus.DONE:
            state |= {"uri": "x", "key": f"jobs/{job.id}/output/film.mp4"}
            self.store.put(state["key"], bytes(1000))
            for file in kind.files.values():
                if file.name == "camera_path.json":  # a plot of none would be our fault
                    continue
                data = FILES.get(file.name, b"{}")
                self.store.put(result_key(job.id, file.name), data, content_type=file.content_type)
        with self.database.transaction() as connection:
            connection.execute(text(SET_STATE), state)
        return job.id


class FromEverywhere:
    """Each request from another network: who guesses keys is shut out after a few, and here nobody is to be."""

    def __init__(self, application: Any) -> None:
        self._application, self._count = application, 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        self._count += 1
        environ["REMOTE_ADDR"] = f"11.{self._count // 65536}.{self._count // 256 % 256}.{self._count % 256}"
        return self._application(environ, start_response)


@pytest.fixture(scope="module")
def served(postgres: str, s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("openapi")
    with empty_database(postgres) as url:
        given = {
            "database_url": url,
            "storage_url": (folder / "objects").as_uri(),
            "data_dir": folder / "data",
            "api_access": "keys",
            "rate_limit": "1000000 per minute",
            "rate_limit_create": "1000000 per minute",
            "detector": "hog",
            "s3_endpoint_url": s3_endpoint,  # where pipelines lie
            "s3_region": "us-east-1",
            "s3_access_key_id": "testing-key",
            "s3_secret_access_key": "testing-secret",
            "videos_bucket": "openapi-videos",
            "allowed_prefixes": "s3://openapi-videos/",
        }
        settings = Settings.model_validate(given)
        make_client(settings).create_bucket(Bucket=settings.videos_bucket)
        app, database = create_app(settings), Database(url)
        app.extensions["framefleet"].plan_soon = lambda job_id: None  # nothing of these jobs is ever fetched
        app.extensions["framefleet"].own_worker.run = lambda job_id: None
        app.wsgi_app = FromEverywhere(app.wsgi_app)
        yield Served(app, database, settings)
        app.extensions["framefleet"].planners.shutdown()
        app.extensions["framefleet"].database.close()
        database.close()


@pytest.fixture(scope="module")
def spec(served: Served) -> dict[str, Any]:
    return dict(json.loads(served.app.test_client().get("/openapi.json").data))


def test_the_document_is_valid(spec: dict[str, Any]) -> None:
    assert spec["openapi"] == "3.1.0"
    assert [str(error) for error in OpenAPIV31SpecValidator(spec).iter_errors()] == []
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(spec))):
        place: Any = spec
        for step in reference.split("/"):
            place = place[step]
    ids = Counter(operation["operationId"] for _, _, operation in operations(spec))
    assert max(ids.values()) == 1


def test_every_route_that_is_no_page_is_in_it(served: Served, spec: dict[str, Any]) -> None:
    described = {(path, method) for path, method, _ in operations(spec)}
    routes = {
        (re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule), method.lower())
        for rule in served.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.endpoint.startswith("pages.")
    }
    assert described == routes


def test_every_operation_says_what_it_answers_and_what_can_go_wrong(spec: dict[str, Any]) -> None:
    for path, method, operation in operations(spec):
        answers = operation["responses"]
        assert any(status < "400" for status in answers), (path, method)
        assert operation["summary"]
        assert {"400", "500"} <= set(answers)
        if operation.get("security"):
            assert {"401", "403", "429"} <= set(answers), (path, method)
        if "206" in answers:
            assert {"304", "404", "412", "416"} <= set(answers), (path, method)
        if method in ("post", "put") and "requestBody" in operation:
            assert {"413", "415", "422"} <= set(answers), (path, method)


def test_every_problem_has_one_status_and_a_title_of_its_own(spec: dict[str, Any]) -> None:
    known = known_problems()
    assert {kind.code for kind in STATUS} <= {each.code for each in known}
    assert max(Counter(each.code for each in known).values()) == 1
    assert max(Counter(each.title for each in known).values()) == 1, "a class without a docstring has its parent's"
    for each in known:
        assert 10 < len(each.title) < 150 and not each.title.startswith("Base of"), each
        answer = spec["components"]["responses"][f"Problem{each.status}"]
        codes = answer["content"][PROBLEM]["schema"]["allOf"][1]["properties"]["code"]["enum"]
        assert each.code in codes and f"`{each.code}`" in answer["description"]


def test_every_problem_is_in_the_table_of_the_api_s_page() -> None:
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", API_PAGE.read_text(), re.MULTILINE)
    assert sorted((int(status), code) for status, code in rows) == [
        (each.status, each.code) for each in known_problems()
    ]


def contract_of(served: Served) -> Any:
    schemathesis = pytest.importorskip("schemathesis", reason="pip install framefleet[dev] brings schemathesis")
    schema = schemathesis.openapi.from_wsgi("/openapi.json", served.app)
    schema.config.generation.update(with_security_parameters=False)
    checks = schema.config.checks
    checks.positive_data_acceptance.expected_statuses = RULES_BEYOND_SCHEMAS
    checks.negative_data_rejection.expected_statuses += ["411", "413"]  # too long is told before it is read
    return schema


def try_all(served: Served, caller: str, examples: int) -> Counter[int]:
    """Requests to every operation, each answer compared with the document. Returns how often each status came."""
    from schemathesis import GenerationMode

    statuses: Counter[int] = Counter()
    for found in contract_of(served).get_all_operations():
        operation = found.ok()
        headers = served.worker if "/remote/" in operation.label else served.callers[caller]
        job_ids = served.new_jobs() if "{job_id}" in operation.path else []
        tried(operation, GenerationMode.POSITIVE, headers, examples, statuses, job_ids)
        if operation.body or operation.query or operation.path_parameters:  # else nothing of it can be wrong
            tried(operation, GenerationMode.NEGATIVE, headers, examples, statuses, [])
    return statuses


def tried(
    operation: Any, mode: Any, headers: dict[str, str], examples: int, statuses: Counter[int], job_ids: list[str]
) -> None:
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode), job_id=st.sampled_from([None, *job_ids]))
    def run(case: Any, job_id: str | None) -> None:
        if job_id:
            case.path_parameters["job_id"] = job_id
        answer = case.call(headers=headers)
        statuses[answer.status_code] += 1
        case.validate_response(answer, headers=headers)

    try:
        run()
    except hypothesis.errors.Unsatisfiable:
        assert mode.is_negative, operation.label  # of any bytes, none are wrong


def test_a_few_requests_to_every_operation_are_answered_as_the_document_says(served: Served) -> None:
    statuses = try_all(served, "all scopes", FEW)
    assert {200, 201, 404, 422} <= set(statuses), statuses
    assert max(statuses) < 500


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("caller", ["all scopes", "no scope for it", "nobody"])
def test_many_requests_to_every_operation_are_answered_as_the_document_says(served: Served, caller: str) -> None:
    statuses = try_all(served, caller, MANY)
    assert max(statuses) < 500, statuses
