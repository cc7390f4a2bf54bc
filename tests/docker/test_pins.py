"""`make image-bases` with a `docker` that answers as the real one: only digests change; a failure changes none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docker.compose import FOLDER

NEW = "sha256:" + "ab" * 32


def refreshed(folder: Path, says: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs a copy of the script beside copies of the files, with `says` as docker's answer."""
    for name in ("Dockerfile", "compose.yaml", "refresh_bases.py"):
        shutil.copy(FOLDER / name, folder)
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    docker = bin_folder / "docker"
    docker.write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\necho "{says}"\nexit {code}\n')
    docker.chmod(0o755)
    environment = os.environ | {"PATH": f"{bin_folder}:{os.environ['PATH']}"}
    command = [sys.executable, str(folder / "refresh_bases.py")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_every_pin_becomes_what_the_registry_says(tmp_path: Path) -> None:
    assert refreshed(tmp_path, NEW).returncode == 0
    for name, pins in (("Dockerfile", 1), ("compose.yaml", 4)):
        before, after = (FOLDER / name).read_text(), (tmp_path / name).read_text()
        assert after == re.sub(r"@sha256:[0-9a-f]{64}", f"@{NEW}", before)
        assert after.count(NEW) == pins
    weights = re.findall(r"MODEL_SHA256=\w+", (FOLDER / "Dockerfile").read_text())
    assert re.findall(r"MODEL_SHA256=\w+", (tmp_path / "Dockerfile").read_text()) == weights  # not an image
    asked = (tmp_path / "asked").read_text()
    python = "docker.io/library/python:3.11-slim-bookworm"
    assert f"buildx imagetools inspect {python} --format {{{{.Manifest.Digest}}}}" in asked


def test_what_is_no_digest_changes_nothing_and_is_said(tmp_path: Path) -> None:
    done = refreshed(tmp_path, "toomanyrequests", code=1)
    assert done.returncode == 1
    assert "its registry gives no digest" in done.stderr
    assert (tmp_path / "Dockerfile").read_text() == (FOLDER / "Dockerfile").read_text()
