"""The checker of task definitions finds each mistake, and says what to do about it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from deploy.ecs.aws_requests import task_definition
from deploy.ecs.check import complaints, main
from deploy.ecs.sources import HERE, TASKS
from deploy.ecs.values import Values, read_values

Definition = dict[str, Any]


@pytest.fixture(scope="module")
def values() -> Values:
    return read_values(HERE / "values.example.json")


@pytest.mark.parametrize("task", TASKS)
def test_our_own_task_definitions_are_well(values: Values, task: str) -> None:
    assert complaints(task_definition(task, values)) == []


def _container(definition: Definition) -> Definition:
    found: Definition = definition["containerDefinitions"][0]
    return found


def _set(name: str, value: Any) -> Callable[[Definition], None]:
    return lambda definition: definition.update({name: value})


def _set_in_container(name: str, value: Any) -> Callable[[Definition], None]:
    return lambda definition: _container(definition).update({name: value})


def _take(name: str) -> Callable[[Definition], None]:
    return lambda definition: definition.pop(name)


def _take_from_container(name: str) -> Callable[[Definition], None]:
    return lambda definition: _container(definition).pop(name)


def _environment(name: str, value: str) -> Callable[[Definition], None]:
    def change(definition: Definition) -> None:
        kept = [entry for entry in _container(definition)["environment"] if entry["name"] != name]
        _container(definition)["environment"] = [*kept, {"name": name, "value": value}]

    return change


def _secret(name: str, reference: str) -> Callable[[Definition], None]:
    return lambda definition: _container(definition)["secrets"].append({"name": name, "valueFrom": reference})


def _gpu(value: str) -> Callable[[Definition], None]:
    return _set_in_container("resourceRequirements", [{"type": "GPU", "value": value}])


ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:token-AbCdEf"
MISTAKES: list[tuple[str, str, Callable[[Definition], None], str]] = [
    ("unknown key", "gpu_worker", _set("gpus", 1), 'AWS would refuse it: Unknown parameter in input: "gpus"'),
    ("unknown key of a container", "api", _set_in_container("readOnlyRoot", True), "AWS would refuse it: Unknown"),
    ("number for a string", "api", _set("cpu", 1024), "AWS would refuse it: Invalid type for parameter cpu"),
    ("no containers", "api", _take("containerDefinitions"), "AWS would refuse it: Missing required parameter"),
    ("GPU abc", "gpu_worker", _gpu("abc"), "GPU 'abc' is no number of GPUs: write a whole number above 0"),
    ("GPU 0", "gpu_worker", _gpu("0"), "GPU '0' is no number of GPUs"),
    ("half a GPU", "gpu_worker", _gpu("0.5"), "GPU '0.5' is no number of GPUs"),
    ("GPU on Fargate", "analysis_worker", _gpu("1"), "Fargate has no GPUs: let requiresCompatibilities be [EC2]"),
    ("CPU that Fargate lacks", "api", _set("cpu", "1000"), "cpu '1000' is no size of Fargate: take one of 256, 512"),
    ("memory that Fargate lacks", "api", _set("memory", "9216"), "memory '9216' does not go with cpu 1024 on Fargate"),
    ("memory between steps", "api", _set("memory", "2500"), "take 2048 to 8192 MiB in steps of 1024"),
    ("scratch that Fargate lacks", "api", _set("ephemeralStorage", {"sizeInGiB": 500}), "take 21 to 200"),
    ("scratch without a size", "api", _take("ephemeralStorage"), "the scratch volume has no size"),
    ("Fargate's scratch on EC2", "gpu_worker", _set("ephemeralStorage", {"sizeInGiB": 50}), "is Fargate's alone"),
    ("bridge on Fargate", "api", _set("networkMode", "bridge"), "Fargate needs networkMode awsvpc"),
    (
        "shared memory on Fargate",
        "api",
        _set_in_container("linuxParameters", {"initProcessEnabled": True, "sharedMemorySize": 64}),
        "Fargate does not know linuxParameters.sharedMemorySize",
    ),
    (
        "stop before the drain",
        "gpu_worker",
        _set_in_container("stopTimeout", 90),
        "stopTimeout 90 s ends a worker before",
    ),
    ("ECS's own stop", "gpu_worker", _take_from_container("stopTimeout"), "stopTimeout 30 s ends a worker before"),
    ("drain that outlasts", "gpu_worker", _environment("DRAIN_SECONDS", "115"), "before its drain of 115 s"),
    ("stop above the most", "api", _set_in_container("stopTimeout", 600), "stopTimeout 600 is above ECS's most, 120"),
    ("writable root", "api", _set_in_container("readonlyRootFilesystem", False), "set readonlyRootFilesystem to true"),
    ("root", "api", _set_in_container("user", "root"), 'it runs as root: set user to "10001"'),
    ("root by number", "api", _set_in_container("user", "0:10001"), "it runs as root"),
    ("nobody said who", "api", _take_from_container("user"), "it runs as root"),
    ("privileged", "gpu_worker", _set_in_container("privileged", True), "it is privileged"),
    ("no scratch", "api", _set_in_container("mountPoints", []), "nothing is writable: mount a scratch volume at /tmp"),
    ("unknown volume", "api", _set("volumes", []), "mounts 'scratch', which is not in volumes: add it"),
    ("no init", "api", _set_in_container("linuxParameters", {}), "set linuxParameters.initProcessEnabled to true"),
    ("no log", "api", _take_from_container("logConfiguration"), "its log goes nowhere"),
    (
        "log without a group",
        "api",
        _set_in_container("logConfiguration", {"logDriver": "awslogs", "options": {"awslogs-region": "x"}}),
        "logConfiguration lacks awslogs-group",
    ),
    ("latest", "api", _set_in_container("image", "registry:5000/framefleet/api:latest"), "can change under a release"),
    ("no tag", "api", _set_in_container("image", "registry:5000/framefleet/api"), "can change under a release"),
    ("no role", "api", _set("taskRoleArn", "framefleet"), "taskRoleArn must be the ARN of a role"),
    (
        "password in a URL",
        "api",
        _environment("STORAGE_URL", "s3://me:hunter2@bucket"),
        "STORAGE_URL in environment",
    ),
    ("token", "api", _environment("CLEANUP_TOKEN", "abcdefgh"), "CLEANUP_TOKEN in environment is a secret"),
    ("key of AWS", "api", _environment("OUTPUT_BUCKET", "AKIAIOSFODNN7EXAMPLE"), "OUTPUT_BUCKET in environment is a"),
    (
        "key that looks random",
        "api",
        _environment("OUTPUT_BUCKET", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        "secret",
    ),
    ("the coach's secret", "api", _environment("APP_SECRET_KEY", "x"), "APP_SECRET_KEY in environment is a secret"),
    ("secret in plain", "api", _secret("CLEANUP_TOKEN", "hunter2"), "the secret CLEANUP_TOKEN is no reference"),
    ("name of a secret alone", "api", _secret("CLEANUP_TOKEN", "cleanup-token"), "valueFrom must be an ARN"),
    ("said twice", "api", _secret("AWS_REGION", ARN), "AWS_REGION is in environment and in secrets"),
    ("misspelt", "api", _environment("CHUNK_SECOND", "20"), "CHUNK_SECOND is no setting: did you mean CHUNK_SECONDS?"),
    ("unheard of", "api", _environment("BANANA", "1"), "BANANA is no setting: docs/running.md has them all"),
    ("no number", "api", _environment("CHUNK_SECONDS", "thirty"), "CHUNK_SECONDS: Input should be a valid number"),
    ("order without the other", "migrate", lambda it: it["containerDefinitions"].pop(0), "waits for migrate, which is"),
    ("waits for what ends all", "migrate", _set_in_container("essential", True), "set its essential to false"),
]


@pytest.mark.parametrize(("task", "spoil", "says"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_a_mistake_is_found_and_what_to_do_is_said(
    values: Values, task: str, spoil: Callable[[Definition], None], says: str
) -> None:
    definition = copy.deepcopy(task_definition(task, values))
    spoil(definition)
    found = complaints(definition)
    assert [words for words in found if says in words], found


@pytest.mark.parametrize(
    "name",
    [
        "S3_COACH_VIDEOS_BUCKET",
        "AWS_REGION",
        "CHUNK_SECONDS",
        "SAMPLE_FPS",
        "MAX_WIDTH",
        "COACH_PLUS_ANALYSIS_POLL_SECONDS",
        "POLL_SECONDS",
        "STALLED_MINUTES",
    ],
)
def test_every_name_of_a_setting_is_known(values: Values, name: str) -> None:
    definition = task_definition("gpu_worker", values)
    _environment(name, "64")(definition)
    assert complaints(definition) == []


def test_a_checksum_is_no_secret(values: Values) -> None:
    definition = task_definition("gpu_worker", values)
    _environment("MODEL_SHA256", "0ebbc80d4a7680d14987a577cd21342b65ecfd94632bd9a8da63ae6417644ee1")(definition)
    assert complaints(definition) == []


def test_the_coachs_secret_key_is_taken_by_reference(values: Values) -> None:
    definition = task_definition("api", values)
    _secret("APP_SECRET_KEY", ARN)(definition)
    assert complaints(definition) == []


def test_the_command_ends_with_1_and_names_file_and_mistake(values: Values, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(task_definition("api", values)))
    bad.write_text(json.dumps({**task_definition("api", values), "memory": "1"}))
    assert CliRunner().invoke(main, [str(good)]).exit_code == 0
    answer = CliRunner().invoke(main, [str(good), str(bad)])
    assert answer.exit_code == 1
    assert f"{bad}: memory '1' does not go with cpu 1024" in answer.stdout
    assert str(good) not in answer.stdout
