"""deploy/ecs/scaling.json says what it must, and what it may not say is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from backend.settings import Settings
from backend.workers.metrics import HIGH_RESOLUTION, SEND_EVERY_SEC, metric_data
from deploy.fleet.rules import SCALING_FILE, Rules
from tests.unit.figures import figures


def test_the_fleet_goes_from_none_to_ten_with_the_cooldowns_of_the_coach() -> None:
    rules = Rules.read()
    tracking, busy = rules.target_tracking
    assert tracking.disable_scale_in and not busy.disable_scale_in
    assert busy.target_value == 1  # never out
    assert (rules.min_capacity, rules.max_capacity) == (0, 10)
    for each in rules.target_tracking:
        assert (each.scale_out_cooldown_seconds, each.scale_in_cooldown_seconds) == (60, 300)
    assert tracking.target_value == rules.inputs.acceptable_wait_seconds / rules.inputs.mean_chunk_seconds


def test_the_rules_stand_on_metrics_that_are_sent_as_often_as_they_say() -> None:
    rules = Rules.read()
    sent = {each["MetricName"]: each["StorageResolution"] for each in metric_data(figures(), "north")}
    alarms = [policy.alarm for policy in rules.step_scaling]
    assert {each.metric_name for each in (*rules.target_tracking, *alarms)} <= sent.keys()
    assert {alarm.metric_name for alarm in alarms if alarm.period_seconds < 60} <= HIGH_RESOLUTION
    assert {name for name, resolution in sent.items() if resolution == 1} == HIGH_RESOLUTION
    assert rules.metrics.sent_every_seconds == SEND_EVERY_SEC


def test_the_settings_that_the_rules_name_exist() -> None:
    metrics = Rules.read().metrics
    known = {str(each.validation_alias) for each in Settings.model_fields.values()}
    named = {metrics.namespace_setting, metrics.dimension_value_setting, metrics.desired_count_setting}
    assert named <= known
    (dimension,) = metric_data(figures(), "north")[0]["Dimensions"]
    assert dimension["Name"] == metrics.dimension_name


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda rules: rules["target_tracking"][0].update(target_value=13), "acceptable_wait_seconds"),
        (lambda rules: rules.update(min_capacity=11), "min_capacity"),
        (lambda rules: rules["step_scaling"][0]["alarm"].update(period_seconds=45), "period_seconds"),
        (lambda rules: rules["step_scaling"][0]["alarm"].update(datapoints_to_alarm=2), "datapoints_to_alarm"),
        (lambda rules: rules["step_scaling"][0].update(cool_down=1), "cool_down"),
        (lambda rules: rules["step_scaling"][0]["alarm"].update(treat_missing_data="never"), "treat_missing_data"),
    ],
)
def test_a_mistake_is_refused_with_its_place(spoil: Callable[[Any], None], words: str) -> None:
    rules = json.loads(SCALING_FILE.read_text())
    spoil(rules)
    with pytest.raises(ValidationError, match=words):
        Rules.model_validate(rules)
