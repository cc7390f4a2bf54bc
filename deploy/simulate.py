"""A day of the fleet under several scaling policies, and one video on living workers: `python -m deploy.simulate`.

A simulation, not a measurement. The rules are those of deploy/ecs/scaling.json, evaluated as AWS documents it; prices
are those of deploy/prices.json. docs/cost.md says what is assumed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from deploy.fleet import arrivals, report
from deploy.fleet.arrivals import Arrival
from deploy.fleet.costs import CPU_WORKER, GPU_WORKER, Costs, Losses, Startup
from deploy.fleet.policies import Emitter, Policy, compared
from deploy.fleet.prices import Price, Prices
from deploy.fleet.rules import SCALING_FILE, Rules
from deploy.fleet.simulation import Setting, one_video, simulate

WORKERS = (1, 3, 10)
COLD_SEC = 3600  # and ten times its length: who is not done then never is
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
PICTURE = click.Path(dir_okay=False, path_type=Path)
POSITIVE = click.FloatRange(min=0, min_open=True)
NOT_NEGATIVE = click.FloatRange(min=0)
SHARE = click.FloatRange(0, 1)
Command = TypeVar("Command", bound=Callable[..., object])
Stages = Mapping[tuple[str, int], Mapping[str, float]]


def option(name: str, kind: click.ParamType[Any], default: object, words: str) -> Callable[[Command], Command]:
    return click.option(name, type=kind, default=default, show_default=True, help=words)


@click.command(help=__doc__)
@option("--videos", POSITIVE, 60, "A day, by chance.")
@option("--minutes", POSITIVE, 15, "Mean length of those videos.")
@click.option("--arrivals", "arrivals_file", type=FILE, help="CSV instead: second of the day, seconds of video.")
@option("--hours", POSITIVE, 24, "Of the day, from midnight.")
@click.option("--rules", "rules_file", type=FILE, default=SCALING_FILE, help="Scaling rules; default: ours.")
@option("--seed", click.INT, 1, "Of arrivals, starts and losses.")
@option("--instance", click.STRING, "g4dn.xlarge", "A name in deploy/prices.json.")
@option("--spot-share", SHARE, 1.0, "Of the instances.")
@option("--spot-losses", NOT_NEGATIVE, Losses.spot_an_hour, "Of a spot instance, an hour.")
@option("--without-notice", SHARE, Losses.without_notice, "Of those losses.")
@option("--detect-rate", POSITIVE, GPU_WORKER.detect_rate, "Seconds of a GPU worker for a second of video.")
@option("--render-rate", POSITIVE, GPU_WORKER.render_rate, "The same, for the film.")
@option("--cold-start", NOT_NEGATIVE, Startup().cold_sec, "Seconds from asking for a task to its first claim.")
@click.option("--always", type=click.IntRange(min=1), multiple=True, default=(1, 3), help="Also a fleet of so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--plot", type=PICTURE, help="A PNG of the day.")
def main(
    videos: float, minutes: float, arrivals_file: Path | None, hours: float, rules_file: Path, seed: int, instance: str,
    spot_share: float, spot_losses: float, without_notice: float, detect_rate: float, render_rate: float,
    cold_start: float, always: tuple[int, ...], as_json: bool, plot: Path | None,
) -> None:  # fmt: skip
    prices = Prices.read()
    if instance not in prices.instances:
        raise click.BadParameter(f"known are {', '.join(prices.instances)}", param_hint="--instance")
    try:
        comings = arrivals.from_file(arrivals_file) if arrivals_file else arrivals.by_chance(videos, minutes, seed)
        rules = Rules.read(rules_file)
    except ValueError as wrong:
        raise click.ClickException(str(wrong)) from None
    gpu = replace(GPU_WORKER, detect_rate=detect_rate, render_rate=render_rate)
    setting = Setting(
        costs=gpu,
        startup=Startup().stretched(cold_start),
        losses=Losses(spot_an_hour=spot_losses, without_notice=without_notice),
        spot_share=spot_share,
        send_every_sec=rules.metrics.sent_every_seconds,
    )
    outcomes = [simulate(policy, setting, comings, 3600 * hours, seed) for policy in compared(rules, always)]
    price = prices.instances[instance]
    rows = [report.figures(outcome, price) for outcome in outcomes]
    stages, cold = _one_video(60 * minutes, gpu), _from_zero(60 * minutes, rules, setting)
    if plot is not None:
        report.plot(outcomes, plot)
    if as_json:
        click.echo(json.dumps(_document(rows, stages, cold, comings, instance, price), indent=2))
        return
    console = Console(width=120)
    length = sum(video_sec for _, video_sec in comings) / 3600
    console.print(
        f"{len(comings)} videos, {length:.1f} hours of them, in {hours:g} hours; {instance} in {prices.region}: "
        f"{price.on_demand_an_hour} USD/h, spot {price.spot_an_hour} ({price.as_of}); {cold_start:.0f} s to start; "
        "from arrival to film:"
    )
    console.print(report.policies_table(rows))
    console.print(f"One video of {minutes:g} minutes on workers that live already, seconds:")
    console.print(report.video_table(stages, 60 * minutes))
    console.print(
        f"The same, GPU, where none lives, under our rules: {cold['seconds']:.0f} s, the first claim after "
        f"{cold['first_claim_seconds']:.0f} s, {cold['most_workers']:.0f} workers"
    )


def _one_video(video_sec: float, gpu: Costs) -> Stages:
    kinds = {"CPU, x264": CPU_WORKER, "GPU, NVENC": gpu}
    return {
        (name, workers): one_video(video_sec, [0.0] * workers, Setting(costs=costs, losses=Losses(spot_an_hour=0.0)))
        for name, costs in kinds.items()
        for workers in WORKERS
    }


def _from_zero(video_sec: float, rules: Rules, setting: Setting) -> dict[str, float]:
    """One video that finds no worker, and nothing else in the day; nothing is lost."""
    ours = Policy("ours", rules, Emitter(knows_wanted=True))
    found = simulate(
        ours, replace(setting, losses=Losses(spot_an_hour=0.0)), [(0.0, video_sec)], COLD_SEC + 10 * video_sec
    )
    (seconds,) = found.latencies_sec
    first_claim_sec = found.counts.ready_sec[0] if found.counts.ready_sec else math.inf
    return {"seconds": seconds, "first_claim_seconds": first_claim_sec, "most_workers": found.counts.most_running}


def _document(
    rows: Sequence[Mapping[str, Any]],
    stages: Stages,
    cold: Mapping[str, float],
    comings: Sequence[Arrival],
    instance: str,
    price: Price,
) -> dict[str, Any]:
    videos = {"count": len(comings), "seconds": round(sum(length for _, length in comings), 1)}
    one = [{"worker": name, "workers": count, "seconds": spent} for (name, count), spent in stages.items()]
    known = {name: value if math.isfinite(value) else None for name, value in cold.items()}
    document = {"videos": videos, "instance": instance, "price": price.model_dump(), "policies": rows}
    return document | {"one_video": one, "from_zero": known}


if __name__ == "__main__":
    main()
