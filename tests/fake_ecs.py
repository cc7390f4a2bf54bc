"""ECS as a roll-out sees it, on loopback: revisions, services whose deployments take two looks, a circuit breaker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.loopback import Request, loopback

ARN = "arn:aws:ecs:eu-west-1:123456789012"
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}}
SERVICES = ("analysis-worker", "gpu-worker", "api")


def task_definition(family: str, revision: int, tag: str) -> dict[str, Any]:
    image = "api" if family.endswith("migrate") else family.partition("-")[2]
    return {
        "taskDefinitionArn": f"{ARN}:task-definition/{family}:{revision}",
        "family": family,
        "revision": revision,
        "status": "ACTIVE",
        "networkMode": "awsvpc",
        "taskRoleArn": f"arn:aws:iam::123456789012:role/{family}-task",
        "requiresAttributes": [{"name": "com.amazonaws.ecs.capability.docker-remote-api.1.18"}],
        "compatibilities": ["EC2", "FARGATE"],
        "registeredBy": "arn:aws:iam::123456789012:root",
        "containerDefinitions": [
            {
                "name": image,
                "image": f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/framefleet/{image}:{tag}",
                "environment": [{"name": "DRAIN_SECONDS", "value": "100"}],
                "secrets": [{"name": "DATABASE_URL", "valueFrom": "arn:aws:secretsmanager:eu-west-1:1:secret:url"}],
            }
        ],
    }


@dataclass
class Ecs:
    """`broken`: services that do not come up on another revision than their first."""

    broken: set[str] = field(default_factory=set)
    stuck: set[str] = field(default_factory=set)
    stale_looks: int = 0  # after each update, answers of a copy that has not heard of it
    migration_exit: int | None = 0  # of a task's container; None: it never ran
    container: str = "api"
    said: list[str] = field(default_factory=list)  # what a task wrote, a line a page
    log_is_behind: int = 0  # so many looks see nothing yet
    definitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    running: dict[str, str] = field(default_factory=dict)
    wanted: dict[str, str] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in (*SERVICES, "migrate"):
            definition = task_definition(f"fleet-{name}", 1, "0.1.0")
            self.definitions[definition["taskDefinitionArn"]] = definition
            if name != "migrate":
                self.first[name] = self.running[name] = self.wanted[name] = definition["taskDefinitionArn"]

    def __call__(self, request: Request) -> tuple[int, bytes]:
        operation = request.headers["x-amz-target"].partition(".")[2]
        asked = json.loads(request.body)
        self.asked.append({"operation": operation, **asked})
        if "cluster" in asked:
            assert asked["cluster"] == "fleet"
        answer = getattr(self, f"_{operation}")(asked)
        return 400 if "__type" in answer else 200, json.dumps(answer).encode()

    def image(self, service: str) -> str:
        return str(self.definitions[self.running[service]]["containerDefinitions"][0]["image"])

    def _DescribeTaskDefinition(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {
            "taskDefinition": self.definitions[self._newest(asked["taskDefinition"])],
            "tags": [{"key": "team", "value": "films"}],
        }

    def _RegisterTaskDefinition(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        revision = 1 + sum(it["family"] == asked["family"] for it in self.definitions.values())
        arn = f"{ARN}:task-definition/{asked['family']}:{revision}"
        self.definitions[arn] = {**asked, "taskDefinitionArn": arn, "revision": revision}
        return {"taskDefinition": self.definitions[arn]}

    def _UpdateService(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        service = asked["service"].removeprefix("fleet-")
        self.wanted[service], self.looks[service] = asked["taskDefinition"], -self.stale_looks
        self.events.append(f"{service} -> {self._tag(asked['taskDefinition'])}")
        return {}

    def _DescribeServices(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        (name,) = asked["services"]
        service = name.removeprefix("fleet-")
        if service not in self.running:
            return {"services": [], "failures": [{"reason": "MISSING"}]}
        deployments = self._deployments(service)
        found = {"taskDefinition": deployments[0]["taskDefinition"], "deployments": deployments}
        return {"services": [{"serviceName": name, "networkConfiguration": NETWORK, **found}]}

    def _deployments(self, service: str) -> list[dict[str, Any]]:
        before, wanted = self.running[service], self.wanted[service]
        self.looks[service] = looks = self.looks.get(service, 0) + 1
        old = {"status": "PRIMARY", "taskDefinition": before, "rolloutState": "COMPLETED"}
        if wanted == before or looks <= 0:
            return [old]
        new = {"status": "PRIMARY", "taskDefinition": wanted, "rolloutState": "IN_PROGRESS"}
        if looks == 1 or service in self.stuck:
            return [new, {**old, "status": "ACTIVE"}]
        if service in self.broken and wanted != self.first[service]:
            if looks > 2:
                self.wanted[service] = before
            failed = {"status": "ACTIVE", "rolloutState": "FAILED", "rolloutStateReason": "tasks failed to start."}
            return [{**old, "rolloutState": "IN_PROGRESS"}, {**new, **failed}]
        self.running[service] = wanted
        self.events.append(f"{service} runs {self._tag(wanted)}")
        return [{**new, "rolloutState": "COMPLETED"}]

    def _RunTask(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        assert (asked["networkConfiguration"], asked["launchType"]) == (NETWORK, "FARGATE")
        overrides = {each["name"]: each["command"] for each in asked["overrides"]["containerOverrides"]}
        for container, command in overrides.items():
            self.events.append(f"{container}: {' '.join(command)}")
            self.container = container
        if not overrides:
            self.events.append(f"migrate {self._tag(asked['taskDefinition'])}")
        self.looks["migrate"] = 0
        return {"tasks": [{"taskArn": f"{ARN}:task/fleet/1"}], "failures": []}

    def _DescribeTasks(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self.looks["migrate"] += 1
        if self.looks["migrate"] < 2:
            return {"tasks": [{"lastStatus": "PENDING", "containers": [{"name": self.container}]}]}
        if self.looks["migrate"] == 2:
            self.events.append("migrated")
        ended = {"lastStatus": "STOPPED", "stoppedReason": "Essential container in task exited"}
        exited = {} if self.migration_exit is None else {"exitCode": self.migration_exit}
        return {"tasks": [{**ended, "containers": [{"name": self.container, **exited}]}]}

    def _GetLogEvents(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self.events.append(f"{asked['logGroupName']} {asked['logStreamName']}")
        self.log_is_behind -= 1
        if not self.said or self.log_is_behind >= 0:
            return {"__type": "ResourceNotFoundException", "message": "no stream"}
        page = int(asked.get("nextToken", "0"))
        events = [{"message": line, "timestamp": 1} for line in self.said[page : page + 1]]
        return {"events": events, "nextForwardToken": str(min(page + 1, len(self.said)))}

    def _newest(self, named: str) -> str:
        return [arn for arn, it in self.definitions.items() if named in (arn, it["family"])][-1]

    def _tag(self, named: str) -> str:
        return str(self.definitions[self._newest(named)]["containerDefinitions"][0]["image"].rpartition(":")[2])


@contextmanager
def ecs_on_loopback(ecs: Ecs, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with loopback(ecs) as address:
        for name, value in {
            "AWS_ENDPOINT_URL_ECS": address,
            "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": address,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }.items():
            monkeypatch.setenv(name, value)
        yield
