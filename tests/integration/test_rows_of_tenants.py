"""PostgreSQL keeps tenants apart: a request's transaction neither sees nor writes another one's rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg import sql as words
from sqlalchemy import make_url, text

from backend.db.app_role import provide_app_role
from backend.db.engine import Database
from backend.db.migrate import downgrade, upgrade
from backend.db.sql import statement
from backend.db.tenancy import FLEET_ROLE, TENANT_ROLE
from backend.errors import DatabaseUnavailable, InvalidState, JobNotFound
from backend.jobs.listing import JobFilter, jobs_query, list_jobs
from backend.jobs.progress import progress_of
from backend.jobs.service import JobService, NewJob
from backend.queue.queue import Queue
from backend.settings import Settings
from tests.conftest import empty_database
from tests.integration.queue.helpers import BROKEN, claim_of, planned_job, sql
from tests.integration.queue.pooler import through_pooler

ACME, OTHER = "acme", "other"
JOBS, CHUNKS = "video_analysis_jobs", "video_analysis_chunks"
# Every table whose rows are a tenant's, with how a row of the tenant %s gets in.
A_ROW = {
    JOBS: "(id, tenant, kind, input_uri, input_name) VALUES (gen_random_uuid(), '%s', 'crop', 'x', 'x')",
    "queue_lanes": "(deep_mode, tenant) VALUES ('cpu', '%s')",
    CHUNKS: "(job_id, tenant, deep_mode, chunk_index, start_sec, end_sec, start_pts, end_pts)"
    " VALUES ((SELECT id FROM video_analysis_jobs WHERE tenant = '%s' LIMIT 1), '%s', 'cpu', 9, 0, 1, 0, 1)",
    "uploads": "(id, tenant, name, size_bytes, part_bytes, checks_parts, expires_at)"
    " VALUES (gen_random_uuid(), '%s', 'x', 1, 1, false, now())",
    # Of one's own upload even, where it is tried as another tenant.
    "upload_parts": "(upload_id, tenant, number, sha256)"
    " VALUES ((SELECT id FROM uploads ORDER BY tenant = '%s' DESC LIMIT 1), '%s', 1, 'x')",
    "webhook_messages": "(job_id, tenant, type, facts)"
    " VALUES ((SELECT id FROM video_analysis_jobs ORDER BY tenant = '%s' DESC LIMIT 1), '%s', 'x', '{}')",
    "webhook_secrets": "(tenant, secret) VALUES ('%s', 'x')",
    "requests_in_flight": "(tenant, idempotency_key, token) VALUES ('%s', 'k', gen_random_uuid())",
    "api_keys": "(id, name, tenant, scopes, secret_sha256) VALUES ('%s', '%s', '%s', '{}', 'x')",
}
WITH_TENANT = """
SELECT c.relname, c.relrowsecurity FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'tenant'
      AND NOT a.attisdropped
