"""`python -m deploy.ecs.check FILE…`: what ECS, or this fleet, would not take in a task definition, before it is sent.

AWS's own parameter validator (botocore's) knows keys and types. The rules here know the rest: GPUs, Fargate's sizes,
stopping, secrets, settings.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import click
from botocore.model import Shape
from botocore.validate import ParamValidator
from pydantic import ValidationError

from backend.settings import Settings
from deploy.ecs.known_names import is_known, likely_meant, looks_secret

Definition = Mapping[str, Any]
Container = Mapping[str, Any]

# vCPU units → MiB: least, most, step. https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
FARGATE_MEMORY = {
    256: (512, 2048, 512),
    512: (1024, 4096, 1024),
    1024: (2048, 8192, 1024),
    2048: (4096, 16384, 1024),
    4096: (8192, 30720, 1024),
    8192: (16384, 61440, 4096),
    16384: (32768, 122880, 8192),
}
FARGATE_SCRATCH_GIB = (21, 200)
# Between the end of the drain and ECS's SIGKILL: giving work back, and a second's grace.
STOP_MARGIN_SEC = 10
MAX_STOP_SEC = 120
ROOT = {"", "0", "root"}
SECRET_ARN = re.compile(
    r"^arn:aws[a-z-]*:(secretsmanager:[a-z0-9-]+:\d{12}:secret:|ssm:[a-z0-9-]+:\d{12}:parameter/).+"
)
LOG_OPTIONS = ("awslogs-group", "awslogs-region", "awslogs-stream-prefix")


def complaints(definition: Definition) -> list[str]:
    """What is wrong, a sentence each that says what to do; empty where all is well."""
    report = ParamValidator().validate(dict(definition), _register_task_definition())
    if report.has_errors():  # the rules below look into what may not be there
        return [f"AWS would refuse it: {line.strip()}" for line in report.generate_report().splitlines()]
    found = [says for rule in TASK_RULES for says in rule(definition)]
    for container in definition["containerDefinitions"]:
        for rule in CONTAINER_RULES:
            found += [f"container {container.get('name')}: {says}" for says in rule(container)]
    return found


@cache
def _register_task_definition() -> Shape:
    service = botocore.session.get_session().get_service_model("ecs")
    shape = service.operation_model("RegisterTaskDefinition").input_shape
    assert shape is not None
    return shape


def _on_fargate(definition: Definition) -> bool:
    return "FARGATE" in definition.get("requiresCompatibilities", [])


def _gpus(container: Container) -> list[str]:
    return [need["value"] for need in container.get("resourceRequirements", []) if need["type"] == "GPU"]


# ---- Rules about a task ----


def _gpu_not_on_fargate(definition: Definition) -> Iterator[str]:
    if _on_fargate(definition) and any(_gpus(container) for container in definition["containerDefinitions"]):
        yield "Fargate has no GPUs: let requiresCompatibilities be [EC2], or take the GPU out of resourceRequirements."


def _fargate_sizes(definition: Definition) -> Iterator[str]:
    if not _on_fargate(definition):
        return
    cpu, memory = definition.get("cpu", ""), definition.get("memory", "")
    if not cpu.isdecimal() or int(cpu) not in FARGATE_MEMORY:
        known = ", ".join(map(str, FARGATE_MEMORY))
        yield f"cpu {cpu!r} is no size of Fargate: take one of {known} (1024 is one vCPU)."
        return
    least, most, step = FARGATE_MEMORY[int(cpu)]
    if not memory.isdecimal() or int(memory) not in range(least, most + 1, step):
        yield f"memory {memory!r} does not go with cpu {cpu} on Fargate: take {least} to {most} MiB in steps of {step}."


def _fargate_scratch(definition: Definition) -> Iterator[str]:
    size = definition.get("ephemeralStorage", {}).get("sizeInGiB")
    least, most = FARGATE_SCRATCH_GIB
    if _on_fargate(definition) and size is None:
        yield f"the scratch volume has no size: set ephemeralStorage.sizeInGiB, {least} to {most}."
    elif _on_fargate(definition) and not least <= size <= most:
        yield f"ephemeralStorage of {size} GiB is no size of Fargate: take {least} to {most}."
    elif not _on_fargate(definition) and size is not None:
        yield "ephemeralStorage is Fargate's alone: on EC2 the instance's disk is the scratch space; take it out."


def _fargate_lacks(definition: Definition) -> Iterator[str]:
    if not _on_fargate(definition):
        return
    if definition.get("networkMode") != "awsvpc":
        yield "Fargate needs networkMode awsvpc."
    if any("dockerVolumeConfiguration" in volume for volume in definition.get("volumes", [])):
        yield "Fargate has no Docker volumes: give the volume a name alone."
    for container in definition["containerDefinitions"]:
        for key in {"sharedMemorySize", "tmpfs", "devices"} & set(container.get("linuxParameters", {})):
            yield f"container {container['name']}: Fargate does not know linuxParameters.{key}: take it out."


def _roles(definition: Definition) -> Iterator[str]:
    for key in ("taskRoleArn", "executionRoleArn"):
        if not re.match(r"^arn:aws[a-z-]*:iam::\d{12}:role/", definition.get(key, "")):
            yield f"{key} must be the ARN of a role of its own."


def _volumes_named(definition: Definition) -> Iterator[str]:
    known = {volume.get("name") for volume in definition.get("volumes", [])}
    for container in definition["containerDefinitions"]:
        for mount in container.get("mountPoints", []):
            volume = mount.get("sourceVolume")
            if volume not in known:
                yield f"container {container['name']} mounts {volume!r}, which is not in volumes: add it."


def _order(definition: Definition) -> Iterator[str]:
    known = {container["name"]: container for container in definition["containerDefinitions"]}
    for container in definition["containerDefinitions"]:
        for wish in container.get("dependsOn", []):
            other = known.get(wish["containerName"])
            if other is None:
                yield f"container {container['name']} waits for {wish['containerName']}, which is not there."
            elif wish["condition"] in ("SUCCESS", "COMPLETE") and other.get("essential", True):
                yield f"container {container['name']} waits for the end of {other['name']}: set its essential to false."


# ---- Rules about a container ----


def _gpu_value(container: Container) -> Iterator[str]:
    for value in _gpus(container):
        if not re.fullmatch(r"[1-9]\d*", value):
            yield f'GPU {value!r} is no number of GPUs: write a whole number above 0 as a string, such as "1".'


def _image(container: Container) -> Iterator[str]:
    image = container.get("image", "")
    _, tagged, tag = image.rpartition("/")[2].partition(":")
    if "@sha256:" not in image and (not tagged or tag == "latest"):
        yield f"image {image!r} can change under a release: give it the release's tag or a digest."


def _stopping(container: Container) -> Iterator[str]:
    environment = {entry["name"]: entry["value"] for entry in container.get("environment", [])}
    try:
        drain = float(environment.get("DRAIN_SECONDS", Settings.model_fields["drain_seconds"].default))
    except ValueError:
        return  # _settings_hold says so
    stop = container.get("stopTimeout", 30)
    if stop > MAX_STOP_SEC:
        yield f"stopTimeout {stop} is above ECS's most, {MAX_STOP_SEC}."
    if stop < drain + STOP_MARGIN_SEC:
        yield (
            f"stopTimeout {stop} s ends a worker before its drain of {drain:g} s: let it be DRAIN_SECONDS + "
            f"{STOP_MARGIN_SEC} at least, or lower DRAIN_SECONDS."
        )


def _confined(container: Container) -> Iterator[str]:
    if container.get("readonlyRootFilesystem") is not True:
        yield "the root file system is writable: set readonlyRootFilesystem to true."
    if str(container.get("user", "")).partition(":")[0] in ROOT:
        yield 'it runs as root: set user to "10001", the user of the images.'
    if container.get("privileged"):
        yield "it is privileged, and needs nothing of that: take it out."
    mounts = container.get("mountPoints", [])
    if not any(mount.get("containerPath") == "/tmp" and not mount.get("readOnly") for mount in mounts):  # noqa: S108
        yield "nothing is writable: mount a scratch volume at /tmp."
    if container.get("linuxParameters", {}).get("initProcessEnabled") is not True:
        yield "ended child processes pile up: set linuxParameters.initProcessEnabled to true."


def _secrets(container: Container) -> Iterator[str]:
    plain = {entry["name"]: entry["value"] for entry in container.get("environment", [])}
    for name, value in plain.items():
        if looks_secret(name, value):
            yield f"{name} in environment is a secret: put it into Secrets Manager and its ARN into secrets."
    for secret in container.get("secrets", []):
        if not SECRET_ARN.match(secret["valueFrom"]):
            yield f"the secret {secret['name']} is no reference: valueFrom must be an ARN of Secrets Manager or SSM."
        if secret["name"] in plain:
            yield f"{secret['name']} is in environment and in secrets: take it out of environment."


def _logs(container: Container) -> Iterator[str]:
    configuration = container.get("logConfiguration")
    if configuration is None:
        yield "its log goes nowhere: add logConfiguration, with logDriver awslogs."
    elif configuration["logDriver"] == "awslogs":
        for option in LOG_OPTIONS:
            if not configuration.get("options", {}).get(option):
                yield f"logConfiguration lacks {option}."


def _names(container: Container) -> Iterator[str]:
    for entry in [*container.get("environment", []), *container.get("secrets", [])]:
        name = entry["name"]
        if not is_known(name):
            near = likely_meant(name)
            yield f"{name} is no setting" + (f": did you mean {near}?" if near else ": docs/running.md has them all.")


def _settings_hold(container: Container) -> Iterator[str]:
    """As the worker itself would check them at its start."""
    plain = {entry["name"]: entry["value"] for entry in container.get("environment", [])}
    try:
        Settings.model_validate(plain)
    except ValidationError as error:
        for fault in error.errors():
            where = ".".join(map(str, fault["loc"])) or "settings"
            yield f"{where}: {fault['msg']}; the service would not start."


TASK_RULES: tuple[Callable[[Definition], Iterator[str]], ...] = (
    _gpu_not_on_fargate, _fargate_sizes, _fargate_scratch, _fargate_lacks, _roles, _volumes_named, _order,
)  # fmt: skip
CONTAINER_RULES: tuple[Callable[[Container], Iterator[str]], ...] = (
    _gpu_value, _image, _stopping, _confined, _secrets, _logs, _names, _settings_hold,
)  # fmt: skip


@click.command(help=__doc__)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(files: tuple[Path, ...]) -> None:
    found = 0
    for path in files:
        for says in complaints(json.loads(path.read_text(encoding="utf-8"))):
            click.echo(f"{path}: {says}")
            found += 1
    if found:
        sys.exit(1)
    click.echo(f"{len(files)} task definitions are well.", err=True)


if __name__ == "__main__":
    main()
