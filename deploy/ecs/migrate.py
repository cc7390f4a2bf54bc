"""`python -m deploy.ecs.migrate --outputs outputs.json`: runs the migration task and waits for its end.

Before the services of a release. Exit code 0 when every container of the task ended with 0, else 1 and why.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError

from deploy.ecs.outputs import Outputs, read_outputs
from deploy.ecs.sources import DeployError

ASK_EVERY_SEC = 5.0
# A table of years may be rewritten: as long as a migration's own statements may take (backend/db/migrate.py).
PATIENCE_SEC = 6 * 3600.0


def migrate(client: Any, outputs: Outputs, say: Callable[[str], None], ask_every_sec: float = ASK_EVERY_SEC) -> None:
    """Raises DeployError when the task did not start, or did not end well; ClientError when AWS refuses."""
    task_arn = _started(client, outputs)
    say(f"started {task_arn}")
    task = _ended(client, outputs.cluster, task_arn, say, ask_every_sec)
    if troubles := [words for container in task["containers"] if (words := _trouble(container))]:
        why = f" {task['stoppedReason']}." if task.get("stoppedReason") else ""
        raise DeployError(
            f"The migration did not end well: {'; '.join(troubles)}.{why} Its log: the group that ends with /migrate,"
            f" streams …/{task_arn.rpartition('/')[2]}. Nothing else was changed: the running services stay."
        )
    say("the database is ready for this release")


def _started(client: Any, outputs: Outputs) -> str:
    network = {
        "subnets": outputs.task_subnets,
        "securityGroups": outputs.task_security_groups,
        "assignPublicIp": "DISABLED",
    }
    answer = client.run_task(
        cluster=outputs.cluster,
        taskDefinition=outputs.migrate_task_definition,
        launchType="FARGATE",
        startedBy="framefleet-migrate",
        networkConfiguration={"awsvpcConfiguration": network},
    )
    if answer.get("failures") or not answer["tasks"]:
        reasons = ", ".join(failure.get("reason", "unknown") for failure in answer.get("failures", [])) or "no task"
        raise DeployError(f"The migration task was not started: {reasons}. Mend that and run this again.")
    return str(answer["tasks"][0]["taskArn"])


def _ended(client: Any, cluster: str, task_arn: str, say: Callable[[str], None], ask_every_sec: float) -> dict[str, Any]:
    give_up_at, told = time.monotonic() + PATIENCE_SEC, ""
    while time.monotonic() < give_up_at:
        found = client.describe_tasks(cluster=cluster, tasks=[task_arn])["tasks"]
        if not found:
            raise DeployError(f"{task_arn} is unknown to the cluster {cluster}: look there whether it ran.")
        task: dict[str, Any] = found[0]
        if task["lastStatus"] != told:
            told = task["lastStatus"]
            say(told.lower())
        if told == "STOPPED":
            return task
        time.sleep(ask_every_sec)
    raise DeployError(f"{task_arn} has run for {PATIENCE_SEC / 3600:g} hours: look at its log before anything else.")


def _trouble(container: dict[str, Any]) -> str | None:
    code = container.get("exitCode")
    if code == 0:
        return None
    ending = "never ran" if code is None else f"ended with {code}"
    reason = f" ({container['reason']})" if container.get("reason") else ""
    return f"{container['name']} {ending}{reason}"


@click.command(help=__doc__)
@click.option("--outputs", "path", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(path: Path) -> None:
    try:
        outputs = read_outputs(path)
        client = boto3.client("ecs", region_name=outputs.region)
        migrate(client, outputs, lambda words: click.echo(words, err=True))
    except (DeployError, ClientError, BotoCoreError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