"""


@pytest.fixture(scope="module")
def two_tenants(postgres: str) -> Iterator[str]:
    """URL of a database with rows of both in every table; no test changes it for good."""
    with empty_database(postgres) as url:
        with psycopg.connect(url) as connection:
            for tenant in (ACME, OTHER):
                connection.execute("INSERT INTO tenants (name) VALUES (%s)", (tenant,))
                for table in A_ROW:
                    connection.execute(a_row(table, tenant))
        yield url


def a_row(table: str, tenant: str) -> bytes:
    return f"INSERT INTO {table} {A_ROW[table]}".replace("%s", tenant).encode()


def become(connection: psycopg.Connection[tuple[object, ...]], tenant: str | None) -> None:
    connection.execute("SELECT set_config('role', %s, true)", (TENANT_ROLE,))
    if tenant is not None:
        connection.execute("SELECT set_config('framefleet.tenant', %s, true)", (tenant,))


def rows_of(connection: psycopg.Connection[tuple[object, ...]], query: str) -> list[tuple[object, ...]]:
    return connection.execute(query.encode()).fetchall()


def test_every_table_with_a_tenant_has_its_rules(two_tenants: str) -> None:
    with psycopg.connect(two_tenants) as connection:
        tables = dict(rows_of(connection, WITH_TENANT))
        assert set(tables) == set(A_ROW), "a table that these tests do not know"
        assert [name for name, has_rules in tables.items() if not has_rules] == []
        rules = rows_of(connection, "SELECT tablename, policyname, roles, permissive FROM pg_policies")
        for table in tables:
            assert sorted(rule[1:] for rule in rules if rule[0] == table) == [
                ("all_rows", [FLEET_ROLE], "PERMISSIVE"),
                ("own_rows", [TENANT_ROLE], "PERMISSIVE"),
            ], table


def test_requests_reach_no_other_table(two_tenants: str) -> None:
    granted = f"SELECT DISTINCT table_name FROM information_schema.column_privileges WHERE grantee = '{TENANT_ROLE}'"
    with psycopg.connect(two_tenants) as connection:
        assert {name for (name,) in rows_of(connection, granted)} <= {*A_ROW, "tenants"}
        become(connection, ACME)
        assert rows_of(connection, "SELECT name FROM tenants") == [(ACME,)]


def rights_in(connection: psycopg.Connection[tuple[object, ...]], table: str, right: str) -> list[str]:
    """Columns in which the tenants' role has it."""
    query = """SELECT column_name FROM information_schema.column_privileges
               WHERE grantee = %s AND table_name = %s AND privilege_type = %s ORDER BY column_name"""
    return [str(name) for (name,) in connection.execute(query, (TENANT_ROLE, table, right)).fetchall()]


@pytest.mark.parametrize("table", A_ROW)
def test_whatever_is_asked_of_a_table_shows_and_changes_the_tenants_rows_alone(two_tenants: str, table: str) -> None:
    with psycopg.connect(two_tenants) as connection:
        (own, all_rows) = rows_of(
            connection, f"SELECT count(*) FILTER (WHERE tenant = '{ACME}'), count(*) FROM {table}"
        )[0]
        assert 0 < int(str(own)) < int(str(all_rows))
        reads, writes = rights_in(connection, table, "SELECT"), rights_in(connection, table, "UPDATE")
        deletes = rows_of(connection, f"SELECT has_table_privilege('{TENANT_ROLE}', '{table}', 'DELETE')")[0][0]
        connection.commit()
        become(connection, ACME)
        if reads:
            assert rows_of(connection, f"SELECT DISTINCT tenant FROM {table}") == [(ACME,)]
        if writes:
            assert connection.execute(f"UPDATE {table} SET {writes[0]} = {writes[0]}".encode()).rowcount == own
        if deletes:
            assert connection.execute(f"DELETE FROM {table}".encode()).rowcount == own
        connection.rollback()


@pytest.mark.parametrize("table", A_ROW)
def test_what_was_not_granted_is_refused_and_no_row_is_another_tenants(two_tenants: str, table: str) -> None:
    with psycopg.connect(two_tenants) as connection:
        attempts = [f"UPDATE {table} SET tenant = '{OTHER}'".encode(), f"TRUNCATE {table}".encode()]
        attempts.append(a_row(table, OTHER))
        if not rights_in(connection, table, "SELECT"):
            attempts.append(f"SELECT tenant FROM {table}".encode())
    for attempt in attempts:
        with psycopg.connect(two_tenants) as connection:
            become(connection, ACME)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(attempt)


@pytest.mark.parametrize("tenant", [None, ""])
def test_without_a_tenant_there_is_nothing(two_tenants: str, tenant: str | None) -> None:
    with psycopg.connect(two_tenants) as connection:
        tables = [table for table in A_ROW if rights_in(connection, table, "SELECT")]
        assert len(tables) > 3
        connection.commit()
        become(connection, tenant)
        assert [table for table in tables if rows_of(connection, f"SELECT 1 FROM {table}")] == []


