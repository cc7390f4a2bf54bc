"""The calls of ECS that a roll-out makes: revisions, services, one-off tasks. Their order is in deploy/roll.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

PATIENCE = Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard", "max_attempts": 5})


@dataclass(frozen=True)
class Rollout:
    """Where a service is on its way to one revision."""

    is_done: bool
    has_failed: bool
    words: str


@dataclass(frozen=True)
class TaskEnd:
    """How a task ended: each container's exit code, None where it never ran, and ECS's words."""

    codes: Mapping[str, int | None]
    reason: str


class EcsServices:
    """One cluster. Raises botocore's errors, and LookupError where a service or a task is not there."""

    def __init__(self, cluster: str, region: str | None) -> None:
        self._cluster = cluster
        self._client: Any = boto3.client("ecs", region_name=region, config=PATIENCE)

    def running_revision(self, service: str) -> str:
        """The ARN of the task definition that the service is told to run."""
        return str(self._service(service)["taskDefinition"])

    def new_revision(self, of: str, release: str) -> str:
        """A task definition as `of` (an ARN, or a family: its newest), with images of `release`. Returns its ARN."""
        answer = self._client.describe_task_definition(taskDefinition=of, include=["TAGS"])
        known = self._client.meta.service_model.operation_model("RegisterTaskDefinition").input_shape.members
        wanted = {key: value for key, value in answer["taskDefinition"].items() if key in known}
        for container in wanted["containerDefinitions"]:
            container["image"] = image_of(container["image"], release)
        if answer.get("tags"):
            wanted["tags"] = answer["tags"]
        return str(self._client.register_task_definition(**wanted)["taskDefinition"]["taskDefinitionArn"])

    def update(self, service: str, revision: str) -> None:
        self._client.update_service(cluster=self._cluster, service=service, taskDefinition=revision)

    def rollout(self, service: str, revision: str) -> Rollout:
        """Failed too where another revision has taken its place: the circuit breaker has gone back."""
        found = self._service(service)
        primary = next(each for each in found["deployments"] if each["status"] == "PRIMARY")
        words = primary.get("rolloutStateReason", "")
        if primary["taskDefinition"] != revision:
            failed: dict[str, Any] = next((it for it in found["deployments"] if it["taskDefinition"] == revision), {})
            reason = failed.get("rolloutStateReason") or "ECS went back to another revision."
            return Rollout(False, True, str(reason))
        if primary.get("rolloutState") == "FAILED":
            return Rollout(False, True, words)
        is_done = primary.get("rolloutState") == "COMPLETED" and len(found["deployments"]) == 1
        return Rollout(is_done, False, words)

    def start_task(self, revision: str, like_service: str, commands: Mapping[str, Sequence[str]] | None = None) -> str:
        """Starts one task on Fargate, in the network of that service; `commands` are other ones than the definition's,
        by container. Returns its ARN."""
        network, given = self._service(like_service)["networkConfiguration"], commands or {}
        answer = self._client.run_task(
            cluster=self._cluster,
            taskDefinition=revision,
            launchType="FARGATE",
            networkConfiguration=network,
            count=1,
            overrides={"containerOverrides": [{"name": name, "command": [*words]} for name, words in given.items()]},
        )
        if not answer["tasks"]:
            raise LookupError(f"The task was not started: {answer.get('failures')}")
        return str(answer["tasks"][0]["taskArn"])

    def ended_badly(self, task: str) -> str | None:
        """None while it runs; "" when every container of it ended with 0; else what went wrong."""
        end = self.end_of(task)
        if end is None or all(code == 0 for code in end.codes.values()):
            return None if end is None else ""
        return f"exit codes {dict(end.codes)}; {end.reason}"

    def end_of(self, task: str) -> TaskEnd | None:
        """None while it runs."""
        answer = self._client.describe_tasks(cluster=self._cluster, tasks=[task])
        if not answer["tasks"]:
            raise LookupError(f"The task {task} is gone: {answer.get('failures')}")
        found = answer["tasks"][0]
        if found["lastStatus"] != "STOPPED":
            return None
        codes = {each["name"]: each.get("exitCode") for each in found["containers"]}
        return TaskEnd(codes, found.get("stoppedReason", "no reason given"))

    def _service(self, name: str) -> dict[str, Any]:
        answer = self._client.describe_services(cluster=self._cluster, services=[name])
        if not answer["services"]:
            raise LookupError(f"The cluster {self._cluster} has no service {name}.")
        found: dict[str, Any] = answer["services"][0]
        return found


def image_of(image: str, release: str) -> str:
    """The same repository at another tag; `release` may be a digest (sha256:…) too."""
    repository = image.partition("@")[0]
    head, colon, tail = repository.rpartition(":")
    if colon and "/" not in tail:  # else the colon is that of a registry's port
        repository = head
    return f"{repository}@{release}" if release.startswith("sha256:") else f"{repository}:{release}"
