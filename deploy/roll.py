"""Brings a release onto a fleet on ECS: `python -m deploy.roll --name framefleet --release 0.2.0`.

Migration first, then analysis workers, GPU workers, and the API last (docs/operations.md, "Roll forward"). What ECS
cannot start it takes back by itself (deployment circuit breaker); then what this run has moved already goes back too.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from deploy.ecs_services import EcsServices

ORDER = ("analysis-worker", "gpu-worker", "api")
MIGRATION = "migrate"
POLL_SEC = 10.0
# ECS answers from copies that may be a moment behind: what looks failed once is looked at again.
LOOKS_BEFORE_FAILED = 2


class RollFailed(click.ClickException):
    """Exit code 1. The message says what failed and what runs now."""


class Roll:
    """One fleet, whose services and families are called `<name>-api` and so on (deploy/ecs)."""

    def __init__(
        self, services: EcsServices, name: str, timeout_sec: float, migration_sec: float, poll_sec: float = POLL_SEC
    ) -> None:
        self._services = services
        self._name = name
        self._timeout_sec = timeout_sec
        self._migration_sec = migration_sec
        self._poll_sec = poll_sec

    def forward(self, release: str) -> dict[str, dict[str, str]]:
        """Each service's revision before and after. Raises RollFailed, after going back with what was moved."""
        before = {service: self._services.running_revision(self._full(service)) for service in ORDER}
        after = {service: self._services.new_revision(revision, release) for service, revision in before.items()}
        self._migrate(release)
        moved: dict[str, str] = {}
        try:
            for service in ORDER:
                moved[service] = before[service]
                self._move(service, after[service])
        except RollFailed as failure:
            self._go_back(moved, failure)
        return {service: {"from": before[service], "to": after[service]} for service in ORDER}

    def back(self, revisions: Mapping[str, str]) -> None:
        """Puts services back to these revisions, API last. Raises RollFailed."""
        for service in ORDER:
            if service in revisions:
                self._move(service, revisions[service])

    def _full(self, service: str) -> str:
        return f"{self._name}-{service}"

    def _migrate(self, release: str) -> None:
        revision = self._services.new_revision(self._full(MIGRATION), release)
        task = self._services.start_task(revision, self._full("api"))
        click.echo(f"migrate: {task}", err=True)
        ended = self._waited(lambda: self._services.ended_badly(task), "the migration", self._migration_sec)
        if ended:
            raise RollFailed(
                f"The migration failed ({ended}); no service was touched. Log group: /{self._name}/{MIGRATION}."
            )

    def _move(self, service: str, revision: str) -> None:
        click.echo(f"{service}: {revision}", err=True)
        self._services.update(self._full(service), revision)

        failed_looks = 0

        def ended() -> str | None:
            nonlocal failed_looks
            now = self._services.rollout(self._full(service), revision)
            failed_looks = failed_looks + 1 if now.has_failed else 0
            if failed_looks >= LOOKS_BEFORE_FAILED:
                raise RollFailed(f"{service} did not come up: {now.words}")
            return now.words if now.is_done else None

        self._waited(ended, service, self._timeout_sec)

    def _waited(self, look: Callable[[], str | None], what: str, timeout_sec: float) -> str:
        give_up_at = time.monotonic() + timeout_sec
        while (found := look()) is None:
            if time.monotonic() > give_up_at:
                raise RollFailed(f"After {timeout_sec:.0f} s {what} is still under way.")
            time.sleep(self._poll_sec)
        return found

    def _go_back(self, moved: Mapping[str, str], failure: RollFailed) -> None:
        click.echo(f"{failure.message}; going back", err=True)
        try:
            self.back(moved)
        except RollFailed as worse:
            raise RollFailed(f"{failure.message} Going back failed too: {worse.message}") from failure
        raise RollFailed(f"{failure.message} The revisions before run again; the tables stay migrated.") from failure


@click.command()
@click.option("--name", default="framefleet", show_default=True, help="The installation's, as in terraform.tfvars.")
@click.option("--cluster", help="The ECS cluster; the name, unless said.")
@click.option("--region", help="AWS region; the environment's, unless said.")
@click.option("--release", help="Tag of the images, such as 0.2.0.")
@click.option(
    "--back",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Instead: go back to where the services were before the run that printed this file.",
)
@click.option("--timeout", "timeout_sec", default=1800.0, show_default=True, help="Seconds for each service.")
@click.option("--migration-timeout", "migration_sec", default=7200.0, show_default=True, help="Seconds for that.")
@click.option("--poll", "poll_sec", default=POLL_SEC, show_default=True, help="Seconds between two looks.")
def main(
    name: str,
    cluster: str | None,
    region: str | None,
    release: str | None,
    back: Path | None,
    timeout_sec: float,
    migration_sec: float,
    poll_sec: float,
) -> None:
    """Migrates, then moves analysis workers, GPU workers and the API to a release, each when the one before runs.

    Prints one JSON object: each service's revision before and after. Exit codes: 0 done, 1 failed, 2 bad arguments.
    """
    if (release is None) == (back is None):
        raise click.UsageError("say --release TAG or --back FILE.")
    try:
        roll = Roll(EcsServices(cluster or name, region), name, timeout_sec, migration_sec, poll_sec)
        if back is not None:
            roll.back(_earlier(json.loads(back.read_text())))
        elif release is not None:
            click.echo(json.dumps(roll.forward(release)))
    except (BotoCoreError, ClientError, LookupError) as failure:
        raise RollFailed(str(failure)) from failure


def _earlier(told: dict[str, Any]) -> dict[str, str]:
    return {service: str(revisions["from"]) for service, revisions in told.items()}


if __name__ == "__main__":
    sys.exit(main())
