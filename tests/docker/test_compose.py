"""The files for one machine with containers: their schema, what the schema does not see, and the passwords."""

from __future__ import annotations

import copy
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docker.compose import FOLDER, Compose, complaints, in_order, interpolated, read
from tests.docker.dockerfile import TARGETS

FILES = ("compose.yaml", "compose.nvidia.yaml")


def test_the_files_are_what_compose_takes() -> None:
    if find_spec("check_jsonschema") is None:
        pytest.skip("check-jsonschema is not installed: pip install -c constraints.txt check-jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*command, *[str(FOLDER / name) for name in FILES]], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("files", [FILES[:1], FILES])
def test_nothing_dangles_and_nothing_is_open(files: tuple[str, ...]) -> None:
    assert complaints(read(*files)) == []


def mistake(service: str, **changes: object) -> Callable[[Compose], None]:
    def make(compose: Compose) -> None:
        compose["services"][service].update(changes)

    return make


HEALTHY = {"condition": "service_healthy"}
ENDED = {"condition": "service_completed_successfully"}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (mistake("api", depends_on={"postgress": HEALTHY}), "api: depends on postgress, which there is not"),
        (mistake("api", depends_on={"prometheus": HEALTHY}), "api: waits until prometheus is healthy"),
        (mistake("api", depends_on={"postgres": ENDED}), "api: waits for the end of postgres"),
        (mistake("s3", volumes=["objekts:/data"]), "s3: mounts the volume objekts"),
        (mistake("prometheus", volumes=["./promet.yml:/x:ro"]), "prometheus: mounts ./promet.yml"),
        (mistake("prometheus", volumes=["./prometheus.yml:/x"]), "prometheus: may write to ./prometheus.yml"),
        (mistake("s3", networks={"back": {}}), "s3: uses back of networks"),
        (mistake("api", secrets=["password"]), "api: uses password of secrets"),
        (mistake("gpu-worker", read_only=False), "gpu-worker: may write to its root"),
        (mistake("gpu-worker", cap_add=["SYS_ADMIN"]), "gpu-worker: keeps capabilities"),
        (mistake("s3", security_opt=[]), "s3: may gain privileges"),
        (mistake("api", ports=["8080:8080"]), "api: opens 8080:8080"),
        (mistake("analysis-worker", stop_grace_period="10s"), "analysis-worker: is killed before"),
        (mistake("postgres", image="postgres:latest"), "postgres: postgres:latest is not pinned"),
        (mistake("api", build={"target": "runpod"}), "api: framefleet/api is built from the target runpod"),
        (mistake("api", image="framefleet/apy"), "api: framefleet/apy is no target"),
        (mistake("migrate", pull_policy="missing"), "migrate: framefleet/api would be looked for in a registry"),
        (mistake("migrate", build={"target": "api"}), "migrate: framefleet/api is built by 2 services"),
        (mistake("api", environment={"STORAGE_URI": "s3://framefleet"}), "api: STORAGE_URI is no setting"),
        (mistake("api", environment={}), "api: does not know the database"),
        (mistake("grafana", environment={"GF_SECURITY_ADMIN_PASSWORD": "admin"}), "is written down in the file"),
        (mistake("grafana", environment={"X_PASSWORD": "${X:-admin}"}), "has a default that everybody knows"),
    ],
)  # fmt: skip
def test_the_check_catches(make: Callable[[Compose], None], words: str) -> None:
    compose = copy.deepcopy(read(*FILES[:1]))
    make(compose)
    assert any(words in complaint for complaint in complaints(compose))


def test_the_overlay_gives_the_gpu_to_the_chunk_worker_alone() -> None:
    plain, with_gpu = read(*FILES[:1])["services"], read(*FILES)["services"]
    assert {name for name in with_gpu if with_gpu[name] != plain[name]} == {"gpu-worker"}
    worker = with_gpu["gpu-worker"]
    assert worker["build"]["target"] == "gpu-worker" and "gpu-worker" in TARGETS
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert worker["environment"]["DETECTOR"] == "yolo"
    assert worker["environment"]["DATABASE_URL"] == plain["gpu-worker"]["environment"]["DATABASE_URL"]


def test_work_begins_after_the_tables_and_the_bucket_are_there() -> None:
    order = in_order(read(*FILES[:1]))
    for service in ("api", "analysis-worker", "gpu-worker"):
        assert {"postgres", "s3", "migrate", "bucket"} <= set(order[: order.index(service)])


def made_env(folder: Path) -> dict[str, str]:
    """What docker/make-env writes, in a folder of its own."""
    shutil.copy(FOLDER / "make-env", folder / "make-env")
    subprocess.run([folder / "make-env"], check=True, timeout=10)
    return dict(line.split("=", 1) for line in (folder / ".env").read_text().splitlines())


def test_passwords_are_made_once_and_only_for_their_owner(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    made, other = made_env(first), made_env(second)
    assert stat.S_IMODE((first / ".env").stat().st_mode) == 0o600
    assert all(len(value) >= 20 for value in made.values())
    assert len({*made.values(), *other.values()}) == 2 * len(made)  # neither twice nor everywhere the same
    again = subprocess.run([first / "make-env"], capture_output=True, text=True, timeout=10)
    assert again.returncode == 1 and "there already" in again.stderr
    assert dict(line.split("=", 1) for line in (first / ".env").read_text().splitlines()) == made


def test_a_file_of_an_earlier_version_gets_the_token_that_it_lacks(tmp_path: Path) -> None:
    made = made_env(tmp_path)
    env = tmp_path / ".env"
    env.write_text("".join(f"{name}={value}\n" for name, value in made.items() if name != "METRICS_TOKEN"))
    subprocess.run([tmp_path / "make-env"], check=True, timeout=10)
    now = dict(line.split("=", 1) for line in env.read_text().splitlines())
    assert len(now.pop("METRICS_TOKEN")) >= 20
    assert now == {name: value for name, value in made.items() if name != "METRICS_TOKEN"}


def test_all_variables_of_the_file_are_made(tmp_path: Path) -> None:
    compose = interpolated(read(*FILES), made_env(tmp_path))
    assert "${" not in str(compose)
    with pytest.raises(KeyError):
        interpolated(read(*FILES), {})
