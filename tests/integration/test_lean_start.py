"""A machine without torch and Ultralytics: everything starts, and a film is cropped with the packaged weights."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.samples import make_sample

PROJECT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "torchvision", "ultralytics", "onnxruntime")
LATER = ("cv2", "openvino", "osqp", "pyarrow", "scipy", "boto3", "matplotlib")
WORKERS = ("gpu_chunk_worker", "analysis_worker")
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


def test_what_starts_imports_neither_torch_nor_ultralytics(tmp_path: Path) -> None:
    """In one process, one after the other; what solves, writes tables or talks to S3 comes later too."""
    begins = ["backend.cli", *(f"backend.workers.{name}" for name in WORKERS), "backend.api.app"]
    show = (
        "import importlib, json, sys\n"
        f"for name in {begins!r}:\n"
        "    importlib.import_module(name)\n"
        f"    print(json.dumps([name, sorted(set(sys.modules) & {{*{HEAVY!r}, *{LATER!r}}})]))\n"
    )
    done = python("-c", show, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [[name, []] for name in begins]


def test_the_command_answers_without_torch_and_ultralytics(tmp_path: Path) -> None:
    show = (
        "import contextlib, sys\n"
        "from backend.cli import main\n"
        "for option in ('--version', '--help'):\n"
        "    sys.argv = ['framefleet', option]\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        main()\n"
        f"print(sorted(set(sys.modules) & {set(HEAVY)!r}))\n"
    )
    done = python("-c", show, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("framefleet, version")
    assert "Usage: framefleet" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_opencv_is_the_build_without_a_screen() -> None:
    """Two packages that both bring `cv2` overwrite each other's files."""
    assert set(importlib.metadata.packages_distributions()["cv2"]) == {"opencv-python-headless"}


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
