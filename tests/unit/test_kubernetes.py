"""The manifests of deploy/k8s are what Kubernetes takes, and fit together; the check itself is tried with mistakes."""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
import textwrap
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
import yaml

from backend import __version__
from backend.settings import Settings
from deploy.ecs.known_names import setting_names
from tests.manifests import SECRETS, WORKLOADS, Manifest, complaints

PROJECT = Path(__file__).resolve().parents[2]
K8S = PROJECT / "deploy" / "k8s"
FOLDERS = ("base", "migrate", "guard", "overlays/keda", "overlays/cpu")
TO_APPLY = ("migrate", "guard", "overlays/keda", "overlays/cpu")


def kustomization(folder: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((K8S / folder / "kustomization.yaml").read_text())
    return loaded


def env_file(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def settings_of(folder: str) -> dict[str, str]:
    """What the ConfigMap of a kustomization says, with that of its base below."""
    said: dict[str, str] = {}
    for below in kustomization(folder).get("resources", []):
        if (K8S / folder / below).is_dir():
            said |= settings_of(str((K8S / folder / below).resolve().relative_to(K8S)))
    for generator in kustomization(folder).get("configMapGenerator", []):
        for name in generator.get("envs", []):
            said |= env_file(K8S / folder / name)
        said |= dict(literal.split("=", 1) for literal in generator.get("literals", []))
    return said


def written(folder: str) -> list[Manifest]:
    """The manifests of a folder and its bases as they stand in the files, patched, with their ConfigMap."""
    found: list[Manifest] = []
    for name in kustomization(folder)["resources"]:
        path = K8S / folder / name
        if path.is_dir():
            found += written(str(path.resolve().relative_to(K8S)))
        else:
            found += [each for each in yaml.safe_load_all(path.read_text()) if each]
    for generator in kustomization(folder).get("configMapGenerator", []):
        if generator.get("behavior") != "merge":
            names = {"metadata": {"name": generator["name"]}, "data": settings_of(folder)}
            found.append({"apiVersion": "v1", "kind": "ConfigMap", **names})
    for patch in kustomization(folder).get("patches", []):
        found = patched(found, patch["target"], yaml.safe_load(patch["patch"]))
    return found


def patched(manifests: list[Manifest], target: Mapping[str, str], operations: list[Any]) -> list[Manifest]:
    """JSON patches (RFC 6902), as kustomize applies them."""

    def is_meant(each: Manifest) -> bool:
        return (each["kind"], each["metadata"]["name"]) == (target["kind"], target["name"])

    assert any(is_meant(each) for each in manifests), f"there is no {target}"
    return [jsonpatch.apply_patch(each, operations) if is_meant(each) else each for each in manifests]


@cache
def rendered(folder: str | Path) -> list[Manifest]:
    """What kustomize makes of it. A relative folder is one of ours."""
    kubectl, kustomize = shutil.which("kubectl"), shutil.which("kustomize")
    if kubectl is None and kustomize is None:
        pytest.skip("neither kubectl nor kustomize is installed (https://kubernetes.io/docs/tasks/tools/)")
    command = [kubectl, "kustomize"] if kubectl else [str(kustomize), "build"]
    done = subprocess.run([*command, str(K8S / folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def workload(manifests: list[Manifest], name: str) -> Any:
    return next(each for each in manifests if each["kind"] in WORKLOADS and each["metadata"]["name"] == name)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_manifests_fit_together(folder: str) -> None:
    assert complaints(written(folder), settings_of(folder)) == []


@pytest.mark.parametrize("folder", TO_APPLY)
def test_what_kustomize_makes_fits_together(folder: str) -> None:
    manifests = rendered(folder)
    assert complaints(manifests, settings_of(folder)) == []
    for each in manifests:
        if each["kind"] in WORKLOADS:
            pod = each["spec"]["template"]["spec"]
            for container in [*pod.get("initContainers", []), *pod["containers"]]:
                assert container["image"].endswith(f":{__version__}")
    spaces = {each["metadata"].get("namespace") for each in manifests}
    assert spaces == ({"framefleet"} if folder.startswith("overlays") else {None})


def test_a_binding_names_the_account_of_its_own_namespace() -> None:
    (binding,) = [each for each in rendered("overlays/keda") if each["kind"] == "RoleBinding"]
    assert {subject["namespace"] for subject in binding["subjects"]} == {"framefleet"}


def test_without_gpus_the_chunk_worker_is_the_lean_image_and_asks_for_none() -> None:
    worker = workload(written("overlays/cpu"), "framefleet-gpu-worker")
    assert "nvidia" not in yaml.safe_dump(worker) and worker["spec"]["replicas"] >= 1
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["python", "-m", "backend.workers.gpu_chunk_worker"]
    renamed = {image["name"]: image.get("newName") for image in kustomization("overlays/cpu")["images"]}
    assert renamed == {"framefleet/gpu-worker": "framefleet/analysis-worker"}


@pytest.mark.parametrize(("ours", "gpu_image"), [("overlays/keda", "gpu-worker"), ("overlays/cpu", "analysis-worker")])
def test_the_overlay_on_the_page_gives_a_fleet_with_its_own_images_and_store(
    tmp_path: Path, ours: str, gpu_image: str
) -> None:
    page = (PROJECT / "docs" / "kubernetes.md").read_text()
    shown = re.search(r"^( +)apiVersion: kustomize.*?(?=^$)", page, re.MULTILINE | re.DOTALL)
    assert shown is not None
    overlay = yaml.safe_load(textwrap.dedent(shown[0]))
    (remote,) = overlay["resources"]
    assert remote.endswith(f"//deploy/k8s/overlays/keda?ref=v{__version__}")
    overlay["resources"] = [os.path.relpath(K8S / ours, tmp_path.resolve())]
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    manifests = rendered(tmp_path)
    said = next(each["data"] for each in manifests if each["kind"] == "ConfigMap")
    assert (said["STORAGE_URL"], said["DRAIN_SECONDS"]) == ("s3://your-bucket/fleet", "100")
    assert complaints(manifests, said) == []
    images = {each["metadata"]["name"]: _container(manifests, each["metadata"]["name"])["image"]
              for each in manifests if each["kind"] == "Deployment"}  # fmt: skip
    assert images == {
        f"framefleet-{name}": f"registry.example/framefleet/{image}:{__version__}"
        for name, image in {"api": "api", "analysis-worker": "analysis-worker", "gpu-worker": gpu_image}.items()
    }


def test_every_image_has_the_version_of_the_code() -> None:
    for folder in FOLDERS:
        for image in kustomization(folder).get("images", []):
            assert image["newTag"] == __version__, folder


@pytest.mark.parametrize("folder", ["base", "overlays/keda", "overlays/cpu"])
def test_workers_start_with_the_settings_of_the_manifests(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = settings_of(folder)
    assert set(said) <= setting_names().keys()
    for name, value in {**said, "DATABASE_URL": "postgresql://h/d", "POD_NAME": "a-1", "POD_NAMESPACE": "b"}.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.storage_root_url.startswith("s3://")
    assert settings.drain_seconds == float(said["DRAIN_SECONDS"])


def test_an_api_pod_is_ready_by_the_database_and_alive_by_itself() -> None:
    (container,) = workload(written("base"), "framefleet-api")["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"


def test_a_gpu_worker_gets_a_gpu_and_its_pods_name() -> None:
    pod = workload(written("base"), "framefleet-gpu-worker")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]
    fields = {each["name"]: each["valueFrom"].get("fieldRef", {}).get("fieldPath") for each in container["env"]
              if "valueFrom" in each}  # fmt: skip
    assert (fields["POD_NAME"], fields["POD_NAMESPACE"]) == ("metadata.name", "metadata.namespace")
    assert pod["automountServiceAccountToken"] is True


def test_the_migration_is_over_before_the_services_role_gets_its_rights() -> None:
    pod = workload(written("migrate"), "framefleet-migrate")["spec"]["template"]["spec"]
    assert [each["args"] for each in pod["initContainers"]] == [["alembic", "upgrade", "head"]]
    (role,) = pod["containers"]
    assert role["args"] == ["python", "-m", "backend.db.app_role"]
    secrets = {each["name"]: each["valueFrom"]["secretKeyRef"]["name"] for each in role["env"]}
    assert secrets == {"DATABASE_URL": "framefleet-database-owner", "APP_DATABASE_URL": "framefleet-database"}


def test_a_worker_may_patch_pods_and_nothing_else() -> None:
    (role,) = [each for each in written("base") if each["kind"] == "Role"]
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]


def test_the_way_out_leaves_the_metadata_of_the_node_out() -> None:
    (policy,) = [each for each in written("base") if each["metadata"]["name"] == "framefleet-way-out"]
    blocks = [to["ipBlock"] for rule in policy["spec"]["egress"] for to in rule.get("to", [])]
    assert {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]} in blocks
    assert any("fd00:ec2::254/128" in block["except"] for block in blocks if block["cidr"] == "::/0")


def test_the_page_makes_every_secret_that_the_manifests_want() -> None:
    page = (PROJECT / "docs" / "kubernetes.md").read_text()
    made = set(re.findall(r"kubectl create secret generic (\S+)", page))
    assert made == set(SECRETS)
    for name, keys in SECRETS.items():
        command = re.search(rf"kubectl create secret generic {name} ((?:.*\\\n)*.*)", page)
        assert command is not None
        assert (keys or set()) <= set(re.findall(r"--from-literal=(\w+)=", command[1])), name


Change = Callable[[Any], object]


def _container(manifests: list[Any], name: str) -> Any:
    return workload(manifests, name)["spec"]["template"]["spec"]["containers"][0]


def _pod(manifests: list[Any], name: str) -> Any:
    return workload(manifests, name)["spec"]["template"]["spec"]


def _named(manifests: list[Any], kind: str) -> Any:
    return next(each for each in manifests if each["kind"] == kind)


GPU, API = "framefleet-gpu-worker", "framefleet-api"
MISTAKES: Mapping[str, tuple[Change, str]] = {
    "an unknown key": (lambda m: workload(m, GPU)["spec"].update(replica=1), "'replica' was unexpected"),
    "text for a number": (lambda m: workload(m, API)["spec"].update(replicas="two"), "spec.replicas"),
    "an old API": (lambda m: _named(m, "PodDisruptionBudget").update(apiVersion="policy/v1beta1"), "policy/v1beta1"),
    "a short grace": (lambda m: _pod(m, GPU).update(terminationGracePeriodSeconds=110), "DRAIN_SECONDS"),
    "root": (lambda m: _pod(m, GPU)["securityContext"].update(runAsUser=0), "user 10001"),
    "a root that can be written": (
        lambda m: _container(m, GPU)["securityContext"].update(readOnlyRootFilesystem=False),
        "root file system",
    ),
    "privileges": (lambda m: _container(m, GPU)["securityContext"].pop("capabilities"), "keeps privileges"),
    "scratch without end": (lambda m: _pod(m, GPU)["volumes"][0].update(emptyDir={}), "sizeLimit"),
    "a setting that is none": (
        lambda m: _container(m, GPU)["env"].append({"name": "CHUNK_SECS", "value": "30"}),
        "CHUNK_SECS is no setting",
    ),
    "a ConfigMap that is not there": (
        lambda m: _container(m, API)["envFrom"][0]["configMapRef"].update(name="other"),
        "no ConfigMap other",
    ),
    "a secret that nobody makes": (
        lambda m: _container(m, API)["env"][0]["valueFrom"]["secretKeyRef"].update(key="uri"),
        "does not make",
    ),
    "a Service for nobody": (lambda m: _named(m, "Service")["spec"]["selector"].update(app="x"), "selects no pod"),
    "a port that is not there": (
        lambda m: _named(m, "Service")["spec"]["ports"][0].update(targetPort="web"),
        "port web",
    ),
    "a probe of no port": (
        lambda m: _container(m, API)["readinessProbe"]["httpGet"].update(port="web"),
        "readinessProbe asks port web",
    ),
    "an account that is not there": (lambda m: _pod(m, GPU).update(serviceAccountName="x"), "no service account x"),
    "a role that is not there": (lambda m: _named(m, "RoleBinding")["roleRef"].update(name="x"), "no Role x"),
    "a selector of other pods": (
        lambda m: workload(m, GPU)["spec"]["selector"]["matchLabels"].update(a="b"),
        "does not match its own pods",
    ),
    "a budget for nobody": (
        lambda m: _named(m, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].update(a="b"),
        "selects no pod",
    ),
    "memory without end": (lambda m: _container(m, GPU)["resources"]["limits"].pop("memory"), "no limit"),
    "a secret in a file": (
        lambda m: m.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {}}),
        "secrets do not belong",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: str) -> None:
    change, words = MISTAKES[mistake]
    manifests: Any = copy.deepcopy(written("base"))
    change(manifests)
    found = complaints(manifests, settings_of("base"))
    assert any(words in sentence for sentence in found), found
