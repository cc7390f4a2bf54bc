"""A command runs where the fleet's database can be reached; its words and its exit code come back."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from deploy.ecs.sources import HERE
from deploy.on_fleet import main
from tests.fake_ecs import Ecs, ecs_on_loopback


@pytest.fixture
def ecs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ecs]:
    ecs = Ecs(container="analysis-worker", said=["one", "two"])
    with ecs_on_loopback(ecs, monkeypatch):
        yield ecs


def ask(*words: str) -> Result:
    return CliRunner().invoke(main, ["--name", "fleet", "--region", "eu-west-1", "--poll", "0", *words])


def test_the_words_of_the_command_come_back_in_order(ecs: Ecs) -> None:
    done = ask("framefleet", "list", "--status", "failed")
    assert (done.exit_code, done.stdout) == (0, "one\ntwo\n"), done.output
    assert ecs.events[0] == "analysis-worker: framefleet list --status failed"
    assert "/fleet/analysis-worker analysis-worker/analysis-worker/1" in ecs.events


def test_the_exit_code_is_the_commands(ecs: Ecs) -> None:
    ecs.migration_exit = 2
    assert ask("framefleet", "retry", "x").exit_code == 2


def test_as_the_owner_it_is_the_migrations_task(ecs: Ecs) -> None:
    ecs.container = "migrate"
    done = ask("--owner", "alembic", "downgrade", "-1")
    assert done.exit_code == 0, done.output
    assert ecs.events[0] == "migrate: alembic downgrade -1"
    (started,) = [call for call in ecs.asked if call["operation"] == "RunTask"]
    assert started["taskDefinition"] == "fleet-migrate"
    assert "/fleet/migrate migrate/migrate/1" in ecs.events


def test_a_log_that_is_a_moment_behind_is_looked_at_again(ecs: Ecs) -> None:
    ecs.log_is_behind = 2
    assert ask("framefleet", "workers").stdout == "one\ntwo\n"


def test_a_command_that_says_nothing_is_no_failure(ecs: Ecs) -> None:
    ecs.said = []
    done = ask("framefleet", "resume")
    assert (done.exit_code, done.stdout) == (0, ""), done.output


def test_a_task_that_never_ran_is_said(ecs: Ecs) -> None:
    ecs.migration_exit, ecs.said = None, []
    done = ask("framefleet", "workers")
    assert done.exit_code == 1
    assert "never ran: Essential container in task exited" in done.stderr


def test_a_command_that_does_not_end_is_given_up_with_its_name(ecs: Ecs) -> None:
    done = ask("--timeout", "0", "framefleet", "workers")
    assert done.exit_code == 1
    assert "still runs: arn:aws:ecs:eu-west-1:123456789012:task/fleet/1" in done.stderr


@pytest.mark.parametrize("part", ["analysis-worker", "migrate"])
def test_the_log_is_where_the_task_definition_sends_it(part: str) -> None:
    definition = json.loads((HERE / "task_definitions" / f"{part.replace('-', '_')}.json").read_text())
    (container,) = [each for each in definition["containerDefinitions"] if each["name"] == part]
    options = container["logConfiguration"]["options"]
    assert (options["awslogs-group"], options["awslogs-stream-prefix"]) == (f"/${{name}}/{part}", part)
    assert definition["requiresCompatibilities"] == ["FARGATE"]


def test_a_token_does_not_get_into_the_log(ecs: Ecs) -> None:
    assert ask("framefleet", "remote", "add", "desk").exit_code == 2
    for words in (("create", "desk", "--json"), ("make",)):
        assert ask("framefleet", "keys", *words).exit_code == 2
    assert ecs.events == []
