"""CloudWatch's alarms and the policies on them, on series of metrics."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.fleet.alarms import Series, State, Watch
from deploy.fleet.autoscaler import Autoscaler
from deploy.fleet.rules import Alarm, Comparison, Missing, Rules, Statistic

MINUTE = 60
# What the rows of a real fleet of one worker said every 20 s (backend.queue.figures): a job of 60 chunks comes after a
# minute, and then nothing.
RECORDED = Path(__file__).parents[1] / "recorded" / "one_job_one_worker.csv"


def alarm(periods: int = 3, of: int | None = None, missing: Missing = Missing.MISSING, **changes: object) -> Alarm:
    known = {"name": "a", "metric_name": "m", "statistic": Statistic.MAXIMUM, "period_seconds": MINUTE, "threshold": 10}
    known |= {"comparison_operator": Comparison.ABOVE, "evaluation_periods": periods}
    known |= {"datapoints_to_alarm": of or periods, "treat_missing_data": missing}
    return Alarm.model_validate(known | changes)


def minutes(values: Sequence[float | None], after_sec: float = 5) -> Series:
    """A point a minute; None: that minute has none."""
    return Series((n * MINUTE + after_sec, value) for n, value in enumerate(values) if value is not None)


def states(watched: Alarm, values: Sequence[float | None]) -> list[State]:
    watch, series, found = Watch(watched), minutes(values), []
    for n in range(1, len(values) + 1):
        watch.look(series, n * MINUTE)
        found.append(watch.state)
    return found


def test_an_alarm_rings_when_all_its_periods_breach_and_not_before() -> None:
    alarmed = states(alarm(3), [11, 11, 11, 10, 11])
    assert [state is State.ALARM for state in alarmed] == [False, False, True, False, False]


def test_some_of_the_periods_are_enough_where_the_alarm_says_so() -> None:
    assert states(alarm(3, of=2), [11, 0, 11])[-1] is State.ALARM
    assert states(alarm(3, of=2), [11, 0, 0])[-1] is State.OK


def test_a_period_that_still_runs_is_not_looked_at() -> None:
    watch, series = Watch(alarm(1)), Series([(5, 0.0), (61, 99.0)])
    watch.look(series, 60)
    assert watch.state is State.OK


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        (Missing.MISSING, State.INSUFFICIENT_DATA),
        (Missing.NOT_BREACHING, State.OK),
        (Missing.BREACHING, State.ALARM),
        (Missing.IGNORE, State.ALARM),  # as it was
    ],
)
def test_missing_data_is_taken_as_the_alarm_says(missing: Missing, expected: State) -> None:
    assert states(alarm(1, missing=missing), [11, None])[-1] is expected


def test_the_statistic_is_over_the_points_of_the_period() -> None:
    series = Series([(0, 30.0), (20, 10.0), (40, 20.0), (60, 99.0)])
    found = [series.value(0, 60, each) for each in (Statistic.MINIMUM, Statistic.AVERAGE, Statistic.MAXIMUM)]
    assert found == [10, 20, 30]


def scaled(
    backlog: Sequence[float | None],
    begin_with: int,
    without_workers: Sequence[float] = (),
    busy: Sequence[float] = (),
    rules: Rules | None = None,
) -> list[int]:
    """The wanted count after each minute, under our rules or others."""
    scaler = Autoscaler(rules or Rules.read(), begin_with)
    series = {"BacklogPerWorker": minutes(backlog), "QueuedWithoutWorkers": minutes(without_workers)}
    series["BusyShare"] = minutes(busy)
    found = []
    for n in range(1, len(backlog) + 1):
        for now_sec in range((n - 1) * MINUTE + 10, n * MINUTE + 10, 10):
            scaler.evaluate(series, now_sec)
        found.append(scaler.wanted)
    return found


def test_target_tracking_multiplies_the_fleet_by_metric_over_target_after_three_minutes() -> None:
    assert scaled([30, 30, 30], begin_with=2) == [2, 2, 5]


def test_a_fleet_at_its_target_stays() -> None:
    assert scaled([11.5] * 40, begin_with=4) == [4] * 40


def test_target_tracking_shrinks_after_fifteen_minutes_below_nine_tenths_and_no_more_within_its_cooldown() -> None:
    found = scaled([0.5] * 24, begin_with=8, busy=[0.5] * 24)
    assert found[:15] == [8] * 14 + [4]
    assert found[15:19] == [4] * 4  # 300 s
    assert found[19] == 2  # the recorded series does not react: the next step comes as soon as it may


def test_of_two_policies_that_shrink_the_fleet_the_one_that_keeps_more_decides_and_both_must_want_it() -> None:
    ours = Rules.read()
    backlog, busy = ours.target_tracking
    both = ours.model_copy(update={"target_tracking": (backlog.model_copy(update={"disable_scale_in": False}), busy)})
    assert scaled([0.1] * 15, begin_with=10, busy=[0.6] * 15, rules=both)[-1] == 6
    assert scaled([6.0] * 15, begin_with=10, busy=[0.2] * 15, rules=both)[-1] == 5
    assert scaled([11.0] * 15, begin_with=10, busy=[0.2] * 15, rules=both)[-1] == 10


def test_a_busy_fleet_without_a_backlog_is_not_shrunk() -> None:
    assert scaled([1.0] * 40, begin_with=10, busy=[1.0] * 40) == [10] * 40


def test_missing_data_changes_nothing() -> None:
    assert scaled([None] * 40, begin_with=5) == [5] * 40


def test_the_fleet_is_never_larger_than_its_bound() -> None:
    assert scaled([500.0] * 10, begin_with=3)[-1] == 10


def test_the_first_queued_chunk_starts_one_worker_and_while_it_starts_no_second() -> None:
    # As where FLEET_ECS_SERVICE is not set: until the worker runs the metric stays.
    assert scaled([1.0] * 10, begin_with=0, without_workers=[1.0] * 10) == [1] * 10


def test_a_late_alarm_of_the_first_chunk_does_not_shrink_a_fleet_that_has_grown() -> None:
    found = scaled([30.0] * 4, begin_with=1, without_workers=[29.0] * 4)
    assert found == sorted(found)


def test_an_idle_fleet_is_gone_after_ten_minutes_and_not_while_a_chunk_is_in_work() -> None:
    assert scaled([0.0] * 11, begin_with=3) == [3] * 9 + [0, 0]
    assert scaled([0.0] * 9 + [1 / 3] + [0.0] * 3, begin_with=3) == [3] * 13


def test_at_zero_target_tracking_alone_starts_nothing() -> None:
    assert scaled([500.0] * 10, begin_with=0) == [0] * 10


def test_on_a_recorded_job_it_asks_for_a_second_worker_and_lets_both_go_when_it_is_over() -> None:
    names = {
        "backlog_per_worker": "BacklogPerWorker",
        "busy_share": "BusyShare",
        "queued_without_workers": "QueuedWithoutWorkers",
    }
    with RECORDED.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    series = {
        metric: Series((float(row["second"]), float(row[column])) for row in rows) for column, metric in names.items()
    }
    scaler = Autoscaler(Rules.read(), 1)
    for now_sec in range(10, int(rows[-1]["second"]), 10):
        scaler.evaluate(series, now_sec)
    steps = [(each.at_sec, each.before, each.after, each.policy) for each in scaler.activities]
    # Above the target in the three minutes from 60 s on, the last of them at 19; nothing there from 280 s on.
    assert steps == [(240, 1, 2, "backlog-per-worker"), (900, 2, 0, "to-zero")]
