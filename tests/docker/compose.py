"""docker/compose.yaml: read as Compose reads it, and checked for what its schema does not see."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.ecs.known_names import setting_names
from tests.docker.dockerfile import DIGEST, TARGETS, environment_of, inherited, stages_of

Compose = dict[str, Any]
PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / "docker"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
OUR_IMAGE = re.compile(r"framefleet/[\w-]+")
DEFAULTS = re.compile(r"\$\{\w+:?-")
DRAIN_SEC = 100


def read(*names: str) -> Compose:
    """The file, with those laid over it."""
    merged: Compose = {}
    for name in names:
        merged = _merged(merged, yaml.safe_load((FOLDER / name).read_text()))
    return merged


def interpolated(value: Any, environment: Mapping[str, str]) -> Any:
    """With `${NAME:?words}` filled in. Raises KeyError for a variable that is not set, as Compose refuses to start."""
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)(?::\?[^}]*)?\}", lambda match: environment[match[1]], value)
    if isinstance(value, dict):
        return {key: interpolated(each, environment) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each, environment) for each in value]
    return value


def in_order(compose: Compose) -> list[str]:
    """Services so that each comes after those it depends on. Raises KeyError for one that there is not."""
    done: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"{name} waits for itself"
        for needed in compose["services"][name].get("depends_on", {}):
            visit(needed, (*above, name))
        if name not in done:
            done.append(name)

    for name in compose["services"]:
        visit(name, ())
    return done


def is_ours(service: Mapping[str, Any]) -> bool:
    return bool(OUR_IMAGE.fullmatch(service["image"]))


def target_of(service: Mapping[str, Any]) -> str:
    return str(service["image"]).removeprefix("framefleet/")


def complaints(compose: Compose) -> list[str]:
    """What is wrong, a line for each."""
    found = []
    for name, service in compose["services"].items():
        checks = (_on_needs, _on_mounts, _on_walls, _on_image, _on_environment)
        found += [f"{name}: {words}" for check in checks for words in check(service, compose)]
    return found


def _on_needs(service: Compose, compose: Compose) -> Iterator[str]:
    for needed, how in service.get("depends_on", {}).items():
        other = compose["services"].get(needed)
        if other is None:
            yield f"depends on {needed}, which there is not"
        elif how["condition"] == "service_healthy" and not _has_health_check(other):
            yield f"waits until {needed} is healthy, which nobody checks"
        elif how["condition"] == "service_completed_successfully" and other.get("restart") != "no":
            yield f"waits for the end of {needed}, which is started again"


def _has_health_check(service: Compose) -> bool:
    if "healthcheck" in service:
        return True
    asked = inherited(stages_of(DOCKERFILE), target_of(service), "HEALTHCHECK") if is_ours(service) else None
    return asked not in (None, "NONE")


def _on_mounts(service: Compose, compose: Compose) -> Iterator[str]:
    for mount in service.get("volumes", []):
        if not isinstance(mount, str):
            continue
        source = mount.split(":")[0]
        if source.startswith("."):
            if not (FOLDER / source).resolve().exists():
                yield f"mounts {source}, which there is not"
            if not mount.endswith(":ro"):
                yield f"may write to {source}"
        elif source not in compose.get("volumes", {}):
            yield f"mounts the volume {source}, which is not declared"
    for kind in ("networks", "secrets", "configs"):
        for used in service.get(kind, {}):
            if used != "default" and used not in compose.get(kind, {}):
                yield f"uses {used} of {kind}, which is not declared"


def _on_walls(service: Compose, compose: Compose) -> Iterator[str]:
    if service.get("read_only") is not True:
        yield "may write to its root file system"
    if service.get("cap_drop") != ["ALL"] or "cap_add" in service or service.get("privileged"):
        yield "keeps capabilities"
    if "no-new-privileges:true" not in service.get("security_opt", []):
        yield "may gain privileges"
    for port in service.get("ports", []):
        if not str(port).startswith("127.0.0.1:"):
            yield f"opens {port} to other machines"
    grace_sec = int(str(service.get("stop_grace_period", "10s")).removesuffix("s"))
    if is_ours(service) and service.get("restart") != "no" and grace_sec <= DRAIN_SEC:
        yield f"is killed before its {DRAIN_SEC} s are over"


def _on_image(service: Compose, compose: Compose) -> Iterator[str]:
    if not is_ours(service):
        if not DIGEST.search(service["image"]) or ":latest" in service["image"]:
            yield f"{service['image']} is not pinned by a digest"
    elif target_of(service) not in TARGETS:
        yield f"{service['image']} is no target of the Dockerfile"
    elif "build" not in service and service.get("pull_policy") != "never":
        yield f"{service['image']} would be looked for in a registry"
    elif "build" in service and service["build"]["target"] != target_of(service):
        yield f"{service['image']} is built from the target {service['build']['target']}"
    else:
        same = [each for each in compose["services"].values() if each["image"] == service["image"] and "build" in each]
        if len(same) != 1:
            yield f"{service['image']} is built by {len(same)} services; it has to be one"


def _on_environment(service: Compose, compose: Compose) -> Iterator[str]:
    given = service.get("environment", {})
    for name, value in given.items():
        if DEFAULTS.search(str(value)):
            yield f"{name} has a default that everybody knows"
        if re.search(r"PASSWORD|SECRET|KEY", name) and "${" not in str(value):
            yield f"{name} is written down in the file"
    if is_ours(service):
        names = set(given) | set(environment_of(DOCKERFILE, target_of(service)))
        for name in sorted(set(given) - setting_names().keys()):
            yield f"{name} is no setting"
        if "STORAGE_URL" not in names or "DATABASE_URL" not in names:
            yield "does not know the database and the store"


def _merged(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: _merged(below.get(key), value) for key, value in above.items()}
    return above
