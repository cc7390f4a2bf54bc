"""Terraform for the tests. Where it or the AWS provider is missing they are skipped, with how to get it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from deploy.ecs.sources import HERE

PROVIDER = "registry.terraform.io/hashicorp/aws"
# Where a machine without the internet may keep providers (Terraform's "filesystem mirror").
MIRRORS = ("~/.terraform.d/plugins", "/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins", "/opt/*")
OLDEST = (1, 7)
PATIENCE_SEC = 240


def terraform(folder: Path, *arguments: str, timeout_sec: float = PATIENCE_SEC) -> subprocess.CompletedProcess[str]:
    """Runs it in that folder; skips the test where there is none."""
    command = shutil.which("terraform")
    if command is None or version(command) < OLDEST:
        pytest.skip("needs terraform >= 1.7: https://developer.hashicorp.com/terraform/install")
    # The provider's schemas are hundreds of megabytes: a collector that runs less often saves a quarter of the time.
    calm = {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "GOGC": "400"}
    environment = {**os.environ, **calm, **_mirrored(folder)}
    run = [command, *arguments]
    return subprocess.run(
        run, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout_sec, stdin=subprocess.DEVNULL
    )


@cache
def version(command: str) -> tuple[int, ...]:
    told = subprocess.run([command, "version", "-json"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in json.loads(told)["terraform_version"].partition("-")[0].split("."))


def module_copy(folder: Path) -> Path:
    """deploy/ecs/ where nothing else is written, initialized; skips the test where the provider cannot be had."""
    module = folder / "module"
    shutil.copytree(HERE, module, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars", "__pycache__"))
    done = terraform(module, "init", "-backend=false", "-input=false", "-no-color")
    if done.returncode != 0 and "Failed to query available provider packages" in done.stderr:
        pytest.skip(
            "needs the AWS provider: let terraform reach its registry, or keep a mirror in ~/.terraform.d/plugins"
        )
    assert done.returncode == 0, done.stderr
    return module


def _mirrored(folder: Path) -> dict[str, str]:
    """Settings that make Terraform take the provider from this machine, where it lies there."""
    for pattern in MIRRORS:
        path = Path(pattern).expanduser()
        for mirror in sorted(path.parent.glob(path.name)):
            if (mirror / PROVIDER).is_dir():
                settings = folder.parent / "terraformrc"
                if folder == HERE:
                    return {}
                settings.write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{mirror}" }}\n}}\n')
                return {"TF_CLI_CONFIG_FILE": str(settings)}
    return {}
