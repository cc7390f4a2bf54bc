"""A day of the fleet, event by event: arrivals, work, metrics, scaling, losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from deploy.fleet.alarms import Series
from deploy.fleet.arrivals import Arrival
from deploy.fleet.autoscaler import Activity, Autoscaler
from deploy.fleet.costs import GPU_WORKER, Costs, Losses, Startup
from deploy.fleet.events import Cores, EventLoop
from deploy.fleet.jobs import Analysts, ChunkQueue, Jobs, SimulatedJob
from deploy.fleet.policies import Emitter, Figures, Policy
from deploy.fleet.pool import Counts, Pool

DAY_SEC = 86400.0
# From the end of a period until its alarm has set the service's count. Not documented; seen to be some seconds.
ALARM_LAG_SEC = 15.0


@dataclass(frozen=True)
class Setting:
    """All that a simulation assumes, but for the policy."""

    costs: Costs = GPU_WORKER
    startup: Startup = field(default_factory=Startup)
    losses: Losses = field(default_factory=Losses)
    spot_share: float = 1.0
    is_protected: bool = True
    analysis_workers: int = 2
    send_every_sec: float = 20.0
    send_phase_sec: float = 3.0  # how long after a turn begins somebody asks
    alarm_lag_sec: float = ALARM_LAG_SEC
    slowdown: float = 1.0  # of works that share one machine's cores


@dataclass(frozen=True)
class Sample:
    """The fleet at a moment, for pictures."""

    at_sec: float
    wanted: int
    running: int
    busy: int
    backlog: int


@dataclass(frozen=True)
class Outcome:
    policy: str
    jobs: Sequence[SimulatedJob]
    activities: Sequence[Activity]
    samples: Sequence[Sample]
    counts: Counts
    spot_hours: float
    on_demand_hours: float

    @property
    def latencies_sec(self) -> list[float]:
        """A job that is not done has waited for ever."""
        return [math.inf if job.latency_sec is None else job.latency_sec for job in self.jobs]

    @property
    def unfinished(self) -> int:
        return sum(job.done_sec is None for job in self.jobs)

    @property
    def hours(self) -> float:
        return self.spot_hours + self.on_demand_hours


class World:
    """Everything wired together. Use `simulate`, or drive `loop` yourself."""

    def __init__(self, policy: Policy, setting: Setting, seed: int = 0) -> None:
        self.policy, self.setting = policy, setting
        self.loop, self.queue = EventLoop(), ChunkQueue()
        # Each worker has its own machine unless a slowdown is told.
        cores = Cores(self.loop, setting.slowdown)
        dice = Random(seed)
        self.pool = Pool(
            self.loop,
            self.queue,
            cores,
            setting.startup,
            setting.losses,
            dice,
            setting.spot_share,
            setting.is_protected,
        )
        analysts = Analysts(self.loop, setting.analysis_workers, cores)
        self.jobs = Jobs(self.loop, self.queue, analysts, setting.costs, lambda: self.pool.running)
        self.metrics: dict[str, Series] = {}
        self.samples: list[Sample] = []
        self.autoscaler = Autoscaler(policy.rules, policy.begin_with) if policy.rules else None
        self.pool.begin([0.0] * policy.begin_with)
        self.loop.after(setting.send_phase_sec, self._send)
        if self.autoscaler is not None:
            self.loop.after(setting.alarm_lag_sec, self._evaluate)

    def _send(self) -> None:
        self.loop.after(self.setting.send_every_sec, self._send)
        seen = Figures(len(self.queue), self.queue.in_work, self.pool.running, self.pool.wanted)
        for name, value in self.policy.emitter.metrics(seen).items():
            self.metrics.setdefault(name, Series()).add(self.loop.now_sec, value)
        self._sample()

    def _evaluate(self) -> None:
        assert self.autoscaler is not None
        self.loop.after(self.autoscaler.every_sec, self._evaluate)
        ended_sec = round(self.loop.now_sec - self.setting.alarm_lag_sec, 6)
        self.pool.set_wanted(self.autoscaler.evaluate(self.metrics, ended_sec))

    def _sample(self) -> None:
        pool, backlog = self.pool, len(self.queue) + self.queue.in_work
        self.samples.append(Sample(self.loop.now_sec, pool.wanted, pool.running, pool.busy, backlog))

    def outcome(self) -> Outcome:
        pool, scaler = self.pool, self.autoscaler
        activities = scaler.activities if scaler else []
        hours = pool.instance_hours(is_spot=True), pool.instance_hours(is_spot=False)
        return Outcome(self.policy.name, self.jobs.all, activities, self.samples, pool.counts, *hours)


def simulate(
    policy: Policy,
    setting: Setting,
    arrivals: Sequence[Arrival],
    until_sec: float = DAY_SEC,
    seed: int = 0,
) -> Outcome:
    """The seed decides starts and losses; the same gives the same."""
    world = World(policy, setting, seed)
    for at_sec, video_sec in arrivals:
        world.loop.after(at_sec, partial(world.jobs.arrive, video_sec))
    world.loop.run(until_sec)
    return world.outcome()


def one_video(video_sec: float, ready_after_sec: Sequence[float], setting: Setting) -> dict[str, float]:
    """Seconds of each stage of one video on workers that are ready so long after it arrived."""
    world = World(Policy("one video", None, Emitter(knows_wanted=True)), setting)
    world.pool.begin(ready_after_sec)
    world.jobs.arrive(video_sec)
    world.loop.run(math.inf, is_over=lambda: world.jobs.undone == 0)
    stages = world.jobs.all[0].stages
    assert stages is not None
    ends = [0.0, *stages.values()]
    return {stage: end - begin for stage, begin, end in zip(stages, ends, ends[1:], strict=False)}
