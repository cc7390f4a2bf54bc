"""What a client may ask of jobs, and what it is told when it asks for what cannot be."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import update

from backend.db.engine import Database
from backend.db.models import Chunk, Job
from backend.errors import DatabaseUnavailable, InvalidParams, InvalidRequest, InvalidState, JobNotFound
from backend.jobs.service import MAX_LIST, JobService, NewJob
from backend.states import DeepMode, JobStatus, Stage


@pytest.fixture
def service(database: Database) -> JobService:
    return JobService(database)


def request(**changes: object) -> NewJob:
    fields: dict[str, object] = {"kind": "crop", "input_uri": "file:///film.mp4", "input_name": "film.mp4"}
    return NewJob(**{**fields, **changes})  # type: ignore[arg-type]


def set_status(service: JobService, job: Job, status: JobStatus) -> None:
    with service.database.session() as session:
        session.execute(update(Job).where(Job.id == job.id).values(status=status))


def test_a_new_job_waits_to_be_planned_with_its_parameters_made_whole(service: JobService) -> None:
    created = service.create(request(params={"aspect": "9:16"}, priority=3, deep_mode=DeepMode.CPU))
    job = service.get(created.id)
    assert (job.status, job.stage, job.total_chunks) == (JobStatus.QUEUED, Stage.PROBING, None)
    assert (job.priority, job.deep_mode, job.attempts, job.completed_chunks) == (3, "cpu", 0, 0)
    assert job.params["aspect"] == "9:16"
    assert job.params["padding_ratio"] == 0.12
    assert job.created_at is not None and job.started_at is None


def test_wrong_parameters_make_no_job(service: JobService) -> None:
    with pytest.raises(InvalidParams):
        service.create(request(params={"aspect": "wide"}))
    with pytest.raises(InvalidParams):
        service.create(request(params={"no_such_parameter": 1}))
    assert service.list() == []


def test_an_unknown_kind_makes_no_job(service: JobService) -> None:
    with pytest.raises(InvalidRequest):
        service.create(request(kind="juggle"))
    assert service.list() == []


@pytest.mark.parametrize(
    "name", ["'; DROP TABLE video_analysis_jobs; --", "../../etc/passwd", "映画 🎬.mp4", "%s{0}:x"]
)
def test_a_users_file_name_is_data(service: JobService, name: str) -> None:
    job = service.create(request(input_name=name, input_uri=f"file:///{name}"))
    assert service.get(job.id).input_name == name


def test_the_same_idempotency_key_gives_the_earlier_job_unchanged(service: JobService) -> None:
    first = service.create(request(idempotency_key="k", params={"crf": 20}))
    second = service.create(request(idempotency_key="k", params={"crf": 30}, input_name="other.mp4"))
    assert second.id == first.id
    assert (second.params["crf"], second.input_name) == (20, "film.mp4")
    assert len(service.list()) == 1


def test_idempotency_keys_are_each_tenants_own(service: JobService) -> None:
    ours = service.create(request(idempotency_key="k", tenant="ours"))
    theirs = service.create(request(idempotency_key="k", tenant="theirs"))
    assert ours.id != theirs.id


def test_requests_without_a_key_are_never_the_same(service: JobService) -> None:
    assert service.create(request()).id != service.create(request()).id


def test_an_unknown_job_is_not_found_by_any_question(service: JobService) -> None:
    nobody = uuid4()
    for ask in (service.get, service.chunks, service.cancel, service.retry):
        with pytest.raises(JobNotFound, match=str(nobody)):
            ask(nobody)
    with pytest.raises(JobNotFound):
        service.list(before=nobody)


def test_pages_show_every_job_once_newest_first(service: JobService) -> None:
    made = [service.create(request()).id for _ in range(7)]
    pages, before = [], None
    while page := service.list(limit=3, before=before):
        pages.append([job.id for job in page])
        before = page[-1].id
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [job_id for page in pages for job_id in page] == made[::-1]


def test_pages_hold_still_while_new_jobs_arrive_and_for_jobs_of_one_moment(service: JobService) -> None:
    made = {service.create(request()).id for _ in range(6)}
    with service.database.session() as session:
        moment = session.get_one(Job, next(iter(made))).created_at
        session.execute(update(Job).values(created_at=moment))
    first = service.list(limit=3)
    service.create(request())
    second = service.list(limit=10, before=first[-1].id)
    assert {job.id for job in (*first, *second)} == made
    assert len(first) + len(second) == 6


def test_a_list_can_be_of_one_status_and_is_never_endless(service: JobService) -> None:
    waiting, done = service.create(request()), service.create(request())
    set_status(service, done, JobStatus.DONE)
    assert [job.id for job in service.list(status="done")] == [done.id]
    assert [job.id for job in service.list(status="queued")] == [waiting.id]
    with service.database.session() as session:
        session.add_all([Job(kind="crop", input_uri="a", input_name="a") for _ in range(MAX_LIST)])
    assert len(service.list(limit=10**6)) == MAX_LIST + 1  # one more tells that there is another page


def test_chunks_come_in_order(service: JobService) -> None:
    job = service.create(request())
    assert service.chunks(job.id) == []
    with service.database.session() as session:
        for index in (2, 0, 1):
            bounds = {"start_pts": index, "end_pts": index + 1, "start_sec": index, "end_sec": index + 1}
            session.add(Chunk(job_id=job.id, chunk_index=index, **bounds))
    assert [chunk.chunk_index for chunk in service.chunks(job.id)] == [0, 1, 2]


@pytest.mark.parametrize("status", [s for s in JobStatus if s not in (JobStatus.DONE, JobStatus.FAILED)])
def test_a_job_that_is_not_over_can_be_cancelled_and_twice_is_the_same(service: JobService, status: JobStatus) -> None:
    job = service.create(request())
    set_status(service, job, status)
    once = service.cancel(job.id)
    twice = service.cancel(job.id)
    assert (once.status, twice.status) == (JobStatus.CANCELLED, JobStatus.CANCELLED)
    assert twice.completed_at == once.completed_at


@pytest.mark.parametrize("status", [JobStatus.DONE, JobStatus.FAILED])
def test_a_job_that_is_over_cannot_be_cancelled(service: JobService, status: JobStatus) -> None:
    job = service.create(request())
    set_status(service, job, status)
    with pytest.raises(InvalidState, match=status):
        service.cancel(job.id)
    assert service.get(job.id).status == status


@pytest.mark.parametrize("status", [s for s in JobStatus if s != JobStatus.FAILED])
def test_only_a_failed_job_can_be_retried(service: JobService, status: JobStatus) -> None:
    job = service.create(request())
    set_status(service, job, status)
    with pytest.raises(InvalidState, match=status):
        service.retry(job.id)
    assert service.get(job.id).status == status


def test_retry_of_a_job_that_failed_before_it_was_cut_plans_it_again(service: JobService) -> None:
    job = service.create(request())
    set_status(service, job, JobStatus.FAILED)
    again = service.retry(job.id)
    assert (again.status, again.stage, again.total_chunks) == (JobStatus.QUEUED, Stage.PROBING, None)


def test_a_database_that_does_not_answer_is_a_readable_error(tmp_path_factory: pytest.TempPathFactory) -> None:
    nowhere = tmp_path_factory.mktemp("nowhere")
    gone = Database(f"postgresql://framefleet@/postgres?host={nowhere}")
    with pytest.raises(DatabaseUnavailable, match="DATABASE_URL") as caught:
        JobService(gone).list()
    assert caught.value.retryable
    gone.close()
