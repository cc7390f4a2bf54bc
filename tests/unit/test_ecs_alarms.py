"""Every alarm is on a metric that is sent, and leads to an entry of the runbook."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest

from backend.queue.figures import Figures
from backend.workers.metrics import metric_data
from deploy.ecs.aws_requests import alarms
from deploy.ecs.sources import HERE, read
from deploy.ecs.values import read_values

RUNBOOK = (HERE.parents[1] / "docs" / "operations.md").read_text()
ALARMS: list[dict[str, Any]] = read("alarms.json")["alarms"]
PARTS = ("It means.", "Look at.", "Do.", "Do not.")


def sent_names() -> set[str]:
    nothing = {field.name: {} if "Mapping" in str(field.type) else 0 for field in fields(Figures)}
    return {metric["MetricName"] for metric in metric_data(Figures(**nothing), None)}


def test_every_metric_that_an_alarm_a_rule_or_the_dashboard_names_is_sent() -> None:
    rules = read("scaling.json")
    named = {metric["metric_name"] for alarm in ALARMS for metric in alarm["metrics"]}
    named |= {rule["metric_name"] for rule in rules["target_tracking"]}
    named |= {rule["alarm"]["metric_name"] for rule in rules["step_scaling"]}
    shown = set(re.findall(r'\["\$\{metrics_namespace\}", "(\w+)"', (HERE / "dashboard.json").read_text()))
    assert len(named) > 8 and len(shown) > 8
    assert (named | shown) - sent_names() == set()


def entries() -> dict[str, str]:
    """Anchor, as a page of Markdown has it, → text below the heading."""
    found = {}
    for part in re.split(r"^### ", RUNBOOK, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found[anchor] = re.split(r"^## ", text, flags=re.MULTILINE)[0]
    return found


@pytest.mark.parametrize("alarm", ALARMS, ids=[alarm["name"] for alarm in ALARMS])
def test_an_alarm_names_its_entry_which_says_what_it_means_and_what_to_do(alarm: dict[str, Any]) -> None:
    request = alarms(read_values(HERE / "values.example.json"))[alarm["name"]]
    anchor = request["AlarmDescription"].rpartition("#")[2]
    assert anchor == f"alarm-{alarm['name']}"
    assert [part for part in PARTS if f"**{part}**" not in entries()[anchor]] == []


def test_every_entry_is_an_alarms() -> None:
    known = {alarm["runbook"] for alarm in ALARMS}
    prometheus = set(re.findall(r"operations\.md#([\w-]+)", (HERE.parent / "prometheus" / "alerts.yml").read_text()))
    assert {anchor for anchor in entries() if anchor.startswith("alarm-")} - known - prometheus == set()


def test_expressions_are_of_the_metrics_beside_them() -> None:
    for alarm in ALARMS:
        ids = {metric["id"] for metric in alarm["metrics"]}
        assert all(re.fullmatch(r"[a-z][A-Za-z0-9_]*", name) for name in ids)  # CloudWatch takes no others
        if alarm["expression"] is None:
            assert len(ids) == 1
        else:
            assert set(re.findall(r"[a-z_]\w*", alarm["expression"])) == ids


@pytest.mark.parametrize(
    ("name", "figures", "value"),
    [
        ("chunks-fail", {"failed": 0, "completed": 0}, 0),
        ("chunks-fail", {"failed": 1, "completed": 19}, 5),
        ("chunks-fail", {"failed": 2, "completed": 18}, 10),
        ("jobs-fail", {"failed": 2, "done": 0}, 0),
        ("jobs-fail", {"failed": 3, "done": 3}, 50),
        ("oldest-queued", {"oldest": 900, "running": 0}, 0),
        ("oldest-queued", {"oldest": 900, "running": 2}, 900),
        ("no-workers", {"queued": 7, "running": 0}, 7),
        ("no-workers", {"queued": 7, "running": 1}, 0),
    ],
)
def test_expressions_say_what_is_meant(name: str, figures: dict[str, float], value: float) -> None:
    """Their IF, computed here as CloudWatch documents it: the third where the first is 0, else the second."""
    expression = next(alarm["expression"] for alarm in ALARMS if alarm["name"] == name)
    condition, wanted, otherwise = re.fullmatch(r"IF\((.+?), (.+), (.+)\)", expression).groups()
    chosen = wanted if eval(condition, {}, figures) else otherwise
    assert eval(chosen, {}, figures) == value


def test_thresholds_are_those_that_were_asked_for() -> None:
    conditions = {alarm["name"]: (alarm["comparison_operator"], alarm["threshold"]) for alarm in ALARMS}
    above = "GreaterThanThreshold"
    assert conditions["many-queued"] == (above, 100)
    assert conditions["chunks-fail"] == (above, 5)
    assert conditions["aggregation-slow"] == (above, 120)
    assert conditions["oldest-queued"] == (above, 600)
    assert conditions["no-workers"] == (above, 0)
    assert conditions["old-transaction"] == (above, 300)
    assert {alarm["name"] for alarm in ALARMS if alarm["treat_missing_data"] == "breaching"} == {"no-metrics"}
