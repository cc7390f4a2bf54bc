"""A release goes onto a fleet in its order, and what does not come up leaves the fleet as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deploy.ecs.sources import HERE
from deploy.ecs_services import image_of
from deploy.roll import MIGRATION, ORDER, main
from tests.fake_ecs import Ecs, ecs_on_loopback

ROLLED = [
    "migrate 0.2.0",
    "migrated",
    *[word for service in ("analysis-worker", "gpu-worker", "api")
      for word in (f"{service} -> 0.2.0", f"{service} runs 0.2.0")],
]  # fmt: skip


@pytest.fixture
def ecs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ecs]:
    ecs = Ecs()
    with ecs_on_loopback(ecs, monkeypatch):
        yield ecs


def roll(*more: str) -> Result:
    return CliRunner().invoke(main, ["--name", "fleet", "--region", "eu-west-1", "--poll", "0", *more])


def test_a_release_is_migrated_first_and_its_api_comes_last(ecs: Ecs) -> None:
    done = roll("--release", "0.2.0")
    assert done.exit_code == 0, done.output
    assert ecs.events == ROLLED
    told = json.loads(done.stdout)
    assert {service: (each["from"][-1], each["to"][-1]) for service, each in told.items()} == dict.fromkeys(
        ("analysis-worker", "gpu-worker", "api"), ("1", "2")
    )


def test_a_new_revision_is_the_old_one_with_another_image(ecs: Ecs) -> None:
    assert roll("--release", "0.2.0").exit_code == 0
    old, new = ecs.definitions[ecs.first["api"]], ecs.definitions[ecs.running["api"]]
    changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    read_only = {"requiresAttributes", "compatibilities", "registeredBy", "status"}
    assert changed - read_only == {"taskDefinitionArn", "revision", "containerDefinitions", "tags"}
    assert new["tags"] == [{"key": "team", "value": "films"}]
    (was,), (now,) = old["containerDefinitions"], new["containerDefinitions"]
    assert now == was | {"image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/framefleet/api:0.2.0"}


def test_a_migration_that_fails_touches_no_service(ecs: Ecs) -> None:
    ecs.migration_exit = 1
    done = roll("--release", "0.2.0")
    assert done.exit_code == 1
    assert "no service was touched" in done.stderr and "exit codes {'api': 1}" in done.stderr
    assert ecs.events == ["migrate 0.2.0", "migrated"]


def test_an_api_that_does_not_come_up_takes_the_workers_back(ecs: Ecs) -> None:
    ecs.broken = {"api"}
    done = roll("--release", "0.2.0")
    assert done.exit_code == 1
    assert "api did not come up: tasks failed to start." in done.stderr
    assert "The revisions before run again" in done.stderr
    assert ecs.running == ecs.first
    assert ecs.events[-5:] == [
        *["analysis-worker -> 0.1.0", "analysis-worker runs 0.1.0"],
        *["gpu-worker -> 0.1.0", "gpu-worker runs 0.1.0"],
        "api -> 0.1.0",
    ]


def test_a_service_that_never_settles_is_given_up(ecs: Ecs) -> None:
    ecs.stuck = {"analysis-worker"}
    done = roll("--release", "0.2.0", "--timeout", "0")
    assert done.exit_code == 1
    assert "still under way" in done.stderr
    assert not any("gpu-worker" in event or "api" in event for event in ecs.events)


def test_a_migration_that_never_ends_is_given_up_before_any_service_moves(ecs: Ecs) -> None:
    done = roll("--release", "0.2.0", "--migration-timeout", "0")
    assert done.exit_code == 1
    assert "After 0 s the migration is still under way" in done.stderr
    assert ecs.events == ["migrate 0.2.0"]


def test_a_copy_of_ecs_that_is_behind_is_no_failure(ecs: Ecs) -> None:
    ecs.stale_looks = 1
    done = roll("--release", "0.2.0")
    assert done.exit_code == 0, done.output
    assert ecs.events == ROLLED


def test_the_way_back_is_the_file_that_the_way_forward_printed(ecs: Ecs, tmp_path: Path) -> None:
    (tmp_path / "rolled.json").write_text(roll("--release", "0.2.0").stdout)
    ecs.events.clear()
    done = roll("--back", str(tmp_path / "rolled.json"))
    assert done.exit_code == 0, done.output
    assert ecs.running == ecs.first
    assert [event for event in ecs.events if "->" in event] == [
        "analysis-worker -> 0.1.0", "gpu-worker -> 0.1.0", "api -> 0.1.0",
    ]  # fmt: skip
    assert not any("migrate" in event for event in ecs.events)


def test_a_fleet_that_is_not_there_is_said(ecs: Ecs) -> None:
    ecs.running.clear()
    done = roll("--release", "0.2.0")
    assert (done.exit_code, "no service fleet-analysis-worker" in done.stderr) == (1, True)


def test_the_services_are_those_that_are_deployed() -> None:
    families = {json.loads(path.read_text())["family"] for path in (HERE / "task_definitions").glob("*.json")}
    assert families == {f"${{name}}-{part}" for part in (*ORDER, MIGRATION)}


@pytest.mark.parametrize("words", [[], ["--release", "1", "--back", __file__]])
def test_forward_or_back_has_to_be_said(words: list[str]) -> None:
    assert roll(*words).exit_code == 2


@pytest.mark.parametrize(
    ("image", "release", "new"),
    [
        ("r.example/framefleet/api:0.1.0", "0.2.0", "r.example/framefleet/api:0.2.0"),
        ("r.example:5000/framefleet/api", "0.2.0", "r.example:5000/framefleet/api:0.2.0"),
        ("r.example:5000/api:0.1.0@sha256:ab", "0.2.0", "r.example:5000/api:0.2.0"),
        ("api@sha256:ab", "sha256:cd", "api@sha256:cd"),
    ],
)
def test_only_the_tag_of_an_image_changes(image: str, release: str, new: str) -> None:
    assert image_of(image, release) == new
