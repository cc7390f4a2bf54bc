"""Application Auto Scaling, as far as its documentation says what it does: from metrics to a wanted number of workers.

What AWS does not document is taken to be the worse case: a new count is cooled down from the moment it is set, not from
when its tasks run, and at zero tasks target tracking does nothing.
https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html
https://docs.aws.amazon.com/autoscaling/application/userguide/step-scaling-policy-overview.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.fleet.alarms import Series, Watch
from deploy.fleet.rules import Adjustment, Comparison, Rules, StepScaling, TargetTracking


@dataclass(frozen=True)
class Activity:
    at_sec: float
    before: int
    after: int
    policy: str


class Cooldown:
    """Of one policy. After scaling out, what was added counts as part of what the next step wants; after scaling in,
    nothing is taken away until it is over, and scaling out ends it."""

    def __init__(self, out_sec: float, in_sec: float) -> None:
        self._out_sec, self._in_sec = out_sec, in_sec
        self._out_until = self._in_until = -math.inf
        self._before = 0

    def base(self, wanted: int, now_sec: float) -> int:
        """What a step is reckoned from."""
        return min(wanted, self._before) if now_sec < self._out_until else wanted

    def blocks_scale_in(self, now_sec: float) -> bool:
        return now_sec < self._in_until

    def note(self, before: int, after: int, now_sec: float) -> None:
        if after > before:
            self._before, self._out_until, self._in_until = before, now_sec + self._out_sec, -math.inf
        else:
            self._in_until = now_sec + self._in_sec


class Tracker:
    """One target tracking policy with the two alarms that AWS makes of it."""

    def __init__(self, policy: TargetTracking) -> None:
        self.name = policy.name
        self.metric_name = policy.metric_name
        self.period_sec = 60
        self.cooldown = Cooldown(policy.scale_out_cooldown_seconds, policy.scale_in_cooldown_seconds)
        self._policy = policy
        self._high, self._low = (Watch(alarm) for alarm in policy.alarms())

    def wish(self, series: Series, wanted: int, now_sec: float) -> int:
        """The number of workers that would bring the metric to its target; as many as now where no alarm rings."""
        high, low = self._high.look(series, now_sec), self._low.look(series, now_sec)
        if high is not None:
            return max(wanted, self._multiplied(self.cooldown.base(wanted, now_sec), high))
        if low is not None and not self._policy.disable_scale_in:
            return min(wanted, self._multiplied(wanted, low))
        return wanted

    def may_shrink(self, wants: bool, now_sec: float) -> bool:
        """Whether scaling in may go on, as far as this one is asked."""
        return self._policy.disable_scale_in or (wants and not self.cooldown.blocks_scale_in(now_sec))

    def _multiplied(self, workers: int, value: float) -> int:
        return math.ceil(workers * value / self._policy.target_value)


class Stepper:
    """One step scaling policy with its alarm."""

    def __init__(self, policy: StepScaling) -> None:
        self.name = policy.name
        self.metric_name = policy.alarm.metric_name
        self.period_sec = policy.alarm.period_seconds
        self.cooldown = Cooldown(policy.cooldown_seconds, policy.cooldown_seconds)
        self._policy = policy
        self._watch = Watch(policy.alarm)

    def wish(self, series: Series, wanted: int, now_sec: float) -> int:
        value = self._watch.look(series, now_sec)
        if value is None:
            return wanted
        alarm = self._policy.alarm
        is_above = alarm.comparison_operator in (Comparison.AT_LEAST, Comparison.ABOVE)
        for step in self._policy.steps:
            if step.covers(value - alarm.threshold, is_above):
                return self._adjusted(step.scaling_adjustment, wanted, now_sec)
        return wanted

    def may_shrink(self, wants: bool, now_sec: float) -> bool:
        return True  # nobody's target tracking

    def _adjusted(self, adjustment: int, wanted: int, now_sec: float) -> int:
        if self._policy.adjustment_type is Adjustment.EXACT:
            return adjustment
        if adjustment > 0:
            return max(wanted, self.cooldown.base(wanted, now_sec) + adjustment)
        return wanted + adjustment


Wish = tuple[int, Tracker | Stepper]


class Autoscaler:
    """`wanted` is the service's desired count. `evaluate` is called at least at every multiple of `every_sec`."""

    every_sec = 10

    def __init__(self, rules: Rules, wanted: int = 0) -> None:
        self.wanted = wanted
        self.activities: list[Activity] = []
        self._rules = rules
        self._policies: list[Tracker | Stepper] = [Tracker(each) for each in rules.target_tracking]
        self._policies += [Stepper(each) for each in rules.step_scaling]

    def evaluate(self, metrics: Mapping[str, Series], now_sec: float) -> int:
        """The desired count after the alarms whose period ends now have acted.

        Several policies at once: the one that wants the most workers has its way, out before in. Target tracking
        scales in only where each such policy wants it.
        """
        wishes = [
            (self._bounded(policy.wish(metrics.get(policy.metric_name, Series()), self.wanted, now_sec)), policy)
            for policy in self._policies
            if now_sec % policy.period_sec == 0
        ]
        outward = [wish for wish in wishes if wish[0] > self.wanted]
        chosen = max(outward or self._inward(wishes, now_sec), key=lambda wish: wish[0], default=None)
        if chosen is not None:
            self._set(*chosen, now_sec)
        return self.wanted

    def _inward(self, wishes: Sequence[Wish], now_sec: float) -> list[Wish]:
        """Of those that want fewer, those that may have it."""
        agreed = all(policy.may_shrink(count < self.wanted, now_sec) for count, policy in wishes)
        return [
            (count, policy)
            for count, policy in wishes
            if count < self.wanted
            and not policy.cooldown.blocks_scale_in(now_sec)
            and (agreed or isinstance(policy, Stepper))
        ]

    def _bounded(self, workers: int) -> int:
        return max(self._rules.min_capacity, min(self._rules.max_capacity, workers))

    def _set(self, count: int, policy: Tracker | Stepper, now_sec: float) -> None:
        policy.cooldown.note(self.wanted, count, now_sec)
        self.activities.append(Activity(now_sec, self.wanted, count, policy.name))
        self.wanted = count
