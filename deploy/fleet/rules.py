"""The scaling rules of deploy/ecs/scaling.json, checked."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCALING_FILE = Path(__file__).parents[1] / "ecs" / "scaling.json"
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]


class Statistic(StrEnum):
    AVERAGE = "Average"
    MINIMUM = "Minimum"
    MAXIMUM = "Maximum"


class Comparison(StrEnum):
    AT_LEAST = "GreaterThanOrEqualToThreshold"
    ABOVE = "GreaterThanThreshold"
    AT_MOST = "LessThanOrEqualToThreshold"
    BELOW = "LessThanThreshold"

    def holds(self, value: float, threshold: float) -> bool:
        if self is Comparison.AT_LEAST:
            return value >= threshold
        if self is Comparison.ABOVE:
            return value > threshold
        return value <= threshold if self is Comparison.AT_MOST else value < threshold


class Missing(StrEnum):
    MISSING = "missing"
    IGNORE = "ignore"
    BREACHING = "breaching"
    NOT_BREACHING = "notBreaching"


class Adjustment(StrEnum):
    CHANGE = "ChangeInCapacity"
    EXACT = "ExactCapacity"


class Part(BaseModel):
    """A misspelt key is an error: Terraform would pass it over in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Alarm(Part):
    name: str
    metric_name: str
    statistic: Statistic
    period_seconds: int
    evaluation_periods: Positive
    datapoints_to_alarm: Positive
    threshold: float
    comparison_operator: Comparison
    treat_missing_data: Missing

    @model_validator(mode="after")
    def _as_cloudwatch_has_it(self) -> Self:
        if self.period_seconds not in (10, 20, 30) and self.period_seconds % 60:
            raise ValueError("period_seconds must be 10, 20, 30 or a multiple of 60")
        if self.datapoints_to_alarm > self.evaluation_periods:
            raise ValueError("datapoints_to_alarm must not be above evaluation_periods")
        return self


class TargetTracking(Part):
    name: str
    metric_name: str
    statistic: Statistic
    target_value: Annotated[float, Field(gt=0)]
    scale_out_cooldown_seconds: Count
    scale_in_cooldown_seconds: Count
    disable_scale_in: bool
    why: str

    def alarms(self) -> tuple[Alarm, Alarm]:
        """The two that AWS makes of it: above the target for 3 minutes, below 90 % of it for 15."""
        missing = Missing.MISSING  # neither way: what is not known is no reason to do anything
        shared = {"metric_name": self.metric_name, "statistic": self.statistic, "period_seconds": 60}
        high, low = Comparison.ABOVE, Comparison.BELOW
        return (
            Alarm(name=f"{self.name}-high", threshold=self.target_value, comparison_operator=high,
                  evaluation_periods=3, datapoints_to_alarm=3, treat_missing_data=missing, **shared),
            Alarm(name=f"{self.name}-low", threshold=0.9 * self.target_value, comparison_operator=low,
                  evaluation_periods=15, datapoints_to_alarm=15, treat_missing_data=missing, **shared),
        )  # fmt: skip


class Step(Part):
    """Bounds are distances of the metric from the alarm's threshold; None: without end."""

    metric_interval_lower_bound: float | None
    metric_interval_upper_bound: float | None
    scaling_adjustment: int

    def covers(self, distance: float, is_above: bool) -> bool:
        """Above the threshold the lower bound belongs to the step, below it the upper one does."""
        low = float("-inf") if self.metric_interval_lower_bound is None else self.metric_interval_lower_bound
        high = float("inf") if self.metric_interval_upper_bound is None else self.metric_interval_upper_bound
        return low <= distance < high if is_above else low < distance <= high


class StepScaling(Part):
    name: str
    adjustment_type: Adjustment
    metric_aggregation_type: Statistic
    cooldown_seconds: Count
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    alarm: Alarm
    why: str


class Inputs(Part):
    acceptable_wait_seconds: Annotated[float, Field(gt=0)]
    mean_chunk_seconds: Annotated[float, Field(gt=0)]
    why: str

    @property
    def target_value(self) -> float:
        return self.acceptable_wait_seconds / self.mean_chunk_seconds


class Metrics(Part):
    """Where the metrics come from, and how often."""

    namespace_setting: str
    dimension_name: str
    dimension_value_setting: str
    sent_every_seconds: Positive
    desired_count_setting: str
    desired_count_permission: str
    why: str


class Rules(Part):
    why: str
    min_capacity: Count
    max_capacity: Positive
    inputs: Inputs
    metrics: Metrics
    target_tracking: tuple[TargetTracking, ...]
    step_scaling: tuple[StepScaling, ...]

    @classmethod
    def read(cls, path: Path = SCALING_FILE) -> Self:
        """Raises pydantic.ValidationError, which says what is wrong where."""
        return cls.model_validate_json(path.read_text())

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.min_capacity > self.max_capacity:
            raise ValueError("min_capacity must not be above max_capacity")
        for each in self.target_tracking:
            if each.metric_name == "BacklogPerWorker" and each.target_value != self.inputs.target_value:
                raise ValueError(
                    f"{each.name}: target_value must be acceptable_wait_seconds / mean_chunk_seconds, "
                    f"{self.inputs.target_value:g}"
                )
        return self