@pytest.mark.parametrize(
    "attempt",
    [
        "SELECT token_sha256 FROM remote_workers",
        "SELECT secret_sha256 FROM api_keys",
        "SELECT token_sha256 FROM api_sessions",
        "SELECT secret FROM webhook_secrets",
        "UPDATE tenants SET open_jobs_max = NULL",
        "DELETE FROM video_analysis_jobs",
        "UPDATE video_analysis_jobs SET output_key = 'jobs/another/output/film.mp4'",
        "UPDATE video_analysis_chunks SET artifact_s3_key = 'jobs/another/chunks/chunk_0000.json'",
        "SELECT worker_id FROM workers",
        "UPDATE fleet SET paused_at = now()",
        "CREATE TABLE mine (x int)",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY fleet FROM PROGRAM 'id'",
        "ALTER TABLE video_analysis_jobs DISABLE ROW LEVEL SECURITY",
        "DROP POLICY own_rows ON video_analysis_jobs",
        # A function that runs as the owner, hung on a table of one's own making.
        "CREATE TEMP TABLE mine (id uuid); CREATE TRIGGER tell AFTER UPDATE ON mine FOR EACH ROW"
        " EXECUTE FUNCTION note_webhook()",
    ],
)
def test_the_tenants_role_reaches_nothing_else(two_tenants: str, attempt: str) -> None:
    with psycopg.connect(two_tenants) as connection:
        become(connection, ACME)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(attempt.encode())


# What a client may ask of jobs, on a tenant's view.


def failed_job(database: Database, settings: Settings, tenant: str) -> UUID:
    job_id = planned_job(database, 2, tenant=tenant)
    queue = Queue(database, settings)
    queue.fail_chunk(claim_of(queue), BROKEN)
    return job_id


def test_a_tenants_jobs_are_listed_found_and_moved_by_that_tenant_alone(database: Database, settings: Settings) -> None:
    failed, live = failed_job(database, settings, ACME), planned_job(database, 2, tenant=ACME)
    acme, other = JobService(database.as_tenant(ACME)), JobService(database.as_tenant(OTHER))
    for job_id in (failed, live):
        for act in (other.get, other.chunks, other.cancel, other.retry, other.pause, other.resume):
            with pytest.raises(JobNotFound):
                act(job_id)
    assert other.list() == [] and {job.id for job in acme.list()} == {failed, live}
    assert acme.get(failed).status == "failed" and acme.get(live).paused_at is None
    assert acme.retry(failed).status == "queued"
    assert acme.pause(live).paused_at is not None and acme.resume(live).paused_at is None
    assert {chunk.tenant for chunk in acme.chunks(live)} == {ACME}
    assert acme.cancel(live).status == "cancelled"
    assert len(progress_of(database.as_tenant(ACME), acme.list())) == 2
    with pytest.raises(InvalidState):
        acme.retry(live)


def test_an_idempotency_key_is_the_tenants_own(database: Database) -> None:
    acme, other = JobService(database.as_tenant(ACME)), JobService(database.as_tenant(OTHER))
    wanted = {"kind": "crop", "input_uri": "https://h/a.mp4", "input_name": "a.mp4", "idempotency_key": "k"}
    first = acme.create(NewJob(**wanted))
    assert other.find("k") is None
    assert other.create(NewJob(**wanted)).id != first.id
    assert acme.create(NewJob(**wanted)).id == first.id
    # Nothing but the view says whose it is.
    assert acme.create(NewJob(**{**wanted, "idempotency_key": "l", "tenant": OTHER})).tenant == ACME


def test_retried_chunks_stand_where_the_whole_fleet_is(database: Database, settings: Settings) -> None:
    """A tenant does not see what the others are at, and yet goes before nobody."""
    failed = failed_job(database, settings, ACME)
    busy = planned_job(database, 1, tenant=OTHER)
    sql(database, f"UPDATE {CHUNKS} SET status = 'processing', claim_rank = 500 WHERE job_id = :id", id=busy)
    JobService(database.as_tenant(ACME)).retry(failed)
    ranks = sql(database, f"SELECT min(claim_rank) AS first FROM {CHUNKS} WHERE job_id = :id", id=failed)
    assert ranks[0]["first"] >= 500


