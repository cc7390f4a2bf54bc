"""What the roles may do: as little as docs/running.md says, and no `*` that nobody gave a reason for."""

from __future__ import annotations

import json
from string import Template
from typing import Any

import pytest

from deploy.ecs.aws_requests import policies
from deploy.ecs.sources import HERE, read
from deploy.ecs.values import read_values
from tests.iam import findings

VALUES = read_values(HERE / "values.example.json")
OF_CI = {f"ci/{path.stem}": path for path in sorted((HERE.parent / "ci").glob("role-*.json"))}
DOCUMENTS = policies(VALUES)
TRUST = ("trust_tasks", "trust_instances")
# Made of several files; those with the same beginning come from the same.
SOURCES = {"start": "execution", "read-our-videos": "read_inputs", "write-our-films": "write_outputs"}


def source(name: str) -> str:
    role, _, policy = name.partition(".")
    if not policy:
        return role
    if policy == "work":
        return f"{role.removesuffix('-task').replace('-', '_')}_task"
    return SOURCES.get(policy, "read_secret")


def test_every_file_is_looked_at() -> None:
    assert {source(name) for name in DOCUMENTS} == {path.stem for path in (HERE / "policies").glob("*.json")} - {
        "exceptions"
    }


@pytest.mark.parametrize("name", sorted(set(DOCUMENTS) - set(TRUST)))
def test_parliament_finds_nothing(name: str) -> None:
    assert findings(DOCUMENTS[name]) == []


@pytest.mark.parametrize("name", sorted(OF_CI))
def test_parliament_finds_nothing_in_what_releases_may_do(name: str) -> None:
    assert findings(of_ci(name)) == []


def of_ci(name: str) -> dict[str, Any]:
    """As an operator fills it in (docs/release.md)."""
    document: dict[str, Any] = json.loads(Template(OF_CI[name].read_text()).substitute(VALUES.for_templates()))
    return document


@pytest.mark.parametrize(
    ("action", "resource", "finding"),
    [
        ("s3:GetObjekt", "*", "UNKNOWN_ACTION"),
        ("s3:GetObject", "arn:aws:s3:::bucket", "RESOURCE_MISMATCH"),
    ],
)
def test_parliament_would_find_something(action: str, resource: str, finding: str) -> None:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    assert finding in findings({"Version": "2012-10-17", "Statement": [statement]})[0]


def stars(document: dict[str, Any]) -> set[tuple[str, str]]:
    """(Sid, field) of every statement with a `*` in an action, a resource or a principal."""
    return {
        (statement["Sid"], field)
        for statement in document["Statement"]
        for field in ("Action", "Resource", "Principal", "NotAction", "NotResource")
        if "*" in json.dumps(statement.get(field, ""))
    }


def test_every_star_has_a_reason_and_every_reason_a_star() -> None:
    allowed = {
        (each["policy"], each["sid"], each["field"]) for each in read("policies/exceptions.json") if each["reason"]
    }
    found = {(source(name), *star) for name, document in DOCUMENTS.items() for star in stars(document)}
    found |= {(name, *star) for name in OF_CI for star in stars(of_ci(name))}
    assert found == allowed


def allowed_actions(role: str) -> set[str]:
    found = set()
    for name, document in DOCUMENTS.items():
        if name.startswith(f"{role}."):
            for statement in document["Statement"]:
                assert statement["Effect"] == "Allow"
                action = statement["Action"]
                found |= {action} if isinstance(action, str) else set(action)
    return found


OBJECTS = {"s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListBucket", "s3:PutObject"}
PROTECTION = {"ecs:GetTaskProtection", "ecs:UpdateTaskProtection"}


def test_each_service_may_do_its_own_and_no_more() -> None:
    assert allowed_actions("api-task") == OBJECTS | {"s3:ListMultipartUploadParts"}
    assert allowed_actions("gpu-worker-task") == OBJECTS | PROTECTION
    assert allowed_actions("analysis-worker-task") == OBJECTS | PROTECTION | {
        "cloudwatch:PutMetricData",
        read("scaling.json")["metrics"]["desired_count_permission"],
    }
    assert allowed_actions("migrate-task") == set()


def test_what_starts_a_task_reads_its_own_image_log_and_secrets_alone() -> None:
    for role, image in (("api", "api"), ("analysis-worker", "analysis-worker"), ("migrate", "api")):
        start = {
            statement["Sid"]: statement["Resource"] for statement in DOCUMENTS[f"{role}-execution.start"]["Statement"]
        }
        assert start["PullOneImage"].endswith(f":repository/framefleet/{image}")
        assert f":log-group:/framefleet/{role}:" in start["WriteOneLog"]
    assert not [name for name in DOCUMENTS if name.startswith("gpu-worker-execution.read-owner")]


def test_only_tasks_and_instances_of_this_account_take_the_roles() -> None:
    (tasks,), (instances,) = (DOCUMENTS[name]["Statement"] for name in TRUST)
    assert tasks["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert tasks["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    assert instances["Principal"] == {"Service": "ec2.amazonaws.com"}
