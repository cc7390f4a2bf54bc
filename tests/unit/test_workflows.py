"""The workflows are what GitHub takes, do only what they need to, and call what is here; the check itself is tried."""

from __future__ import annotations

import importlib
import json
import re
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from deploy import roll, smoke
from tests import iam
from tests.fake_ecs import Ecs, ecs_on_loopback

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / ".github" / "workflows"
WORKFLOWS = sorted(path.name for path in FOLDER.iterdir())
CI = PROJECT / "deploy" / "ci"
PINNED = re.compile(r"^[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
COMMANDS: dict[str, click.Command] = {"deploy.roll": roll.main, "deploy.smoke": smoke.main}
# AWS knows nothing narrower for these.
ON_EVERYTHING = {"ecr:GetAuthorizationToken", "ecs:DescribeTaskDefinition"}


def loaded(text: str) -> dict[str, Any]:
    read: dict[Any, Any] = yaml.safe_load(text)
    read["on"] = read.pop(True, read.get("on"))  # YAML 1.1 takes `on` for a truth
    return read


def complaints(text: str) -> list[str]:
    """What is wrong with a workflow, in sentences."""
    workflow = loaded(text)
    found = [f"{used!r} is not pinned to a commit with its version" for used in _unpinned(text)]
    if workflow.get("permissions") != {"contents": "read"}:
        found.append("the workflow may more than read the code")
    # The one that no role stands for: a key to the fleet's own API.
    if "secrets" in re.sub(r"^\s*#.*$", "", text.replace("${{ secrets.SMOKE_KEY }}", ""), flags=re.MULTILINE):
        found.append("a secret is used: roles are assumed for the run")
    for name, job in workflow["jobs"].items():
        found += [f"{name}: {word}" for word in _of_job(job)]
    return found


def _unpinned(text: str) -> Iterator[str]:
    for used in re.findall(r"uses: (.*)$", text, re.MULTILINE):
        is_local = used.startswith("./")
        if not (is_local and (PROJECT / used).is_file()) and not PINNED.match(used):
            yield used


def _of_job(job: dict[str, Any]) -> Iterator[str]:
    wanted = {("contents", "read")}
    text = json.dumps(job)
    wanted |= {("id-token", "write")} if "AWS_" in text or "uses" in job else set()
    wanted |= {("packages", "write")} if "ghcr.io" in text else set()
    if job.get("permissions", {"contents": "read"}).items() - wanted:
        yield "it may more than its steps need"
    if "uses" not in job and "timeout-minutes" not in job:
        yield "it may hang for hours: timeout-minutes is missing"
    for step in job.get("steps", []):
        if step.get("uses", "").startswith("actions/checkout") and step.get("with", {}).get(
            "persist-credentials", True
        ):
            yield "the checkout leaves its token for later steps"
        if "run" in step:
            yield from _of_script(step["run"])


def _of_script(script: str) -> Iterator[str]:
    if "${{" in script:
        yield "an expression is pasted into a script: hand it over in env"
    for module, words in re.findall(r"python -m (deploy\.\w+)(.*)", script):
        command = COMMANDS.get(module)
        known = {option for param in command.params for option in param.opts} if command else set()
        if command is None or importlib.util.find_spec(module) is None:
            yield f"there is no command {module}"
        yield from (f"{module} has no {option}" for option in re.findall(r"--[a-z-]+", words) if option not in known)
    for path in re.findall(r"(?:^|\s)(\.?[\w-]+/[\w./-]+)", script):
        if not path.startswith(("usr/", "opt/")) and not (PROJECT / path).exists():
            yield f"there is no {path}"


def checked_by_schema(*paths: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    return subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, timeout=60)


def test_workflows_are_what_github_takes(tmp_path: Path) -> None:
    done = checked_by_schema(*(FOLDER / name for name in WORKFLOWS))
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "ci.yml").write_text((FOLDER / "ci.yml").read_text().replace("runs-on:", "runs_on:"))
    assert checked_by_schema(tmp_path / "ci.yml").returncode == 1


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_does_only_what_it_needs_to_and_calls_what_is_here(name: str) -> None:
    assert complaints((FOLDER / name).read_text()) == []


MISTAKES = {
    "a tag that may move": ("@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2", "@v4", "not pinned"),
    "a workflow that is not there": ("./.github/workflows/ci.yml", "./.github/workflows/test.yml", "not pinned"),
    "rights to write": ("contents: read\n\nconcurrency", "contents: write\n\nconcurrency", "more than read"),
    "more rights for a job": ("id-token: write", "packages: write", "more than its steps need"),
    "a long-lived key": ("${{ vars.AWS_BUILD_ROLE_ARN }}", "${{ secrets.AWS_KEY }}", "a secret is used"),
    "a name from outside in a script": (
        'release="${TAG#v}"',
        'release="${{ github.ref_name }}"',
        "pasted into a script",
    ),
    "a job without end": ("timeout-minutes: 90\n", "\n", "timeout-minutes is missing"),
    "a token that stays": ("persist-credentials: false", "persist-credentials: true", "leaves its token"),
    "a file that is not there": ("backend/__init__.py", "backend/version.py", "there is no backend/version.py"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: str) -> None:
    right, wrong, words = MISTAKES[mistake]
    text = (FOLDER / "release.yml").read_text()
    assert right in text
    found = complaints(text.replace(right, wrong))
    assert any(words in sentence for sentence in found), found


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [("deploy.smoke ", "deploy.smokes ", "no command deploy.smokes"), ("--release ", "--version ", "has no --version")],
)
def test_a_command_that_is_not_there_is_found(right: str, wrong: str, words: str) -> None:
    text = (FOLDER / "deploy.yml").read_text()
    assert right in text
    assert any(words in sentence for sentence in complaints(text.replace(right, wrong)))


