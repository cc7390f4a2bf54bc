"""One trace a job, from the request to the film, across whoever works on it."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id
from pydantic import ValidationError

from backend import counters, telemetry, tracing
from backend.api.app import create_app
from backend.db.engine import Database
from backend.errors import ClaimLost, StorageError
from backend.jobs.service import JobService
from backend.kinds.tools import Tools
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.storage import open_store
from backend.vision.detectors.hog import HogDetector
from backend.workers.analysis_worker import Aggregator
from backend.workers.gpu_chunk_worker import ChunkWorker
from backend.workers.loop import WorkerLoop
from tests.integration.conftest import wait_until
from tests.samples import make_sample

CALLER_TRACE, CALLER_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLER = {"traceparent": f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"}


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.start(exporter, "test", at_once=True)
    yield exporter
    tracing.stop()


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return format_trace_id(span.context.trace_id)


def make_film(client: object, database: Database, settings: Settings, clip: bytes) -> UUID:
    """A job by the API, worked on by real workers in this process."""
    fields = {"file": (io.BytesIO(clip), "clip.mp4"), "params": '{"sample_fps": 2}'}
    job_id = UUID(client.post("/api/v1/jobs", data=fields, headers=CALLER).get_json()["id"])  # type: ignore[attr-defined]
    jobs, queue, store = JobService(database), Queue(database, settings), open_store(settings)
    wait_until(lambda: jobs.get(job_id).total_chunks, 60, "the plan")
    worker = ChunkWorker(queue, store, Tools(settings, HogDetector))
    loop = WorkerLoop("test", lambda: worker.work_once(loop), queue.tend, settings)
    while worker.work_once(loop):
        pass
    assert Aggregator(database, queue, store, settings).work_once(loop)
    job = jobs.get(job_id)
    assert job.status == "done", job.error_message
    return job_id


def test_request_plan_chunks_and_film_are_one_trace(
    settings: Settings, database: Database, tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    settings = settings.model_copy(update={"chunk_seconds": 1.0, "overlap_samples": 1})
    clip = make_sample(tmp_path / "clip.mp4", seconds=2).read_bytes()
    app = create_app(settings)
    job_id = make_film(app.test_client(), database, settings, clip)
    app.extensions["framefleet"].planners.shutdown()
    finished = spans.get_finished_spans()
    assert [span.name for span in finished] == ["create job", "plan", "chunk", "chunk", "aggregate"]
    assert {trace_of(span) for span in finished} == {CALLER_TRACE}
    request, *work = finished
    assert request.kind is SpanKind.SERVER
    assert request.parent is not None and request.context is not None
    assert format_span_id(request.parent.span_id) == CALLER_SPAN
    assert {span.parent.span_id for span in work if span.parent} == {request.context.span_id}
    assert all(dict(span.attributes or {})["framefleet.job_id"] == str(job_id) for span in finished)
    chunks = [dict(span.attributes or {}) for span in finished if span.name == "chunk"]
    assert [chunk["framefleet.chunk_index"] for chunk in chunks] == [0, 1]
    assert [chunk["framefleet.attempt"] for chunk in chunks] == [1, 1]
    stages = {"chunk": ("decode", "detect", "track"), "aggregate": ("stitch_and_path", "render", "upload")}
    for work_name, names in stages.items():
        for stage in names:
            labels = {"work": work_name, "stage": stage}
            assert (counters.REGISTRY.get_sample_value("framefleet_stage_seconds_count", labels) or 0) >= 1


def test_a_try_that_ends_badly_is_marked_in_its_span_and_counted_by_how_it_ended(spans: InMemorySpanExporter) -> None:
    def observed(outcome: str) -> float:
        labels = {"work": "chunk", "outcome": outcome}
        return counters.REGISTRY.get_sample_value("framefleet_work_seconds_count", labels) or 0

    before = {outcome: observed(outcome) for outcome in ("failed", "lost")}
    for failure in (StorageError("The store is away."), ClaimLost("Rescued.")):
        with pytest.raises(type(failure)), telemetry.working("chunk", None, job_id=str(uuid4()), attempt=3):
            raise failure
    assert [span.status.status_code for span in spans.get_finished_spans()] == [StatusCode.ERROR] * 2
    assert {outcome: observed(outcome) for outcome in before} == {key: value + 1 for key, value in before.items()}


def test_a_job_made_outside_of_any_trace_has_one_by_its_id(spans: InMemorySpanExporter) -> None:
    job_id = uuid4()
    for work in ("plan", "chunk"):
        with telemetry.working(work, None, job_id=str(job_id)):  # type: ignore[arg-type]
            pass
    assert {trace_of(span) for span in spans.get_finished_spans()} == {job_id.hex}


@pytest.mark.parametrize("header", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "ff-" + "x" * 5000])
def test_a_hostile_traceparent_starts_a_trace_of_its_own(spans: InMemorySpanExporter, header: str) -> None:
    with tracing.span("create job", {"Traceparent": header}, {}, "server"):
        inside = tracing.current()
    (span,) = spans.get_finished_spans()
    assert span.parent is None
    assert inside is not None and inside.split("-")[1] == trace_of(span)


def test_off_it_costs_nothing_and_writes_nothing() -> None:
    with tracing.span("plan", None, {}):
        assert tracing.current() is None
    assert not tracing.is_on()
    assert Settings().traces is None


@pytest.mark.parametrize(
    ("variables", "where"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}, None),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}, None),
    ],
)
def test_the_usual_variables_turn_it_on_and_off(
    variables: dict[str, str], where: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Settings().traces == where


def test_cloudwatch_without_a_region_is_refused_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "METRICS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("METRICS", "cloudwatch")
    with pytest.raises(ValidationError, match="METRICS_REGION"):
        Settings()
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert Settings().metrics_region == "eu-central-1"


def test_spans_reach_a_collector_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    import http.server
    import threading

    received: list[tuple[str, bytes]] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            sys.stderr.write(format % args)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        tracing.configure(Settings(), "api")
        with tracing.span("plan", None, {"job_id": "j"}):
            pass
        tracing.stop()
        server.shutdown()
    ((path, body),) = received
    assert path == "/v1/traces"
    assert b"framefleet-api" in body
