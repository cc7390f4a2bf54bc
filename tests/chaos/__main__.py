"""`python -m tests.chaos --minutes 10`: one run after the other, each with a new seed, until the time is up."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections import Counter
from dataclasses import replace

import click

from backend.storage.s3 import READ_TIMEOUT_SEC
from tests.chaos.faults import ALL_STRIKES, Trouble
from tests.chaos.run import Plan, Report, run
from tests.chaos.world import FILM_SECONDS

JOBS, CHUNK_WORKERS, ANALYSIS_WORKERS = 20, 4, 2
RUN_TIMEOUT_SEC = 600.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="start runs until then (default 10)")
    parser.add_argument("--jobs", type=int, default=JOBS, help="at least so many a run")
    parser.add_argument("--bad-hour", action="store_true", help="no strikes: a store, machines and threads that fail")
    parser.add_argument("--seed", type=int, default=os.environ.get("CHAOS_SEED"), help="this one run only")
    options = parser.parse_args()
    deadline = time.monotonic() + 60 * options.minutes
    reports: list[Report] = []
    while not reports or (options.seed is None and time.monotonic() < deadline):
        seed = secrets.randbelow(2**32) if options.seed is None else options.seed
        click.echo(f"CHAOS_SEED={seed}")
        plan = _bad_hour(seed, options.jobs) if options.bad_hour else _plan(seed, options.jobs)
        reports.append(run(plan))
        click.echo(reports[-1])
    return _summary(reports)


def _plan(seed: int, jobs: int) -> Plan:
    return Plan(
        seed=seed,
        jobs=jobs,
        chunk_workers=CHUNK_WORKERS,
        analysis_workers=ANALYSIS_WORKERS,
        strikes=ALL_STRIKES,
        troubles=[*Trouble, Trouble.TERMINATE, Trouble.TERMINATE],
        film_seconds=FILM_SECONDS,
        timeout_sec=RUN_TIMEOUT_SEC,
        stall_sec=READ_TIMEOUT_SEC + 15.0,
    )


def _bad_hour(seed: int, jobs: int) -> Plan:
    bad = [Trouble.S3_AWAY, Trouble.SICK_WORKER, Trouble.ASLEEP, Trouble.FROZEN, Trouble.FULL_FOLDER]
    return replace(_plan(seed, jobs), strikes=(), troubles=bad)


def _summary(reports: list[Report]) -> int:
    faults = Counter(fault for report in reports for _, fault in report.struck)
    click.echo(f"\n{len(reports)} runs, {sum(report.jobs for report in reports)} jobs, {sum(faults.values())} faults:")
    for fault, count in sorted(faults.items()):
        click.echo(f"{count:6d} x {fault}")
    failed = [report.seed for report in reports if report.broken]
    click.echo(f"promises broken in {len(failed)} runs" + (f", seeds {failed}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
