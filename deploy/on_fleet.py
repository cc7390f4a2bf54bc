"""Runs a command inside a fleet on ECS, where its database can be reached, and prints what it says.

    python -m deploy.on_fleet --name framefleet framefleet list --status failed
    python -m deploy.on_fleet --name framefleet --owner alembic current

A task of its own, from the analysis worker's definition (with --owner: the migration's, which logs in as the owner of
the tables). Its output lies in CloudWatch afterwards.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError

from deploy.ecs_services import PATIENCE, EcsServices, TaskEnd

NO_STREAM = "ResourceNotFoundException"
# CloudWatch shows lines some seconds after they were written; a command that says nothing is waited for in vain.
LOG_LOOKS = 4
PRINT_A_SECRET = (("framefleet", "remote", "add"), ("framefleet", "keys", "make"), ("framefleet", "keys", "create"))
# Of a key that was made elsewhere: then none is printed.
IS_KNOWN = "--stored"


class NoAnswer(click.ClickException):
    """Exit code 1: the command's own is not known."""


def run(services: EcsServices, name: str, part: str, words: Sequence[str], timeout_sec: float, poll_sec: float) -> str:
    """Starts the command in place of `part`'s own. Returns the task's ARN once it has ended; see `code_of`."""
    revision = f"{name}-{part}" if part == "migrate" else services.running_revision(f"{name}-{part}")
    task = services.start_task(revision, f"{name}-analysis-worker", {part: words})
    click.echo(f"started {task}; a minute or so", err=True)
    give_up_at = time.monotonic() + timeout_sec
    while services.end_of(task) is None:
        if time.monotonic() > give_up_at:
            raise NoAnswer(f"After {timeout_sec:.0f} s it still runs: {task}. aws ecs stop-task ends it.")
        time.sleep(poll_sec)
    return task


def code_of(end: TaskEnd, part: str) -> int:
    """The command's exit code. Raises NoAnswer when it never ran."""
    code = end.codes.get(part)
    if code is None:
        raise NoAnswer(f"The command never ran: {end.reason}")
    return code


def said_by(logs: Any, name: str, part: str, task: str, poll_sec: float) -> list[str]:
    """The lines that a task that has ended wrote, as far as CloudWatch shows them by now."""
    for look in range(LOG_LOOKS):
        time.sleep(poll_sec if look else 0.0)
        if lines := list(_lines(logs, name, part, task)):
            return lines
    return []


def _lines(logs: Any, name: str, part: str, task: str) -> Iterator[str]:
    """What it said, in order; nothing where it said nothing."""
    place = {"logGroupName": f"/{name}/{part}", "logStreamName": f"{part}/{part}/{task.rpartition('/')[2]}"}
    token: dict[str, str] = {}
    while True:
        try:
            page = logs.get_log_events(**place, **token, startFromHead=True)
        except ClientError as failure:
            if failure.response["Error"]["Code"] == NO_STREAM:
                return
            raise
        yield from (event["message"] for event in page["events"])
        if page["nextForwardToken"] == token.get("nextToken"):
            return
        token = {"nextToken": page["nextForwardToken"]}


@click.command(help=__doc__, context_settings={"allow_interspersed_args": False})
@click.option("--name", default="framefleet", show_default=True, help="The installation's, as in terraform.tfvars.")
@click.option("--region", help="AWS region; the environment's, unless said.")
@click.option("--owner", is_flag=True, help="As the owner of the tables.")
@click.option("--timeout", "timeout_sec", default=900.0, show_default=True, help="Seconds.")
@click.option("--poll", "poll_sec", default=3.0, show_default=True, help="Seconds between two looks.")
@click.argument("words", nargs=-1, required=True)
def main(
    name: str, region: str | None, owner: bool, timeout_sec: float, poll_sec: float, words: tuple[str, ...]
) -> None:
    if words[:3] in PRINT_A_SECRET and IS_KNOWN not in words:
        raise click.UsageError("the secret that this prints would stay in CloudWatch: docs/keys.md says how else.")
    part = "migrate" if owner else "analysis-worker"
    try:
        services = EcsServices(name, region)
        task = run(services, name, part, words, timeout_sec, poll_sec)
        logs = boto3.client("logs", region_name=region, config=PATIENCE)
        click.echo("".join(f"{line}\n" for line in said_by(logs, name, part, task, poll_sec)), nl=False)
        end = services.end_of(task)
    except (BotoCoreError, ClientError, LookupError) as failure:
        raise NoAnswer(str(failure)) from failure
    assert end is not None, "it was seen to have ended"
    sys.exit(code_of(end, part))


if __name__ == "__main__":
    main()
