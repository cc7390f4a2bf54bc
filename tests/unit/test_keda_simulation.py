"""Under KEDA a fleet starts from zero with the first chunk, keeps its busy workers, and goes back to zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from click.testing import CliRunner

from deploy.fleet.keda import BACKLOG, BUSY, SYNC_SEC, Keda, Wishes, compared, main
from deploy.fleet.simulation import Setting


@pytest.fixture
def wishes() -> Wishes:
    return Wishes.read()


def course(keda: Keda, chunks: Mapping[str, int], seconds: float, begin_sec: float = 0.0) -> list[int]:
    """What is wanted at each look, while the queue stays as it is."""
    return [keda.evaluate(chunks, begin_sec + look * SYNC_SEC) for look in range(int(seconds / SYNC_SEC))]


def test_the_numbers_are_the_manifests(wishes: Wishes) -> None:
    assert wishes == Wishes({BACKLOG: 12, BUSY: 1}, 10, 300, 300, 2, 60)


def test_one_chunk_wakes_one_worker_and_many_wake_the_others_at_the_next_look(wishes: Wishes) -> None:
    assert course(Keda(wishes), {BACKLOG: 1, BUSY: 0}, 60) == [1, 1, 1, 1]
    assert course(Keda(wishes), {BACKLOG: 60, BUSY: 0}, 45) == [1, 5, 5]
    assert course(Keda(wishes), {BACKLOG: 6000, BUSY: 0}, 30) == [1, 10]


def test_busy_workers_stay_where_the_backlog_alone_would_send_them_away(wishes: Wishes) -> None:
    all_busy = {BACKLOG: 10, BUSY: 10}
    alone = replace(wishes, targets={BACKLOG: 12})
    for rules, stay in ((wishes, 10), (alone, 1)):
        keda = Keda(rules)
        course(keda, {BACKLOG: 200, BUSY: 10}, 60)
        assert course(keda, all_busy, 1200, 60)[-1] == stay


def test_workers_go_after_five_minutes_two_a_minute_and_the_last_one_when_nothing_is_left(wishes: Wishes) -> None:
    keda = Keda(wishes)
    course(keda, {BACKLOG: 200, BUSY: 0}, 60)
    counts = course(keda, {BACKLOG: 1, BUSY: 1}, 900, 60)
    assert counts[: int(300 / SYNC_SEC) - 1] == [10] * (int(300 / SYNC_SEC) - 1)
    a_minute = int(60 / SYNC_SEC)
    assert all(before - after <= 2 for before, after in zip(counts, counts[a_minute:], strict=False))
    assert counts[-1] == 1  # the chunk's own
    idle = course(keda, {BACKLOG: 0, BUSY: 0}, 400, 960)
    assert idle[: int(285 / SYNC_SEC)] == [1] * int(285 / SYNC_SEC)
    assert idle[-1] == 0


def test_a_short_lull_sends_nobody_away(wishes: Wishes) -> None:
    keda = Keda(wishes)
    course(keda, {BACKLOG: 200, BUSY: 10}, 60)
    course(keda, {BACKLOG: 0, BUSY: 0}, 240, 60)
    assert set(course(keda, {BACKLOG: 120, BUSY: 10}, 120, 300)) == {10}


def test_on_simulated_hours_only_the_backlog_alone_stops_busy_workers(wishes: Wishes) -> None:
    comings = [(0.0, 14400.0), *((1800.0 + 40 * number, 240.0) for number in range(60))]
    alone, both = compared(wishes, Setting(is_protected=False), comings, seed=3)
    assert (alone.unfinished, both.unfinished) == (0, 0)
    assert alone.counts.stopped_busy > 0
    assert both.counts.stopped_busy == 0
    assert both.samples[-1].wanted == 0


def test_the_command_prints_both() -> None:
    done = CliRunner().invoke(main, ["--videos", "4", "--minutes", "2"])
    assert done.exit_code == 0, done.output
    assert "backlog alone" in done.stdout and "backlog and busy" in done.stdout
