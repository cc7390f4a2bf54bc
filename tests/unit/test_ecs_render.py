"""What people without Terraform get: the same task definitions, policies, alarms and rules, from the same files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from click.testing import CliRunner, Result

from backend.settings import Settings
from deploy.ecs.known_names import looks_secret
from deploy.ecs.render import main, rendered
from deploy.ecs.sources import HERE, SERVICES, TASKS, placeholders
from deploy.ecs.values import read_values

EXAMPLE = json.loads((HERE / "values.example.json").read_text())
MAY_BE_LEFT_OUT = {"runbook_url", "environment", "secrets", "sizes", "input_buckets", "output_buckets"}
FILES = rendered(read_values(HERE / "values.example.json"))


def render(values: dict[str, Any], folder: Path) -> Result:
    path = folder / "values.json"
    path.write_text(json.dumps(values))
    return CliRunner().invoke(main, ["--values", str(path), "--out", str(folder / "out")])


def container(task: str, number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = FILES[f"task_definitions/{task}.json"]["containerDefinitions"][number]
    return found


def environment(task: str) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container(task)["environment"]}


def test_every_file_is_json_with_no_placeholder_left(tmp_path: Path) -> None:
    assert render(EXAMPLE, tmp_path).exit_code == 0
    written = {str(path.relative_to(tmp_path / "out")): path.read_text() for path in (tmp_path / "out").rglob("*.json")}
    assert written.keys() == FILES.keys()
    assert {name: json.loads(text) for name, text in written.items()} == FILES
    assert [name for name, text in written.items() if "${" in text] == []
    assert {f"task_definitions/{task}.json" for task in TASKS} | {"scaling/target.json", "dashboard.json"} <= set(
        written
    )


REQUESTS = {
    "task_definitions/": ("ecs", "RegisterTaskDefinition"),
    "alarms/": ("cloudwatch", "PutMetricAlarm"),
    "scaling/alarm-": ("cloudwatch", "PutMetricAlarm"),
    "scaling/policy-": ("application-autoscaling", "PutScalingPolicy"),
    "scaling/target": ("application-autoscaling", "RegisterScalableTarget"),
}


@pytest.mark.parametrize("begins", REQUESTS)
def test_aws_would_know_every_key_and_type(begins: str) -> None:
    service, operation = REQUESTS[begins]
    shape = botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape
    requests = {name: request for name, request in FILES.items() if name.startswith(begins)}
    assert requests
    for name, request in requests.items():
        assert ParamValidator().validate(request, shape).generate_report() == "", name


@pytest.mark.parametrize("name", sorted(set(EXAMPLE) - MAY_BE_LEFT_OUT))
def test_a_value_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    answer = render({key: value for key, value in EXAMPLE.items() if key != name}, tmp_path)
    assert answer.exit_code == 1
    assert f"{name}: this value is missing" in answer.stderr


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("regoin", "eu-west-1", "regoin: no such value is known"),
        ("release", "latest", "latest is no release"),
        ("account_id", "12", "account_id: string should match pattern"),
        ("secrets", {"PROCESS_TOKEN": "hunter22"}, "secrets.PROCESS_TOKEN: string should match pattern"),
        ("environment", {"PROCESS_TOKEN": "hunter22"}, "PROCESS_TOKEN in environment is a secret"),
        ("environment", {"CHUNK_SECOND": "30"}, "did you mean CHUNK_SECONDS?"),
        ("sizes", {"api": {"memory_mib": 1}}, "memory '1' does not go with cpu 1024 on Fargate"),
    ],
)
def test_a_wrong_value_is_said_and_nothing_is_written(tmp_path: Path, name: str, value: Any, says: str) -> None:
    answer = render({**EXAMPLE, name: value}, tmp_path)
    assert answer.exit_code == 1
    assert says in answer.stderr
    assert not (tmp_path / "out").exists()


def test_quotes_in_a_value_stay_in_their_string(tmp_path: Path) -> None:
    assert render({**EXAMPLE, "runbook_url": 'x", "user": "root'}, tmp_path).exit_code == 0
    assert (
        'x", "user": "root#alarm-'
        in json.loads((tmp_path / "out/alarms/many-queued.json").read_text())["AlarmDescription"]
    )


def test_every_placeholder_is_a_value_of_terraform_too() -> None:
    """Both fill in the same files: a name that one of them lacks would be found there alone, and late."""
    terraform = "".join((HERE / name).read_text() for name in ("roles.tf", "services.tf", "alarms.tf", "storage.tf"))
    given = set(re.findall(r"^\s*(\w+)\s*= ", terraform, re.MULTILINE)) | set(re.findall(r"[{,] ?(\w+) = ", terraform))
    for folder in ("task_definitions", "policies"):
        for path in (HERE / folder).glob("*.json"):
            assert placeholders(f"{folder}/{path.name}") <= given, path.name
    assert placeholders("dashboard.json") <= given


def test_no_file_has_a_secret_in_it() -> None:
    for name, document in FILES.items():
        for text in strings(document):
            assert not looks_secret("", text), name
    for task in TASKS:
        for number in range(len(FILES[f"task_definitions/{task}.json"]["containerDefinitions"])):
            for entry in container(task, number)["environment"]:
                assert not looks_secret(entry["name"], entry["value"])
            for secret in container(task, number)["secrets"]:
                assert secret["valueFrom"].startswith("arn:aws:secretsmanager:")


def strings(document: Any) -> list[str]:
    if isinstance(document, dict):
        return [text for value in document.values() for text in strings(value)]
    if isinstance(document, list):
        return [text for value in document for text in strings(value)]
    return [document] if isinstance(document, str) and not document.startswith("arn:") else []


def test_the_owners_password_goes_to_the_migration_alone() -> None:
    owner = EXAMPLE["database_owner_secret_arn"]
    holders = {task for task in TASKS if owner in json.dumps(FILES[f"task_definitions/{task}.json"])}
    readers = {
        name for name, document in FILES.items() if name.startswith("policies/") and owner in json.dumps(document)
    }
    assert holders == {"migrate"}
    assert readers == {"policies/migrate-execution.read-owner.json"}


@pytest.mark.parametrize("task", SERVICES)
def test_the_coachs_settings_are_heard_under_their_names(task: str) -> None:
    settings = Settings.model_validate(environment(task))
    assert settings.storage_root_url == f"s3://{EXAMPLE['bucket']}"
    assert (settings.s3_region, settings.chunk_seconds, settings.sample_fps) == ("eu-west-1", 30, 10)
    assert (settings.max_width, settings.poll_seconds, settings.conf) == (640, 1, 0.3)
    assert settings.data_dir.is_relative_to("/tmp")


def test_the_analysis_worker_sends_the_metrics_that_the_rules_read() -> None:
    settings = Settings.model_validate(environment("analysis_worker"))
    target = FILES["scaling/target.json"]
    policy = FILES["scaling/policy-backlog-per-worker.json"]
    metric = policy["TargetTrackingScalingPolicyConfiguration"]["CustomizedMetricSpecification"]
    assert settings.metrics == "cloudwatch"
    assert metric["Namespace"] == settings.metrics_namespace
    assert metric["Dimensions"] == [{"Name": "Service", "Value": settings.metrics_service}]
    assert target["ResourceId"] == f"service/{settings.fleet_ecs_service}"
    assert "METRICS" not in environment("gpu_worker")


def test_sizes_replace_what_they_name() -> None:
    definition = FILES["task_definitions/analysis_worker.json"]
    assert (definition["cpu"], definition["memory"], definition["ephemeralStorage"]) == (
        "8192",
        "16384",
        {"sizeInGiB": 100},
    )


def test_images_may_be_written_to_where_the_scratch_volume_is() -> None:
    """On Fargate an empty volume is root's, unless the image has VOLUME there: then it is as the image's folder is."""
    dockerfile = (HERE.parents[1] / "docker" / "Dockerfile").read_text()
    for target in ("api", "analysis-worker", "gpu-worker"):
        stage = re.search(rf"^FROM \S+ AS {target}$(.*?)(?=^FROM |\Z)", dockerfile, re.MULTILINE | re.DOTALL)
        assert stage is not None
        assert re.search(r'^VOLUME \["/tmp"\]$', stage[1], re.MULTILINE), target
