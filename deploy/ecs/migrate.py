"""`python -m deploy.ecs.migrate --name framefleet`: runs the migration task and waits for its end.

For the first time, when no service runs yet; after that a release is brought on by deploy/roll.py, which migrates too.
Exit code 0 when every container of the task ended with 0, else 1 and why.
"""

from __future__ import annotations

import time

import click
from botocore.exceptions import BotoCoreError, ClientError

from deploy.ecs.sources import DeployError
from deploy.ecs_services import EcsServices

# A table of years may be rewritten: as long as a migration's own statements may take (backend/db/migrate.py).
PATIENCE_SEC = 6 * 3600.0


def migrate(services: EcsServices, name: str, ask_every_sec: float) -> str:
    """The task's ARN. Raises DeployError when it did not end well; LookupError, ClientError when it could not start."""
    task = services.start_task(f"{name}-migrate", f"{name}-api")
    click.echo(f"started {task}", err=True)
    give_up_at = time.monotonic() + PATIENCE_SEC
    while (trouble := services.ended_badly(task)) is None:
        if time.monotonic() > give_up_at:
            raise DeployError(f"{task} has run for {PATIENCE_SEC / 3600:g} hours: look at its log first.")
        time.sleep(ask_every_sec)
    if trouble:
        raise DeployError(
            f"The migration did not end well: {trouble}. Its log is in the group /{name}/migrate, streams that end with"
            f" {task.rpartition('/')[2]}. No service was touched."
        )
    return task


@click.command(help=__doc__)
@click.option("--name", default="framefleet", show_default=True, help="The installation's, as in terraform.tfvars.")
@click.option("--region", help="AWS region; the environment's, unless said.")
@click.option("--poll", "ask_every_sec", default=5.0, show_default=True, help="Seconds between two looks.")
def main(name: str, region: str | None, ask_every_sec: float) -> None:
    try:
        migrate(EcsServices(name, region), name, ask_every_sec)
    except (DeployError, LookupError, ClientError, BotoCoreError) as error:
        raise click.ClickException(str(error)) from error
    click.echo("The database is ready for this release.", err=True)


if __name__ == "__main__":
    main()