def test_a_connection_is_nobodys_after_a_tenants_transaction(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """Through PgBouncer in transaction mode, on one server connection for all."""
    jobs = {tenant: planned_job(database, 2, tenant=tenant) for tenant in (ACME, OTHER)}
    whose = text(f"SELECT DISTINCT tenant FROM {JOBS} ORDER BY tenant")
    with through_pooler(database_url, tmp_path, 1) as pooled:
        for tenant in (ACME, OTHER):
            with pytest.raises(ZeroDivisionError), pooled.as_tenant(tenant).transaction() as connection:
                assert connection.execute(whose).scalars().all() == [tenant]
                raise ZeroDivisionError  # rolled back, as well as committed:
            with pooled.as_tenant(tenant).session() as session:
                assert session.execute(whose).scalars().all() == [tenant]
            known = pooled.as_tenant(tenant).ask("known_jobs", job_ids=list(jobs.values()))
            assert known == {"id": jobs[tenant]}
            with pooled.transaction() as connection:
                assert connection.execute(whose).scalars().all() == [ACME, OTHER]


# Who works for all tenants.


@pytest.fixture
def services(postgres: str, database: Database, database_url: str) -> Iterator[str]:
    """URL as the services' role; a name of its own, since roles are the server's."""
    name = f"app_{os.urandom(4).hex()}"
    url = make_url(database_url).set(drivername="postgresql", username=name, password="f00d" * 12)
    yield url.render_as_string(hide_password=False)
    with psycopg.connect(database_url) as connection:
        connection.execute(words.SQL("DROP OWNED BY {0}").format(words.Identifier(name)))
        connection.execute(words.SQL("DROP ROLE {0}").format(words.Identifier(name)))


def plan_of_claim(database: Database) -> list[str]:
    """How PostgreSQL would claim, without the estimates."""
    with database.transaction() as connection:
        connection.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        query = text(f"EXPLAIN (COSTS OFF, VERBOSE) {statement('claim_chunk').text}")
        given = {
            "deep_mode": "gpu", "tenant_cap": None, "has": [], "cap_seconds": 300, "kinds": ["crop"], "full": [],
            "worker_id": "w", "lease_seconds": 60, "schema_version": 9, "job_id": None,
        }  # fmt: skip
        return list(connection.execute(query, given).scalars())


def test_a_claim_by_the_services_role_is_planned_as_the_owners(
    database: Database, services: str, settings: Settings
) -> None:
    provide_app_role(database, services)
    jobs = {planned_job(database, 2, tenant=tenant) for tenant in (ACME, OTHER)}
    sql(database, "ANALYZE")
    workers = Database(services)
    assert plan_of_claim(workers) == plan_of_claim(database)
    assert "framefleet.tenant" not in "".join(plan_of_claim(workers))
    claimed = {claim_of(Queue(workers, settings)).job_id for _ in range(4)}
    workers.close()
    assert claimed == jobs


def test_the_role_that_an_earlier_release_made_still_sees_everything(empty: Database, empty_url: str) -> None:
    upgrade(empty, "0014")
    name = f"app_{os.urandom(4).hex()}"
    with psycopg.connect(empty_url) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'old'".encode())
        connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}".encode())
    try:
        upgrade(empty)
        planned_job(empty, 2, tenant=ACME)
        url = make_url(empty_url).set(drivername="postgresql", username=name, password="old")
        earlier = Database(url.render_as_string(hide_password=False))
        assert len(sql(earlier, f"SELECT id FROM {CHUNKS}")) == 2
        assert JobService(earlier.as_tenant(OTHER)).list() == []
        earlier.close()
    finally:
        with psycopg.connect(empty_url) as connection:
            connection.execute(f"DROP OWNED BY {name}".encode())
            connection.execute(f"DROP ROLE {name}".encode())


