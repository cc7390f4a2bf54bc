"""What is wrong with a set of Kubernetes manifests, in sentences: the schema of each, and whether they fit together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

from deploy.ecs.known_names import setting_names

Manifest = Mapping[str, Any]
SCHEMAS = Path(__file__).parent / "schemas" / "kubernetes-1.30.json"
# Kinds that a cluster learns from KEDA; tests/integration/test_keda.py looks at them.
FOREIGN = {"ScaledObject", "TriggerAuthentication"}
WORKLOADS = {"Deployment", "Job"}
# Secrets are made by hand, from docs/kubernetes.md: their keys; None: as environment, optional.
SECRETS: Mapping[str, set[str] | None] = {
    "framefleet-database": {"url"},
    "framefleet-database-owner": {"url"},
    "framefleet-storage": None,
    "framefleet-metrics": {"token"},
    "framefleet-keda-database": {"host", "port", "dbName", "userName", "password", "sslmode"},
}
UID = 10001
KILL_SLACK_SEC = 20


def complaints(manifests: list[Manifest], settings: Mapping[str, str]) -> list[str]:
    """Sentences; none when all is well. `settings` are those of the ConfigMap that workloads read."""
    found = [f"{_name(each)}: {word}" for each in manifests for word in _schema_complaints(each)]
    for each in manifests:
        if each["kind"] in WORKLOADS:
            found += [f"{_name(each)}: {word}" for word in _of_workload(each, manifests, settings)]
        elif each["kind"] == "Secret":
            found.append(f"{_name(each)}: secrets do not belong into files")
        else:
            found += [f"{_name(each)}: {word}" for word in _of_selector(each, manifests)]
    return found


@cache
def _schemas() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(SCHEMAS.read_text())
    return loaded


def _schema_complaints(manifest: Manifest) -> Iterator[str]:
    kind = manifest["kind"]
    if kind in FOREIGN:
        return
    definition = _schemas()["kinds"].get(kind)
    if definition is None:
        yield f"no schema of kind {kind} is in {SCHEMAS.name}"
        return
    schema = {"$ref": f"#/definitions/{definition}", "definitions": _schemas()["definitions"]}
    group, _, version = manifest["apiVersion"].rpartition("/")
    wanted = definition.removeprefix("io.k8s.api.").split(".")[:2]
    if [group.split(".")[0] or "core", version] != wanted:
        yield f"apiVersion {manifest['apiVersion']} is not {'/'.join(wanted)}"
    for error in jsonschema.Draft7Validator(schema).iter_errors(manifest):
        yield f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"


def _of_workload(workload: Manifest, manifests: list[Manifest], settings: Mapping[str, str]) -> Iterator[str]:
    template = workload["spec"]["template"]
    pod = template["spec"]
    selector = workload["spec"].get("selector", {}).get("matchLabels", {})
    if not selector.items() <= template["metadata"]["labels"].items():
        yield "its selector does not match its own pods"
    account = pod.get("serviceAccountName")
    if account and not _named(manifests, "ServiceAccount", account):
        yield f"there is no service account {account}"
    yield from _of_pod_security(pod)
    if "worker" in workload["metadata"]["name"]:
        grace, drain = pod.get("terminationGracePeriodSeconds", 30), float(settings["DRAIN_SECONDS"])
        if grace < drain + KILL_SLACK_SEC:
            yield f"terminationGracePeriodSeconds {grace} is not {KILL_SLACK_SEC} s more than DRAIN_SECONDS {drain:g}"
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        yield from _of_container(container, pod, manifests)


def _of_pod_security(pod: Mapping[str, Any]) -> Iterator[str]:
    context = pod.get("securityContext", {})
    if not (context.get("runAsNonRoot") and context.get("runAsUser") == UID):
        yield f"it does not run as user {UID}"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "it has no seccomp profile"
    if pod.get("enableServiceLinks") is not False:
        yield "variables of Services could hide settings: enableServiceLinks is not false"


def _of_container(container: Mapping[str, Any], pod: Mapping[str, Any], manifests: list[Manifest]) -> Iterator[str]:
    context = container.get("securityContext", {})
    if not context.get("readOnlyRootFilesystem"):
        yield "its root file system can be written"
    if context.get("allowPrivilegeEscalation") is not False or context.get("capabilities") != {"drop": ["ALL"]}:
        yield "it keeps privileges"
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    for mount in container.get("volumeMounts", []):
        if not volumes.get(mount["name"], {}).get("emptyDir", {}).get("sizeLimit"):
            yield f"{mount['mountPath']} is no emptyDir with a sizeLimit"
    if "/tmp" not in {mount["mountPath"] for mount in container.get("volumeMounts", [])}:
        yield "it has nowhere to write: /tmp"
    if "memory" not in container["resources"].get("limits", {}):
        yield "its memory has no limit"
    yield from _of_environment(container, manifests)
    ports = {port["name"] for port in container.get("ports", [])}
    for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
        port = container.get(probe, {}).get("httpGet", {}).get("port")
        if port is not None and port not in ports:
            yield f"{probe} asks port {port}, which it has not"


def _of_environment(container: Mapping[str, Any], manifests: list[Manifest]) -> Iterator[str]:
    for entry in container.get("env", []):
        if entry["name"] not in setting_names():
            yield f"{entry['name']} is no setting"
        reference = entry.get("valueFrom", {}).get("secretKeyRef")
        if reference and reference["key"] not in (SECRETS.get(reference["name"]) or set()):
            place = f"{reference['name']}/{reference['key']}"
            yield f"{entry['name']} is from {place}, which docs/kubernetes.md does not make"
    for source in container.get("envFrom", []):
        settings = source.get("configMapRef", {}).get("name")
        if settings and not _named(manifests, "ConfigMap", settings):
            yield f"there is no ConfigMap {settings}"
        secret = source.get("secretRef")
        if secret and not (SECRETS.get(secret["name"], set()) is None and secret.get("optional")):
            yield f"the secret {secret['name']} must be known and optional"


def _of_selector(manifest: Manifest, manifests: list[Manifest]) -> Iterator[str]:
    """Services, budgets and policies are for pods that there are; bindings for roles and accounts that there are."""
    spec = manifest.get("spec", {})
    match manifest["kind"]:
        case "Service":
            pods = _pods(manifests, {"matchLabels": spec["selector"]})
            yield from _must_have(pods, [port["targetPort"] for port in spec["ports"]])
        case "PodDisruptionBudget":
            yield from _must_have(_pods(manifests, spec["selector"]), [])
        case "NetworkPolicy":
            rules = [rule for rule in spec.get("ingress", []) for rule in rule.get("ports", [])]
            yield from _must_have(_pods(manifests, spec["podSelector"]), [rule["port"] for rule in rules])
        case "RoleBinding":
            named = [("Role", manifest["roleRef"]["name"])]
            named += [(subject["kind"], subject["name"]) for subject in manifest["subjects"]]
            yield from (f"there is no {kind} {name}" for kind, name in named if not _named(manifests, kind, name))


def _must_have(pods: list[Mapping[str, Any]], ports: list[Any]) -> Iterator[str]:
    if not pods:
        yield "it selects no pod"
    for pod in pods:
        have = {port["name"] for container in pod["spec"]["containers"] for port in container.get("ports", [])}
        yield from (f"its pods have no port {port}" for port in ports if port not in have)


def _pods(manifests: list[Manifest], selector: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    templates = [each["spec"]["template"] for each in manifests if each["kind"] in WORKLOADS]
    return [template for template in templates if _selects(selector, template["metadata"]["labels"])]


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    rules = selector.get("matchExpressions", [])
    return all(rule["operator"] == "In" and labels.get(rule["key"]) in rule["values"] for rule in rules)


def _named(manifests: list[Manifest], kind: str, name: str) -> bool:
    return any(each["kind"] == kind and each["metadata"]["name"] == name for each in manifests)


def _name(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"