def test_a_release_is_tested_built_and_scanned_before_staging_and_staged_before_production() -> None:
    jobs = loaded((FOLDER / "release.yml").read_text())["jobs"]
    assert "test" in jobs["image"]["needs"] and jobs["test"]["uses"].endswith("/ci.yml")
    assert "image" in jobs["staging"]["needs"]
    assert "staging" in jobs["production"]["needs"]
    assert {jobs[name]["with"]["environment"] for name in ("staging", "production")} == {"staging", "production"}
    for name in ("image", "runpod-image"):
        build = _build(jobs[name])
        assert (build["push"], build["sbom"], build["provenance"]) == (True, True, "mode=max")
        (scan,) = [step["with"] for step in jobs[name]["steps"] if "trivy" in step.get("uses", "")]
        assert scan["exit-code"] == "1" and "steps.build.outputs.digest" in scan["image-ref"]


def _build(job: dict[str, Any]) -> dict[str, Any]:
    (build,) = [step["with"] for step in job["steps"] if step.get("id") == "build"]
    return dict(build)


def test_every_image_of_the_dockerfile_is_built() -> None:
    jobs = loaded((FOLDER / "release.yml").read_text())["jobs"]
    dockerfile = (PROJECT / "docker" / "Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", dockerfile, re.MULTILINE)
    # What has a command of its own and is built upon by nobody.
    built_upon = {base for base, _ in stages} | set(re.findall(r"--from=(\S+)", dockerfile))
    built = [*jobs["image"]["strategy"]["matrix"]["target"], _build(jobs["runpod-image"])["target"]]
    assert sorted(built) == sorted({name for _, name in stages} - built_upon)


def test_no_film_means_no_release() -> None:
    steps = loaded((FOLDER / "deploy.yml").read_text())["jobs"]["deploy"]["steps"]
    runs = [(step.get("run", ""), step.get("if", "")) for step in steps]
    forward = next(at for at, (run, _) in enumerate(runs) if "--release" in run)
    film = next(at for at, (run, _) in enumerate(runs) if "deploy.smoke" in run)
    back = next(at for at, (run, _) in enumerate(runs) if "--back" in run)
    assert forward < film < back
    assert runs[back][1] == f"failure() && steps.{steps[forward]['id']}.outcome == 'success'"


VALUES = {"account_id": "123456789012", "region": "eu-west-1", "name": "framefleet", "environment": "production"}


def document(name: str) -> dict[str, Any]:
    """A policy as docs/release.md has it filled in, but for the repository's name."""
    filled = string.Template((CI / name).read_text()).substitute(VALUES, repository="${repository}")
    loaded: dict[str, Any] = json.loads(filled)
    return loaded


def policy(name: str) -> list[dict[str, Any]]:
    statements: list[dict[str, Any]] = document(name)["Statement"]
    return statements


def actions(statement: dict[str, Any]) -> set[str]:
    return {statement["Action"]} if isinstance(statement["Action"], str) else set(statement["Action"])


@pytest.mark.parametrize("name", sorted(path.name for path in CI.glob("role-*.json")))
def test_a_role_of_the_workflows_may_no_more_than_named_things(name: str) -> None:
    for statement in policy(name):
        assert not any("*" in action for action in actions(statement))
        if statement["Resource"] == "*":
            assert actions(statement) <= ON_EVERYTHING
    assert iam.findings(document(name)) == []


def test_the_deployments_role_may_what_a_roll_out_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ecs = Ecs()
    with ecs_on_loopback(ecs, monkeypatch):
        done = CliRunner().invoke(
            roll.main, ["--name", "fleet", "--region", "eu-west-1", "--poll", "0", "--release", "2"]
        )
    assert done.exit_code == 0, done.output
    asked = {f"ecs:{call['operation']}" for call in ecs.asked}
    allowed = set().union(*(actions(statement) for statement in policy("role-deploy.json")))
    assert allowed - asked == {"ecs:TagResource", "iam:PassRole"}  # what registering a revision needs besides
    assert asked <= allowed


@pytest.mark.parametrize("name", sorted(path.name for path in CI.glob("trust-*.json")))
def test_only_this_repository_gets_a_role(name: str) -> None:
    (statement,) = policy(name)
    conditions = {key: value for test in statement["Condition"].values() for key, value in test.items()}
    assert conditions["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"
    assert conditions["token.actions.githubusercontent.com:sub"].startswith("repo:${repository}:")
