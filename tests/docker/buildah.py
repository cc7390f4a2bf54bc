"""Builds images with no engine: Debian's buildah, a chroot instead of containers, a folder for each layer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.docker.compose import PROJECT

STAND_IN_BASE = "localhost/stand-in-for-python-slim"
TOOLS = ("buildah", "debootstrap", "unshare", "chroot")
RELEASE = "bookworm"
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
BUILD_SEC = 1800.0
# As the official image has it; Debian's own pip would refuse to install beside apt's packages, not in a venv.
PYTHON_LINKS = ("usr/local/bin/python", "usr/local/bin/python3")


def require_tools() -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)}: not installed; apt-get install buildah debootstrap util-linux")
    if os.geteuid() != 0:
        pytest.skip("building in a chroot needs root")


@dataclass(frozen=True)
class Buildah:
    """Its store lies below `folder`, and nothing is left elsewhere."""

    folder: Path
    mounted: dict[str, Path] = field(default_factory=dict)

    def run(self, command: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        store = ["--root", str(self.folder / "store"), "--runroot", str(self.folder / "run"), "--storage-driver", "vfs"]
        done = subprocess.run(
            ["buildah", *store, command, *arguments], capture_output=True, text=True, timeout=BUILD_SEC
        )
        assert done.returncode == 0 or not check, done.stdout[-6000:] + done.stderr[-6000:]
        return done

    def make_base(self) -> None:
        """A stand-in for the official Python image, which no registry is asked for: Debian with its own Python."""
        root = self.folder / "debian"
        include = f"--include={PACKAGES}"
        subprocess.run(
            ["debootstrap", "--variant=minbase", include, RELEASE, str(root)],
            check=True, capture_output=True, timeout=BUILD_SEC,
        )  # fmt: skip
        for name in PYTHON_LINKS:
            (root / name).symlink_to("/usr/bin/python3")
        container = self.run("from", "scratch").stdout.strip()
        self.run("copy", container, str(root), "/")
        self.run("commit", container, STAND_IN_BASE)
        self.run("rm", container)
        shutil.rmtree(root)

    def build(self, target: str, context: Path, wheels: Path, **arguments: str) -> subprocess.CompletedProcess[str]:
        """`wheels`: the packages, in place of an index."""
        pip = self.folder / "pip.conf"
        pip.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
        given = {"PYTHON_IMAGE": STAND_IN_BASE, "VERSION": "1.2.3", "REVISION": "abc", **arguments}
        return self.run(
            "bud", "--isolation", "chroot", "--pull-never", "--format", "docker", "--target", target,
            "--volume", f"{wheels}:/wheels:ro", "--volume", f"{pip}:/etc/pip.conf:ro",
            *[word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")],
            "--file", str(context / "docker" / "Dockerfile"), "--tag", f"framefleet/{target}", str(context),
            check=False,
        )  # fmt: skip

    def configuration(self, target: str) -> dict[str, Any]:
        """What the image says of itself: Env, Entrypoint, Cmd, User, WorkingDir, Healthcheck, Labels, StopSignal."""
        told = json.loads(self.run("inspect", "--type", "image", f"framefleet/{target}").stdout)
        config: dict[str, Any] = told["Docker"]["config"]
        return config

    def mount(self, target: str) -> Path:
        """The image's root file system. One for all of its containers: none may write to it, and each is a copy."""
        if target not in self.mounted:
            container = self.run("from", "--pull-never", f"framefleet/{target}").stdout.strip()
            self.mounted[target] = Path(self.run("mount", container).stdout.strip())
        return self.mounted[target]


def build_context(folder: Path) -> Path:
    """The repository's own files, as a checkout has them."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=True).stdout
    for name in names.decode().split("\0"):
        if name and (PROJECT / name).is_file():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, place)
    return folder


def download_wheels(folder: Path, context: Path, *requirements: str) -> Path:
    """With this machine's own pip and index, so that the build needs neither. `.` is the context."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--constraint", str(PROJECT / "constraints.txt")]
    subprocess.run(
        [*command, "--wheel-dir", str(folder), *requirements],
        cwd=context, check=True, capture_output=True, timeout=BUILD_SEC,
    )  # fmt: skip
    return folder
