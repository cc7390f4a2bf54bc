"""Lists page by page: every row once, whatever comes and goes meanwhile, and by an index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from backend.api.app import create_app
from backend.db.engine import Database
from backend.jobs.service import JobService, NewJob
from backend.settings import Settings
from tests.conftest import empty_database

JOBS = "/api/v1/jobs"
MANY_ROWS = 100_000


@pytest.fixture(scope="module")
def place(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FlaskClient, Database]]:
    folder = tmp_path_factory.mktemp("lists")
    with empty_database(postgres) as url:
        given = {"database_url": url, "storage_url": (folder / "objects").as_uri(), "data_dir": folder / "data"}
        app, database = create_app(Settings.model_validate(given)), Database(url)
        yield app.test_client(), database
        app.extensions["framefleet"].planners.shutdown()
        app.extensions["framefleet"].database.close()
        database.close()


@pytest.fixture
def client(place: tuple[FlaskClient, Database]) -> FlaskClient:
    execute(place[1], "TRUNCATE video_analysis_jobs CASCADE")
    return place[0]


@pytest.fixture
def database(place: tuple[FlaskClient, Database]) -> Database:
    return place[1]


def execute(database: Database, statement: str, **params: Any) -> list[Any]:
    with database.transaction() as connection:
        result = connection.execute(text(statement), params)
        return list(result) if result.returns_rows else []


def make(database: Database, number: int, **changes: Any) -> str:
    job = JobService(database).create(NewJob("crop", "https://h/a.mp4", changes.pop("name", f"{number}.mp4"), {}))
    for column, value in changes.items():
        execute(database, f"UPDATE video_analysis_jobs SET {column} = :value WHERE id = :id", value=value, id=job.id)
    return str(job.id)


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.data
    return [job["id"] for job in answer.get_json()["jobs"]]


def link(answer: Any) -> str:
    (address,) = re.findall(r'^<([^>]+)>; rel="next"$', answer.headers["Link"])
    return str(address)


def test_pages_hold_while_jobs_come_and_go(client: FlaskClient, database: Database) -> None:
    made = [make(database, number) for number in range(7)]
    first = client.get(f"{JOBS}?limit=2")
    assert ids(first) == [made[6], made[5]]
    # The page's last job is deleted, one of the next page too, and newer ones come.
    execute(database, "DELETE FROM video_analysis_jobs WHERE id = ANY(:ids)", ids=[UUID(made[5]), UUID(made[4])])
    make(database, 7)
    second = client.get(link(first))
    assert ids(second) == [made[3], made[2]]
    assert ids(client.get(f"{JOBS}?limit=2&cursor={first.get_json()['next']}")) == ids(second)
    last = client.get(link(second))
    assert ids(last) == [made[1], made[0]]
    assert last.get_json()["next"] is None and "Link" not in last.headers


def test_jobs_of_one_moment_are_each_on_one_page(client: FlaskClient, database: Database) -> None:
    made = {make(database, number) for number in range(5)}
    execute(database, "UPDATE video_analysis_jobs SET created_at = '2026-11-27T00:00:00Z'")
    seen: list[str] = []
    address = f"{JOBS}?limit=2"
    for _ in range(2):
        page = client.get(address)
        seen += ids(page)
        address = link(page)
    seen += ids(client.get(address))
    assert len(seen) == 5 and set(seen) == made


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=failed", [1, 0]),
        ("status=failed&status=done", [2, 1, 0]),
        ("kind=crop", [3, 2, 1, 0]),
        ("kind=pose", []),
        ("q=HOLIDAY", [2]),
        ("q=100%25_", [3]),
        ("q=nothing", []),
        ("created_after=2026-11-02T12:00:00Z", [3, 2]),
        ("created_before=2026-11-02T12:00:00Z", [1, 0]),
        ("created_after=2026-11-01T12:00:00Z&created_before=2026-11-04T00:00:00%2B00:00", [2, 1]),
        ("status=failed&q=1", [1]),
    ],
)
def test_filters_narrow_the_list(client: FlaskClient, database: Database, query: str, found: list[int]) -> None:
    names = ["0.mp4", "1.mp4", "my Holiday.mp4", "100%_\\.mp4"]
    made = [make(database, 0, name=name) for name in names]
    for number, status in enumerate(("failed", "failed", "done", "queued")):
        execute(
            database,
            "UPDATE video_analysis_jobs SET status = :status, created_at = :at WHERE id = :id",
            status=status,
            at=f"2026-11-0{number + 1}T00:00:00Z",
            id=UUID(made[number]),
        )
    answer = client.get(f"{JOBS}?{query}")
    assert ids(answer) == [made[number] for number in found]
    # A page's filters are the next page's.
    if len(found) > 1:
        rest = client.get(link(client.get(f"{JOBS}?limit=1&{query}")))
        assert ids(rest)[0] == made[found[1]]


@pytest.mark.parametrize(
    "query",
    [
        "status=sleeping",
        "status=",
        "cursor=nonsense",
        "cursor=" + "A" * 32 + "!",
        "cursor=f_8f_8f_8f_8f_8f_8f_8f_8f_8f_8f_8",
        "before=nonsense",
        "cursor=a&before=b",
        "created_after=yesterday",
        "created_after=1795000000",
        "created_after=2026-11-27T00:00:00",  # of no time zone
        "q=%00",
        "limit=201",
        "limit=1.5",
    ],
)
def test_a_query_that_is_not_allowed_is_named(client: FlaskClient, query: str) -> None:
    answer = client.get(f"{JOBS}?{query}")
    assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid_value")


def test_lists_have_no_parameters(client: FlaskClient, database: Database) -> None:
    job_id = make(database, 0)
    (listed,) = client.get(JOBS).get_json()["jobs"]
    whole = client.get(f"{JOBS}/{job_id}").get_json()
    assert whole.pop("params") and listed == whole


def test_ten_thousand_chunks_come_page_by_page(client: FlaskClient, database: Database) -> None:
    job_id = make(database, 0)
    execute(database, "INSERT INTO queue_lanes (deep_mode, tenant) VALUES ('gpu', 'default') ON CONFLICT DO NOTHING")
    execute(
        database,
        "INSERT INTO video_analysis_chunks (job_id, chunk_index, start_sec, end_sec, start_pts, end_pts)"
        " SELECT :id, n, n, n + 1, n, n + 1 FROM generate_series(0, 9999) n",
        id=UUID(job_id),
    )
    seen, address = [], f"{JOBS}/{job_id}/chunks"
    for _ in range(10):
        page = client.get(address)
        chunks = page.get_json()["chunks"]
        seen += [chunk["chunk_index"] for chunk in chunks]
        assert len(chunks) == 1000
        address = link(page) if page.get_json()["next"] else ""
    assert seen == list(range(10_000)) and address == ""
    few = client.get(f"{JOBS}/{job_id}/chunks?limit=3").get_json()
    assert len(few["chunks"]) == 3
    assert client.get(f"{JOBS}/{job_id}/chunks?after=x").status_code == 422


def crowd(database: Database, rows: int) -> None:
    """Jobs that are done, a few of them failed, long ago, and the statistics that the planner goes by."""
    execute(
        database,
        "INSERT INTO video_analysis_jobs (id, kind, input_uri, input_name, status, stage, created_at)"
        " SELECT gen_random_uuid(), 'crop', 'https://h/a.mp4', n || '.mp4',"
        " CASE WHEN n <= 20 THEN 'failed' ELSE 'done' END, 'DONE',"
        " '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 second'"
        " FROM generate_series(1, :rows) n",
        rows=rows,
    )
    execute(database, "ANALYZE video_analysis_jobs")


def plan_of(database: Database, where: str) -> str:
    rows = execute(
        database,
        f"EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM video_analysis_jobs WHERE tenant = 'default' AND {where}"
        " ORDER BY created_at DESC, id DESC LIMIT 51",
    )
    return "\n".join(row[0] for row in rows)


def test_a_status_is_found_by_its_index(client: FlaskClient, database: Database) -> None:
    crowd(database, 3_000)
    plan = plan_of(database, "status = 'failed'")
    assert "ix_jobs_status_newest" in plan and "Sort" not in plan, plan
    assert len(ids(client.get(f"{JOBS}?status=failed&limit=50"))) == 20


@pytest.mark.slow
def test_a_rare_status_among_a_hundred_thousand_jobs_takes_a_few_pages(client: FlaskClient, database: Database) -> None:
    crowd(database, MANY_ROWS)
    for where in ("status = 'failed'", "status IN ('failed', 'queued')", "status = 'done'"):
        plan = plan_of(database, where)
        assert "Seq Scan" not in plan, plan
        read = sum(int(number) for number in re.findall(r"Buffers: shared hit=(\d+)", plan)[:1])
        assert read < 200, plan  # of some thousands