def test_an_owner_who_may_make_no_roles_is_told_what_to_run(empty: Database, empty_url: str) -> None:
    """On a server where nobody made them yet: those that this one has for all databases are given away meanwhile."""
    upgrade(empty, "0014")
    name = f"owner_{os.urandom(4).hex()}"
    with psycopg.connect(empty_url) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'plain'".encode())
        connection.execute(f"GRANT ALL ON SCHEMA public TO {name}".encode())
        for (table,) in rows_of(connection, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
            connection.execute(f"ALTER TABLE {table} OWNER TO {name}".encode())
    url = make_url(empty_url).set(drivername="postgresql", username=name, password="plain")
    plain = Database(url.render_as_string(hide_password=False))
    try:
        with pytest.raises(DatabaseUnavailable, match=f"GRANT {TENANT_ROLE}, {FLEET_ROLE} TO {name} WITH ADMIN OPTION"):
            upgrade(plain)
        with psycopg.connect(empty_url) as connection:
            connection.execute(f"GRANT {TENANT_ROLE}, {FLEET_ROLE} TO {name} WITH ADMIN OPTION".encode())
        upgrade(plain)
        assert JobService(plain.as_tenant(ACME)).list() == []
    finally:
        plain.close()
        with psycopg.connect(empty_url) as connection:
            connection.execute(f"DROP OWNED BY {name}".encode())
            connection.execute(f"DROP ROLE {name}".encode())


def test_a_service_that_may_not_take_the_role_says_what_to_run(database: Database, services: str) -> None:
    provide_app_role(database, services)
    name = make_url(services).username
    with database.transaction() as connection:
        connection.exec_driver_sql(f"REVOKE {TENANT_ROLE} FROM {name}")
    stranger = Database(services)
    with pytest.raises(DatabaseUnavailable, match=r"backend\.db\.app_role"):
        JobService(stranger.as_tenant(ACME)).list()
    stranger.close()


def test_a_downgrade_takes_the_rules_away_and_an_upgrade_brings_them_back(empty: Database) -> None:
    upgrade(empty)
    downgrade(empty, "0014")
    assert sql(empty, "SELECT 1 FROM pg_policies") == []
    assert sql(empty, "SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relrowsecurity") == []
    granted = f"SELECT 1 FROM information_schema.column_privileges WHERE grantee = '{TENANT_ROLE}'"
    assert sql(empty, granted) == []
    upgrade(empty)
    assert sql(empty, "SELECT 1 FROM pg_policies") != []


@pytest.fixture
def one_among_many(database: Database) -> Database:
    """One job of acme's, older than 5,000 of another's."""
    filled = f"""INSERT INTO {JOBS} (id, tenant, kind, input_uri, input_name, created_at)
                 SELECT gen_random_uuid(), CASE WHEN n = 0 THEN '{ACME}' ELSE '{OTHER}' END, 'crop', 'x', 'x',
                        now() + make_interval(secs => n)
                 FROM generate_series(0, 5000) n"""
    sql(database, filled)
    sql(database, f"ANALYZE {JOBS}")
    return database


def test_a_plan_is_the_same_whoever_asks_first(one_among_many: Database) -> None:
    """Prepared while a small tenant asks, a statement serves the large ones too."""
    plans = []
    for tenant in (ACME, OTHER):
        with one_among_many.as_tenant(tenant).transaction() as connection:
            plans.append(connection.execute(text(f"EXPLAIN SELECT id FROM {JOBS}")).scalars().all())
    assert plans[0] == plans[1]


def test_the_list_of_a_small_tenant_walks_over_nobody_elses_jobs(one_among_many: Database) -> None:
    for wanted in (JobFilter(), JobFilter(statuses=["queued"])):
        query = (
            jobs_query(ACME, wanted).limit(20).compile(one_among_many._engine, compile_kwargs={"literal_binds": True})
        )
        with one_among_many.as_tenant(ACME).transaction() as connection:
            plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN ANALYZE {query}").scalars())
        assert f"tenant = '{ACME}'" in plan
        assert "Rows Removed by Filter: 5000" not in plan, plan
    assert [job.tenant for job in list_jobs(one_among_many.as_tenant(ACME), JobFilter(), limit=20)] == [ACME]
