"""Webhooks: what is told, signed as the specification's own library has it, and that none is lost or held up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.exc import ProgrammingError
from standardwebhooks import Webhook, WebhookVerificationError

from backend.db.engine import Database
from backend.db.tenancy import FLEET_ROLE
from backend.jobs.service import JobService
from backend.jobs.webhook_log import count_dead, dead_deliveries, deliveries_of, resend
from backend.jobs.webhook_secrets import rotate_secret, signing_secrets
from backend.jobs.webhooks import (
    JITTER,
    LONGEST_PAUSE_SEC,
    OF_ONE_HOST,
    OF_ONE_TENANT,
    PAUSES_SEC,
    Webhooks,
)
from backend.settings import Settings
from tests.conftest import Said
from tests.integration.commands import PROJECT
from tests.integration.conftest import wait_until
from tests.integration.receiver import Receiver, execute, make_due, move, receiving, watched_job

DONE = {"status": "done", "stage": "DONE", "output_uri": "s3://films/a.mp4", "output_put_url": "https://h/put?hunter4"}
FAILED = {
    "status": "failed",
    "error_code": "source_unreachable",
    "error_message": "No answer.",
    "error_retryable": True,
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def webhooks(database: Database, settings: Settings) -> Webhooks:
    return Webhooks(database, settings)


def send(webhooks: Webhooks) -> None:
    webhooks.send_due()
    webhooks.settle()


def status_of(database: Database, job_id: UUID) -> list[str]:
    return [each["status"] for each in deliveries_of(database, job_id)]


def pause_sec(database: Database) -> float:
    """Until the next try of the only message."""
    ((seconds,),) = execute(database, "SELECT extract(epoch FROM due_at - now()) FROM webhook_messages")
    return float(seconds)


def test_the_end_of_a_job_is_told_once_and_verifies(
    database: Database, webhooks: Webhooks, receiver: Receiver, said: list[Said]
) -> None:
    job_id = watched_job(database, receiver.url)
    send(webhooks)
    move(database, job_id, status="processing", stage="PROCESSING")
    move(database, job_id, **DONE)
    send(webhooks)
    make_due(database)
    send(webhooks)
    (request,) = receiver.got
    secret = signing_secrets(database, "default")[0].text
    told = Webhook(secret).verify(request.body, request.headers)
    assert request.path == "/hunter2?key=hunter3"
    assert (told["type"], told["data"]["id"], told["data"]["status"]) == ("job.completed", str(job_id), "done")
    assert told["data"]["output"]["uri"] == "s3://films/a.mp4" and told["data"]["progress_pct"] == 100
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(request.body.replace(b'"done"', b'"fail"'), request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(request.body, {**request.headers, "webhook-id": "msg_other"})
    assert status_of(database, job_id) == ["delivered"]
    logged = json.dumps([each.fields for each in said], default=str)
    listed = json.dumps(deliveries_of(database, job_id))
    for shown in (logged, listed, request.body.decode()):
        assert "hunter" not in shown and secret not in shown


def test_progress_is_told_to_whoever_asked_for_it(database: Database, webhooks: Webhooks, receiver: Receiver) -> None:
    job_id = watched_job(database, receiver.url, ("job.progress", "job.cancelled"))
    move(database, job_id, status="processing", stage="PROCESSING")
    move(database, job_id, stage="PROCESSING")  # a heartbeat
    send(webhooks)
    JobService(database).cancel(job_id)
    send(webhooks)
    assert [(body["type"], body["data"]["stage"]) for body in receiver.bodies] == [
        ("job.progress", "PROCESSING"),
        ("job.cancelled", "PROCESSING"),
    ]


def test_a_move_that_is_undone_tells_nobody(database: Database, webhooks: Webhooks, receiver: Receiver) -> None:
    job_id = watched_job(database, receiver.url)
    with pytest.raises(RuntimeError), database.transaction() as connection:
        connection.exec_driver_sql("UPDATE video_analysis_jobs SET status = 'done'")
        raise RuntimeError
    send(webhooks)
    assert (receiver.got, status_of(database, job_id)) == ([], [])


def test_a_failure_is_told_as_it_was_even_after_a_retry(
    database: Database, webhooks: Webhooks, receiver: Receiver
) -> None:
    job_id = watched_job(database, receiver.url)
    move(database, job_id, **FAILED)
    JobService(database).retry(job_id)
    JobService(database).cancel(job_id)
    send(webhooks)
    told = {body["type"]: body["data"] for body in receiver.bodies}
    assert set(told) == {"job.failed", "job.cancelled"}
    assert told["job.failed"]["error"] == {"code": "source_unreachable", "message": "No answer.", "retryable": True}
    assert told["job.failed"]["status"] == "failed" and told["job.failed"]["completed_at"] is not None
    assert told["job.cancelled"]["error"] is None


def test_both_secrets_sign_while_one_is_rotated(database: Database, webhooks: Webhooks, receiver: Receiver) -> None:
    def told() -> tuple[bytes, dict[str, str]]:
        job_id = watched_job(database, receiver.url)
        move(database, job_id, **FAILED)
        send(webhooks)
        return receiver.got[-1].body, receiver.got[-1].headers

    first = signing_secrets(database, "default")[0].text
    second = rotate_secret(database, "default")[0].text
    assert first != second
    message = told()
    for secret in (first, second):
        Webhook(secret).verify(*message)
    execute(database, "UPDATE webhook_secrets SET signs_until = now() WHERE signs_until IS NOT NULL")
    message = told()
    Webhook(second).verify(*message)
    with pytest.raises(WebhookVerificationError):
        Webhook(first).verify(*message)
    third = rotate_secret(database, "default", overlap_hours=0)[0].text  # the second leaked
    message = told()
    Webhook(third).verify(*message)
    with pytest.raises(WebhookVerificationError):
        Webhook(second).verify(*message)


def test_each_tenant_has_a_secret_of_its_own(database: Database, webhooks: Webhooks, receiver: Receiver) -> None:
    for tenant in ("acme", "globex"):
        move(database, watched_job(database, receiver.url, tenant=tenant), **FAILED)
        send(webhooks)
    acmes, globexes = (signing_secrets(database, tenant)[0].text for tenant in ("acme", "globex"))
    Webhook(acmes).verify(receiver.got[0].body, receiver.got[0].headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(globexes).verify(receiver.got[0].body, receiver.got[0].headers)


def test_it_is_tried_again_after_pauses_that_grow_then_given_up_and_sent_again_when_asked(
    database: Database, webhooks: Webhooks, receiver: Receiver, said: list[Said]
) -> None:
    job_id = watched_job(database, receiver.url)
    receiver.status = 500
    move(database, job_id, **FAILED)
    for pause in PAUSES_SEC:
        send(webhooks)
        assert pause - 5 <= pause_sec(database) <= pause * (1 + JITTER)
        count = len(receiver.got)
        send(webhooks)  # not due
        assert len(receiver.got) == count
        make_due(database)
    assert count_dead(database) == 0
    send(webhooks)
    assert len(receiver.got) == len(PAUSES_SEC) + 1 == 10
    assert len({(each.headers["webhook-id"], each.body) for each in receiver.got}) == 1
    (dead,) = dead_deliveries(database)
    assert (dead["status"], dead["tries"], dead["next_try_at"]) == ("dead", 10, None)
    assert [(each["status"], each["error"]) for each in dead["attempts"]] == [(500, "status 500")] * 10
    assert [each.event for each in said if each.event.startswith("webhook_")] == [
        *["webhook_failed"] * 9,
        "webhook_given_up",
    ]
    receiver.status = 204
    assert resend(database, job_id) == 1
    send(webhooks)
    assert (status_of(database, job_id), count_dead(database), resend(database, job_id)) == (["delivered"], 0, 0)
    assert receiver.got[-1].headers["webhook-id"] == receiver.got[0].headers["webhook-id"]


def test_progress_that_nobody_takes_is_given_up_soon(
    database: Database, webhooks: Webhooks, receiver: Receiver
) -> None:
    job_id = watched_job(database, receiver.url, ("job.progress",))
    receiver.status = 503
    move(database, job_id, status="processing", stage="PROCESSING")
    for _ in range(3):
        assert status_of(database, job_id) == ["pending"]
        send(webhooks)
        make_due(database)
    assert (status_of(database, job_id), len(receiver.got)) == (["dead"], 3)


@pytest.mark.parametrize(
    ("retry_after", "least_sec", "most_sec"),
    [
        ("600", 595, 600 * (1 + JITTER)),
        ("9" * 400, LONGEST_PAUSE_SEC - 5, LONGEST_PAUSE_SEC * (1 + JITTER)),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0, 5 * (1 + JITTER)),
        ("-5", 0, 5 * (1 + JITTER)),
    ],
)
def test_a_receiver_says_when_to_come_again_within_a_day(
    database: Database,
    webhooks: Webhooks,
    receiver: Receiver,
    retry_after: str,
    least_sec: float,
    most_sec: float,
) -> None:
    receiver.status, receiver.headers = 429, {"Retry-After": retry_after}
    move(database, watched_job(database, receiver.url), **FAILED)
    send(webhooks)
    assert least_sec <= pause_sec(database) <= most_sec


def test_gone_ends_it(database: Database, webhooks: Webhooks, receiver: Receiver) -> None:
    job_id = watched_job(database, receiver.url)
    receiver.status = 410
    move(database, job_id, **FAILED)
    send(webhooks)
    assert status_of(database, job_id) == ["dead"]


def test_a_redirect_is_neither_followed_nor_taken_for_an_answer(
    database: Database, webhooks: Webhooks, receiver: Receiver
) -> None:
    job_id = watched_job(database, receiver.url)
    with receiving() as inside:
        receiver.status, receiver.headers = 307, {"Location": f"{inside.address}/admin"}
        move(database, job_id, **FAILED)
        send(webhooks)
        assert (len(receiver.got), inside.got) == (1, [])
    (delivery,) = deliveries_of(database, job_id)
    assert (delivery["status"], delivery["attempts"][0]["error"]) == ("pending", "status 307")


def test_nobody_inside_is_told(database: Database, settings: Settings, receiver: Receiver) -> None:
    job_id = watched_job(database, receiver.url)
    move(database, job_id, **FAILED)
    send(Webhooks(database, settings.model_copy(update={"http_allow_private": False})))
    (delivery,) = deliveries_of(database, job_id)
    assert (receiver.got, delivery["status"]) == ([], "dead")
    assert "public internet" in delivery["attempts"][0]["error"]


def test_hosts_that_hang_hold_up_no_other(database: Database, webhooks: Webhooks, receiver: Receiver) -> None:
    with receiving() as hanging:
        hanging.may_answer.clear()
        for _ in range(3 * OF_ONE_HOST):
            move(database, watched_job(database, hanging.url), **FAILED)
        good = watched_job(database, receiver.url)
        move(database, good, **FAILED)
        webhooks.send_due()
        wait_until(lambda: receiver.got and len(hanging.got) == OF_ONE_HOST, 60, "the messages that may go")
        webhooks.send_due()
        assert status_of(database, good) == ["delivered"]
        assert len(hanging.got) == OF_ONE_HOST
        hanging.may_answer.set()
        webhooks.settle()
        send(webhooks)
        assert len(hanging.got) == 2 * OF_ONE_HOST


def test_a_tenant_whose_hosts_hang_holds_up_no_other(
    database: Database, webhooks: Webhooks, receiver: Receiver
) -> None:
    with ExitStack() as stack:
        hanging = [stack.enter_context(receiving()) for _ in range(OF_ONE_TENANT // OF_ONE_HOST + 1)]
        for each in hanging:
            each.may_answer.clear()
            for _ in range(OF_ONE_HOST):
                move(database, watched_job(database, each.url, tenant="hostile"), **FAILED)
        good = watched_job(database, receiver.url, tenant="good")
        move(database, good, **FAILED)
        webhooks.send_due()
        wait_until(lambda: receiver.got, 60, "the other tenant's message")
        taken = execute(database, "SELECT count(*) FROM webhook_messages WHERE tenant = 'hostile' AND tries > 0")
        assert taken == [(OF_ONE_TENANT,)]
        for each in hanging:
            each.may_answer.set()
        webhooks.settle()


def test_a_job_that_cannot_be_shown_keeps_no_other_from_being_told_of(
    database: Database, webhooks: Webhooks, receiver: Receiver, said: list[Said]
) -> None:
    broken, good = watched_job(database, receiver.url), watched_job(database, receiver.url)
    move(database, broken, **FAILED, width=None, probe='{"of": "a later version"}')
    move(database, good, **FAILED)
    send(webhooks)
    assert (status_of(database, broken), status_of(database, good)) == (["pending"], ["delivered"])
    (attempt,) = deliveries_of(database, broken)[0]["attempts"]
    assert "could not be made" in attempt["error"]
    assert [each.level for each in said if each.event == "webhook_failed"] == ["error", "warning"]


SENDER = """
import sys
from backend.db.engine import Database
from backend.db.tenancy import FLEET_ROLE
from backend.jobs.webhooks import Webhooks
from backend.settings import Settings
webhooks = Webhooks(Database(sys.argv[1]), Settings(HTTP_ALLOW_PRIVATE=True))
webhooks.send_due()
webhooks.settle()
"""


def test_a_sender_that_is_killed_loses_nothing(
    database: Database, database_url: str, webhooks: Webhooks, receiver: Receiver
) -> None:
    job_id = watched_job(database, receiver.url)
    move(database, job_id, **DONE)
    receiver.may_answer.clear()
    sender = subprocess.Popen([sys.executable, "-c", SENDER, database_url], cwd=PROJECT, env=os.environ)
    try:
        wait_until(lambda: receiver.got, 60, "the message of the other process")
    finally:
        sender.kill()
        sender.wait()
    receiver.may_answer.set()
    send(webhooks)
    assert len(receiver.got) == 1, "it is held for whoever took it, as long as a try may take"
    make_due(database)
    send(webhooks)
    assert status_of(database, job_id) == ["delivered"]
    assert len({(each.headers["webhook-id"], each.body) for each in receiver.got}) == 1 and len(receiver.got) == 2


def test_what_a_stale_sender_says_of_its_try_is_dropped(
    database: Database, settings: Settings, webhooks: Webhooks, receiver: Receiver
) -> None:
    job_id = watched_job(database, receiver.url)
    move(database, job_id, **DONE)
    receiver.status = 500
    webhooks.send_due()
    wait_until(lambda: receiver.got, 60, "the first try")
    make_due(database)  # it was frozen for longer than the hold
    receiver.status = 200
    send(Webhooks(database, settings))
    webhooks.settle()
    (delivery,) = deliveries_of(database, job_id)
    assert (delivery["status"], len(delivery["attempts"])) == ("delivered", 1)


def test_a_role_without_any_right_on_messages_ends_jobs_that_are_told_of(
    database: Database, database_url: str, receiver: Receiver
) -> None:
    """A service's, between a migration and the grants."""
    job_id = watched_job(database, receiver.url)
    name = sql.Identifier(f"narrow_{os.urandom(4).hex()}")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(name))
        connection.execute(sql.SQL("GRANT SELECT, UPDATE ON video_analysis_jobs TO {}").format(name))
        connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(FLEET_ROLE), name))
        connection.execute(sql.SQL("SET ROLE {}").format(name))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT count(*) FROM webhook_messages")
        connection.execute("UPDATE video_analysis_jobs SET status = 'cancelled'")
        connection.execute("RESET ROLE")
        connection.execute(sql.SQL("DROP OWNED BY {}").format(name))
        connection.execute(sql.SQL("DROP ROLE {}").format(name))
    assert [each["type"] for each in deliveries_of(database, job_id)] == ["job.cancelled"]


def test_a_tenants_request_sees_its_own_messages_and_no_secret(database: Database, receiver: Receiver) -> None:
    job_id = watched_job(database, receiver.url, tenant="acme")
    signing_secrets(database, "acme")
    acme, globex = database.as_tenant("acme"), database.as_tenant("globex")
    JobService(acme).cancel(job_id)
    assert [each["type"] for each in deliveries_of(acme, job_id)] == ["job.cancelled"]
    assert deliveries_of(globex, job_id) == []
    for statement in ("SELECT secret FROM webhook_secrets", "UPDATE webhook_messages SET due_at = now()"):
        with pytest.raises(ProgrammingError, match="permission denied"):
            execute(acme, statement)


def test_messages_go_with_their_job(database: Database, webhooks: Webhooks, receiver: Receiver) -> None:
    move(database, watched_job(database, receiver.url), **DONE)
    execute(database, "DELETE FROM video_analysis_jobs")
    send(webhooks)
    assert (receiver.got, execute(database, "SELECT count(*) FROM webhook_messages")) == ([], [(0,)])
