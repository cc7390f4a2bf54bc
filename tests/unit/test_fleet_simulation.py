"""What the scaling rules do to a fleet that starts slowly, is taken away and must not lose work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from deploy.fleet import arrivals
from deploy.fleet.autoscaler import Activity
from deploy.fleet.costs import GPU_WORKER, Costs, Losses, Startup
from deploy.fleet.events import Cores, EventLoop
from deploy.fleet.policies import Emitter, Policy, WorkersSend, raw_queue
from deploy.fleet.pool import JITTER
from deploy.fleet.rules import Rules
from deploy.fleet.simulation import Outcome, Setting, World, one_video, simulate

RULES = Rules.read()
OURS = Policy("ours", RULES, Emitter(knows_wanted=True))
SAFE = Setting(losses=Losses(spot_an_hour=0.0))
HOUR = 3600.0
_BACKLOG = RULES.target_tracking[0].model_copy(update={"disable_scale_in": False})
EAGER = RULES.model_copy(update={"target_tracking": (_BACKLOG,)})  # shrinks as soon as the backlog allows
COOLDOWN_SEC = RULES.target_tracking[0].scale_in_cooldown_seconds


def day(policy: Policy = OURS, setting: Setting = SAFE, seed: int = 1) -> Outcome:
    """Until the early afternoon."""
    comings = [(at_sec, video_sec) for at_sec, video_sec in arrivals.by_chance(60, 15, seed) if at_sec < 13 * HOUR]
    return simulate(policy, setting, comings, 14 * HOUR, seed)


@pytest.mark.parametrize("phase_sec", range(0, 60, 3))
def test_one_queued_chunk_starts_a_worker_within_a_minute_and_its_start(phase_sec: int) -> None:
    short = simulate(OURS, SAFE, [(1000 + phase_sec, 20.0)], HOUR)
    queued_sec = 1000 + phase_sec + SAFE.costs.start_sec
    (ready_sec,) = short.counts.ready_sec
    assert ready_sec - queued_sec <= 60 + SAFE.startup.cold_sec * (1 + JITTER)
    assert short.unfinished == 0


def turns(found: Outcome) -> list[tuple[Activity, Activity]]:
    """Steps in and out, or out and in, within the cooldown."""
    quick = [pair for pair in pairwise(found.activities) if pair[1].at_sec - pair[0].at_sec <= COOLDOWN_SEC]
    return [(one, other) for one, other in quick if (one.before > one.after) != (other.before > other.after)]


@pytest.mark.parametrize("every_sec", [40, 60, 90, 120, 180, 300, 600])
def test_a_steady_load_never_makes_it_flap(every_sec: float) -> None:
    found = steady(OURS, every_sec)
    assert turns(found) == []
    assert found.unfinished == 0


def test_a_fleet_that_shrinks_by_its_backlog_alone_flaps() -> None:
    assert turns(steady(replace(OURS, rules=EAGER), 90.0))


def steady(policy: Policy, every_sec: float) -> Outcome:
    comings = [(n * every_sec, 900.0) for n in range(int(3 * HOUR // every_sec))]
    return simulate(policy, SAFE, comings, 3.5 * HOUR)


def test_no_busy_worker_is_stopped_by_scaling_in_and_without_protection_some_are() -> None:
    found = day()
    assert found.counts.stopped_busy == 0
    assert sum(each.after < each.before for each in found.activities) > 10
    bare = replace(SAFE, is_protected=False)
    eager = replace(OURS, rules=EAGER)
    assert day(eager, bare).counts.stopped_busy > 0
    assert day(eager).counts.stopped_busy == 0


def test_it_returns_to_zero_and_the_instance_goes_too() -> None:
    found = simulate(OURS, SAFE, [(0.0, 900.0)], 2 * HOUR)
    (done_sec,) = (job.done_sec for job in found.jobs)
    assert done_sec is not None
    gone_sec = found.activities[-1].at_sec
    assert found.activities[-1].after == 0
    assert 600 <= gone_sec - done_sec + 60 <= 600 + 180  # ten whole minutes, after the piece before the last minute
    assert found.samples[-1].running == 0
    billed_sec = gone_sec + SAFE.startup.linger_sec + 60
    assert found.hours <= found.counts.most_running * billed_sec / HOUR


def test_a_queue_whose_length_the_workers_send_never_starts_the_first_of_them() -> None:
    found = day(Policy("coach", raw_queue(RULES, 0), WorkersSend()))
    assert (found.counts.most_running, found.unfinished) == (0, len(found.jobs))
    # Nor with a rule that would start one: nobody is there to send what it looks at.
    first = RULES.step_scaling[0]
    alarm = first.alarm.model_copy(update={"metric_name": "QueuedChunkCount", "period_seconds": 60})
    helped = raw_queue(RULES, 0).model_copy(update={"step_scaling": (first.model_copy(update={"alarm": alarm}),)})
    assert day(Policy("helped", helped, WorkersSend())).counts.most_running == 0
    assert day(Policy("sent from outside", helped, Emitter(knows_wanted=False))).counts.most_running > 0


def test_a_raw_queue_length_asks_for_every_worker_there_may_be_where_three_serve() -> None:
    kept = Policy("coach, one kept", raw_queue(RULES, 1), WorkersSend(), begin_with=1)
    slow = replace(SAFE, costs=Costs(detect_rate=1.0))  # so that the queue outlives a start
    one_job = [(1000.0, 900.0)]
    assert simulate(kept, slow, one_job, HOUR).counts.most_running == RULES.max_capacity
    assert simulate(OURS, slow, one_job, HOUR).counts.most_running == math.ceil(30 / RULES.inputs.target_value)


def test_a_backlog_by_running_workers_alone_grows_the_fleet_while_the_first_one_starts() -> None:
    naive = Policy("running", RULES, Emitter(knows_wanted=False))
    one_job = [(1000.0, 900.0)]
    assert max(each.after for each in simulate(naive, SAFE, one_job, HOUR).activities) == RULES.max_capacity
    assert max(each.after for each in simulate(OURS, SAFE, one_job, HOUR).activities) == 3


def test_killed_workers_lose_nothing_and_a_chunk_waits_for_its_lease() -> None:
    hard = Losses(spot_an_hour=6.0, without_notice=1.0)
    found = day(setting=replace(SAFE, losses=hard))
    assert found.counts.killed_busy > 10
    assert found.unfinished == 0
    assert all(job.left_in_phase == 0 for job in found.jobs)


def test_a_dead_workers_chunk_is_done_again_after_its_lease() -> None:
    two = Policy("two", None, Emitter(knows_wanted=True), begin_with=2)
    world = World(two, replace(SAFE, costs=Costs(detect_rate=1.0)))
    world.jobs.arrive(60.0)
    world.loop.run(20.0)
    busy = next(task for task in world.pool.tasks if task.chunk is not None)
    assert busy.instance is not None
    world.pool._kill(busy.instance)
    world.loop.run(20.0 + Losses().lease_sec - 1)
    assert (len(world.queue), world.queue.in_work) == (0, 1)  # held by a dead worker
    world.loop.run(20.0 + Losses().lease_sec + 1)
    assert world.pool.counts.claims == 3
    world.loop.run(HOUR)
    assert world.jobs.undone == 0


def test_a_notice_drains_and_the_chunk_in_hand_is_finished_or_given_back_in_time() -> None:
    told = replace(SAFE, losses=Losses(spot_an_hour=6.0, without_notice=0.0))
    found = day(setting=told)
    assert found.counts.notices > 10
    assert (found.counts.killed_busy, found.unfinished) == (0, 0)
    slow = replace(told, costs=replace(GPU_WORKER, detect_rate=5.0))  # longer than DRAIN_SECONDS
    assert simulate(OURS, slow, [(0.0, 300.0)], 4 * HOUR).counts.killed_busy == 0


def test_the_same_seed_gives_the_same_day_and_another_one_another() -> None:
    risky = Setting()
    first = day(setting=risky).latencies_sec
    assert first == day(setting=risky).latencies_sec
    assert first != day(setting=risky, seed=2).latencies_sec


@pytest.mark.parametrize("workers", [1, 3, 10])
def test_stages_of_one_video_are_what_the_list_of_its_chunks_comes_to(workers: int) -> None:
    found = one_video(900.0, [0.0] * workers, SAFE)
    costs = SAFE.costs
    assert found["detect"] == pytest.approx(spread(costs.chunks(900.0), workers))
    assert found["render"] == pytest.approx(spread(costs.pieces(900.0, workers), workers))
    assert found["solve"] == pytest.approx(3.6)


def spread(works_sec: Sequence[float], workers: int) -> float:
    """Each taken by whoever is free first."""
    free_at = [0.0] * workers
    for seconds in works_sec:
        free_at[free_at.index(min(free_at))] += seconds
    return max(free_at)


def test_works_that_share_cores_slow_each_other_while_both_run() -> None:
    loop = EventLoop()
    cores, ends = Cores(loop, slowdown=1.5), []
    cores.start(10.0, lambda: ends.append(loop.now_sec))
    loop.after(4.0, lambda: cores.start(10.0, lambda: ends.append(loop.now_sec)))
    loop.run(100.0)
    # 4 s alone, 6 at two thirds of the pace until 13; the other has 4 left then, and runs alone.
    assert ends == pytest.approx([13.0, 17.0])


def test_an_instance_that_lingers_is_taken_again_without_a_cold_start() -> None:
    found = simulate(OURS, SAFE, [(0.0, 20.0), (1200.0, 20.0)], HOUR)
    first, second = found.counts.ready_sec
    assert second - 1200 < 60 + Startup().worker_sec * (1 + JITTER) < first
