"""What a simulated day was like: figures, tables, a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from deploy.fleet.policies import percentile
from deploy.fleet.prices import Price
from deploy.fleet.simulation import Outcome

PERCENTS = (50, 95, 99)
POLICY_COLUMNS = (
    "policy", "not done", "p50 min", "p95", "p99", "out", "in", "most", "GPU h", "busy", "USD", "on demand"
)  # fmt: skip


def figures(outcome: Outcome, price: Price) -> dict[str, Any]:
    """JSON. A latency is null where that share of the jobs was not done by the end of the day."""
    counts, hours = outcome.counts, outcome.hours
    waits_sec = {f"p{percent}_minutes": percentile(outcome.latencies_sec, percent / 100) for percent in PERCENTS}
    return {
        "policy": outcome.policy,
        "jobs": len(outcome.jobs),
        "unfinished": outcome.unfinished,
        **{name: _minutes(seconds) for name, seconds in waits_sec.items()},
        "scale_outs": sum(each.after > each.before for each in outcome.activities),
        "scale_ins": sum(each.after < each.before for each in outcome.activities),
        "most_workers": counts.most_running,
        "gpu_hours": round(hours, 2),
        "busy_share": round(counts.busy_sec / 3600 / hours, 3) if hours else 0.0,
        "cost_usd": round(price.cost(outcome.spot_hours, outcome.on_demand_hours), 2),
        "on_demand_cost_usd": round(price.cost(0.0, hours), 2),
        "spot_notices": counts.notices,
        "killed_while_busy": counts.killed_busy,
        "stopped_while_busy": counts.stopped_busy,
    }


def _minutes(seconds: float) -> float | None:
    return round(seconds / 60, 1) if math.isfinite(seconds) else None


def policies_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(*POLICY_COLUMNS)
    for row in rows:
        waits = [row[f"p{percent}_minutes"] for percent in PERCENTS]
        table.add_row(
            row["policy"],
            str(row["unfinished"]),
            *("never" if wait is None else f"{wait:.1f}" for wait in waits),
            *(str(row[name]) for name in ("scale_outs", "scale_ins", "most_workers")),
            f"{row['gpu_hours']:.1f}",
            f"{row['busy_share']:.0%}",
            *(f"{row[name]:.2f}" for name in ("cost_usd", "on_demand_cost_usd")),
        )
    return table


def video_table(stages: Mapping[tuple[str, int], Mapping[str, float]], video_sec: float) -> Table:
    """Stages by worker and number of workers."""
    table = Table("worker", "workers", *next(iter(stages.values())), "total s", "x real time")
    for (worker, count), spent in stages.items():
        total = sum(spent.values())
        times = [f"{seconds:.0f}" for seconds in spent.values()]
        table.add_row(worker, str(count), *times, f"{total:.0f}", f"{video_sec / total:.1f}")
    return table


def plot(outcomes: Sequence[Outcome], target: Path) -> None:
    """Running and busy workers over the day, and the backlog, of each policy below the other."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(len(outcomes), 1, figsize=(9, 1.5 * len(outcomes)), sharex=True, squeeze=False)
    for axes, outcome in zip(rows[:, 0], outcomes, strict=True):
        _plot_day(axes, outcome)
    rows[0, 0].legend(fontsize=7, loc="upper left")
    rows[-1, 0].set_xlabel("hour of the day", fontsize=8)
    figure.tight_layout()
    figure.savefig(target, dpi=80)
    pyplot.close(figure)


def _plot_day(axes: Any, outcome: Outcome) -> None:
    hours = [sample.at_sec / 3600 for sample in outcome.samples]
    queue = axes.twinx()
    queue.fill_between(hours, [sample.backlog for sample in outcome.samples], color="0.85", step="post")
    queue.set_ylabel("chunks", color="0.5", fontsize=7)
    axes.set_zorder(queue.get_zorder() + 1)
    axes.patch.set_visible(False)
    for name, color, width in (("running", "tab:blue", 0.9), ("busy", "tab:orange", 0.6)):
        counts = [getattr(sample, name) for sample in outcome.samples]
        axes.step(hours, counts, where="post", color=color, lw=width, label=name)
    axes.set_title(outcome.policy, fontsize=8, loc="left", pad=2)
    axes.set_ylim(0, 10.5)
    axes.set_ylabel("workers", fontsize=7)
    for each in (axes, queue):
        each.tick_params(labelsize=7)
