"""CloudWatch's side of scaling: metrics, and alarms over them.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from enum import StrEnum

from deploy.fleet.rules import Alarm, Missing, Statistic


class State(StrEnum):
    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


class Series:
    """One metric: points in the order of their time, in seconds."""

    def __init__(self, points: Iterable[tuple[float, float]] = ()) -> None:
        self._times: list[float] = []
        self._values: list[float] = []
        for at_sec, value in points:
            self.add(at_sec, value)

    def add(self, at_sec: float, value: float) -> None:
        assert not self._times or at_sec >= self._times[-1], "points come in the order of their time"
        self._times.append(at_sec)
        self._values.append(value)

    def value(self, start_sec: float, end_sec: float, statistic: Statistic) -> float | None:
        """Over [start_sec, end_sec); None where there is no point."""
        points = self._values[bisect_left(self._times, start_sec) : bisect_left(self._times, end_sec)]
        if not points:
            return None
        if statistic is Statistic.AVERAGE:
            return sum(points) / len(points)
        return min(points) if statistic is Statistic.MINIMUM else max(points)


class Watch:
    """An alarm over time. Every period it looks at the latest whole periods; while it is in ALARM it acts each time."""

    def __init__(self, alarm: Alarm) -> None:
        self.alarm = alarm
        self.state = State.INSUFFICIENT_DATA

    def look(self, series: Series, now_sec: float) -> float | None:
        """At the end of a period. The latest known value when the alarm is in ALARM, else None."""
        values = self._latest(series, now_sec)
        self.state = self._judged(values)
        if self.state is not State.ALARM:
            return None
        return next((value for value in reversed(values) if value is not None), None)

    def _latest(self, series: Series, now_sec: float) -> list[float | None]:
        period = self.alarm.period_seconds
        last = int(now_sec // period)
        numbers = range(last - self.alarm.evaluation_periods, last)
        return [series.value(n * period, (n + 1) * period, self.alarm.statistic) for n in numbers]

    def _judged(self, values: list[float | None]) -> State:
        alarm = self.alarm
        known = [value for value in values if value is not None]
        missing = len(values) - len(known)
        if not known and alarm.treat_missing_data is Missing.MISSING:
            return State.INSUFFICIENT_DATA
        if missing and alarm.treat_missing_data is Missing.IGNORE:
            return self.state
        breaching = sum(alarm.comparison_operator.holds(value, alarm.threshold) for value in known)
        if alarm.treat_missing_data is Missing.BREACHING:
            breaching += missing
        return State.ALARM if breaching >= alarm.datapoints_to_alarm else State.OK
