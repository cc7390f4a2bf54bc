"""A machine without torch and Ultralytics: everything starts, and a film is cropped with the packaged weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend.local.sample import make_sample

PROJECT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "torchvision", "ultralytics", "onnxruntime")
# Imported by every Python process that finds it: the packages are as good as not installed.
WITHOUT_THEM = f"""
import importlib.machinery

found = importlib.machinery.PathFinder.find_spec

def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in {HEAVY!r} else found(name, path, target)

importlib.machinery.PathFinder.find_spec = find_spec
"""


def python(*arguments: str, cwd: Path, path: Path = PROJECT, **env: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(path), str(PROJECT)])} | env
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    "begins",
    [
        "backend.cli",
        "backend.api.app",
        "backend.workers.gpu_chunk_worker",
        "backend.workers.analysis_worker",
        "backend.workers.janitor",
    ],
)
def test_what_starts_imports_neither_torch_nor_ultralytics(begins: str, tmp_path: Path) -> None:
    show = f"import sys, {begins}; print(sorted(set(sys.modules) & {set(HEAVY)!r}))"
    assert python("-c", show, cwd=tmp_path).stdout == "[]\n"


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_command_answers_without_torch_and_ultralytics(option: str, tmp_path: Path) -> None:
    show = (
        "import atexit, sys; from backend.cli import main; sys.argv = ['framefleet', sys.argv[1]];"
        f"atexit.register(lambda: print(sorted(set(sys.modules) & {set(HEAVY)!r}))); main()"
    )
    done = python("-c", show, option, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "framefleet" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.fixture
def without_them(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH. Its processes find none of the heavy packages."""
    folder = tmp_path / "without"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(WITHOUT_THEM)
    assert python("-c", "import torch", cwd=tmp_path, path=folder).returncode != 0
    return folder


def test_without_torch_a_film_is_cropped_with_the_packaged_weights(tmp_path: Path, without_them: Path) -> None:
    clip = make_sample(tmp_path / "clip.mp4", seconds=2)
    done = python(
        "-m", "backend", "run", "crop", str(clip), "--param", "aspect=9:16", "--workers", "1", "--json",
        cwd=tmp_path, path=without_them,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    detector = report["detector"]
    assert (detector["type"], detector["model"]) == ("yolo", "yolo11n.onnx")
    assert "fallback" not in detector  # nobody asked for others
    assert json.loads(Path(report["files"]["tracks"]).read_text())["tracks"]


def test_weights_that_need_torch_say_what_to_install(tmp_path: Path, without_them: Path) -> None:
    (tmp_path / "best.pt").touch()
    show = (
        "from backend.settings import Settings; from backend.vision.detector import open_detector;"
        "open_detector(Settings(detector='yolo', model_name='best.pt'))"
    )
    done = python("-c", show, cwd=tmp_path, path=without_them)
    assert "ModelMissing" in done.stderr
    assert "'.[gpu]'" in done.stderr
