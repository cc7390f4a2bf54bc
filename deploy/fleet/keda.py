"""A day under KEDA and a HorizontalPodAutoscaler, by the manifest's own numbers: `python -m deploy.fleet.keda`.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details
https://keda.sh/docs/latest/concepts/scaling-deployments/
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

import click
import yaml
from rich.console import Console
from rich.table import Table

from deploy.fleet import arrivals
from deploy.fleet.arrivals import Arrival
from deploy.fleet.policies import Emitter, Policy, percentile
from deploy.fleet.simulation import DAY_SEC, Outcome, Setting, World

MANIFEST = Path(__file__).resolve().parents[1] / "k8s" / "overlays" / "keda" / "scaling.yaml"
SYNC_SEC = 15.0  # of the autoscaler: the control plane's default
TOLERANCE = 0.1  # a metric so near to its target changes nothing: the control plane's default
BACKLOG, BUSY = "backlog", "busy"


@dataclass(frozen=True)
class Wishes:
    """What the ScaledObject says. `targets`: chunks for each worker, by the trigger's name."""

    targets: Mapping[str, int]
    max_workers: int
    cooldown_sec: float
    window_sec: float  # how long the largest wish is kept in mind before anybody goes
    step_workers: int  # so many go at most in so long
    step_sec: float

    @classmethod
    def read(cls, path: Path = MANIFEST) -> Self:
        spec = next(each for each in yaml.safe_load_all(path.read_text()) if each["kind"] == "ScaledObject")["spec"]
        down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
        (policy,) = down["policies"]
        return cls(
            targets={each["name"]: int(each["metadata"]["targetQueryValue"]) for each in spec["triggers"]},
            max_workers=spec["maxReplicaCount"],
            cooldown_sec=spec["cooldownPeriod"],
            window_sec=down["stabilizationWindowSeconds"],
            step_workers=policy["value"],
            step_sec=policy["periodSeconds"],
        )


class Keda:
    """`wanted` is the Deployment's count of replicas. `evaluate` is called every SYNC_SEC."""

    def __init__(self, wishes: Wishes) -> None:
        self.wanted = 0
        self._wishes = wishes
        self._active_sec = -math.inf
        self._history: list[tuple[float, int]] = []  # wishes of the last window
        self._gone: list[tuple[float, int]] = []  # how many went when

    def evaluate(self, chunks: Mapping[str, int], now_sec: float) -> int:
        """`chunks`: each trigger's number."""
        if any(chunks[name] > 0 for name in self._wishes.targets):
            self._active_sec = now_sec
        if self.wanted == 0:
            self.wanted = 1 if self._active_sec == now_sec else 0  # KEDA wakes the first, the autoscaler the others
        elif now_sec - self._active_sec >= self._wishes.cooldown_sec:
            self.wanted, self._history = 0, []
        else:
            self.wanted = self._moved(max(self._wish(name, chunks[name]) for name in self._wishes.targets), now_sec)
        return self.wanted

    def _wish(self, name: str, chunks: int) -> int:
        target = self._wishes.targets[name]
        if abs(chunks / (target * self.wanted) - 1) <= TOLERANCE:
            return self.wanted
        return max(1, min(self._wishes.max_workers, math.ceil(chunks / target)))

    def _moved(self, wish: int, now_sec: float) -> int:
        wishes = self._wishes
        self._history = [each for each in self._history if now_sec - each[0] < wishes.window_sec] + [(now_sec, wish)]
        if wish >= self.wanted:
            return wish
        self._gone = [each for each in self._gone if now_sec - each[0] < wishes.step_sec]
        may_go = wishes.step_workers - sum(count for _, count in self._gone)
        stays = max(*(each for _, each in self._history), wish, self.wanted - max(may_go, 0))
        if stays < self.wanted:
            self._gone.append((now_sec, self.wanted - stays))
        return min(stays, self.wanted)


def simulate_keda(
    name: str, wishes: Wishes, setting: Setting, comings: Sequence[Arrival], until_sec: float = DAY_SEC, seed: int = 0
) -> Outcome:
    """As `simulate`. With an unprotected setting a busy worker goes where more are to go than are idle: the marks on
    pods only say who goes first."""
    world = World(Policy(name, None, Emitter(knows_wanted=True)), setting, seed)
    keda = Keda(wishes)

    def evaluate() -> None:
        world.loop.after(SYNC_SEC, evaluate)
        queue = world.queue
        chunks = {BACKLOG: len(queue) + queue.in_work, BUSY: queue.in_work}
        world.pool.set_wanted(keda.evaluate(chunks, world.loop.now_sec))

    world.loop.after(SYNC_SEC, evaluate)
    for at_sec, video_sec in comings:
        world.loop.after(at_sec, partial(world.jobs.arrive, video_sec))
    world.loop.run(until_sec)
    return world.outcome()


def compared(wishes: Wishes, setting: Setting, comings: Sequence[Arrival], seed: int) -> list[Outcome]:
    """The manifest's two wishes, and the backlog's alone."""
    alone = replace(wishes, targets={BACKLOG: wishes.targets[BACKLOG]})
    pairs = (("backlog alone", alone), ("backlog and busy", wishes))
    return [simulate_keda(name, each, setting, comings, seed=seed) for name, each in pairs]


@click.command(help=__doc__)
@click.option("--videos", default=60.0, show_default=True, help="A day, by chance.")
@click.option("--minutes", default=15.0, show_default=True, help="Mean length of those videos.")
@click.option("--seed", default=1, show_default=True, help="Of arrivals, starts and losses.")
def main(videos: float, minutes: float, seed: int) -> None:
    comings = arrivals.by_chance(videos, minutes, seed)
    table = Table("wishes", "not done", "p50 min", "p95", "p99", "most", "GPU h", "stopped while busy")
    for outcome in compared(Wishes.read(), Setting(is_protected=False), comings, seed):
        waits = [f"{percentile(outcome.latencies_sec, share) / 60:.1f}" for share in (0.5, 0.95, 0.99)]
        counts = outcome.counts
        most, stopped = str(counts.most_running), f"{counts.stopped_busy} of {counts.claims}"
        table.add_row(outcome.policy, str(outcome.unfinished), *waits, most, f"{outcome.hours:.1f}", stopped)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
