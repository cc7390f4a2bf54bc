"""Commands for operators: workers, pause, resume, doctor, cleanup."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from uuid import UUID

import click
from rich.table import Table

from backend.cli.common import (
    EXIT_DONE,
    EXIT_FAILED,
    connected,
    data_dir_option,
    json_option,
    out,
    plain,
    print_outcome,
    reported,
    resource_of,
    settings_of,
)
from backend.jobs.figures import list_workers
from backend.jobs.fleet import FleetState, pause_fleet, resume_fleet
from backend.jobs.queue import Queue
from backend.storage import open_store


@click.command()
@data_dir_option
@json_option
def workers(data_dir: Path | None, as_json: bool) -> None:
    """Show who works, and on what."""
    with reported(as_json), connected(data_dir) as (service, _):
        rows = list_workers(service.database)
    if as_json:
        click.echo(json.dumps({"workers": rows}))
        return
    names = ("worker_id", "kind", "state", "job_id", "chunk_index", "seen_at")
    table = Table("worker", "kind", "state", "job", "chunk", "seen")
    for row in rows:
        table.add_row(*(plain("" if row[name] is None else str(row[name])) for name in names))
    out.print(table)


@click.command()
@click.argument("job", type=click.UUID, required=False)
@click.option("--reason", help="Why the fleet is paused, for whoever looks.")
@data_dir_option
@json_option
def pause(job: UUID | None, reason: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Claim nothing more of JOB, or nothing at all; work in hand goes on."""
    if job is not None and reason is not None:
        raise click.UsageError("--reason is for the fleet: leave JOB or --reason out.")
    with reported(as_json), connected(data_dir) as (service, _):
        if job is None:
            _print_fleet(pause_fleet(service.database, reason), as_json)
            return
        service.pause(job)
        report = resource_of(service, job)
    print_outcome(report, as_json)


@click.command()
@click.argument("job", type=click.UUID, required=False)
@data_dir_option
@json_option
def resume(job: UUID | None, data_dir: Path | None, as_json: bool) -> None:
    """Let JOB, or the fleet, go on."""
    with reported(as_json), connected(data_dir) as (service, _):
        if job is None:
            _print_fleet(resume_fleet(service.database), as_json)
            return
        service.resume(job)
        report = resource_of(service, job)
    print_outcome(report, as_json)


@click.command()
@data_dir_option
@json_option
def doctor(data_dir: Path | None, as_json: bool) -> None:
    """Say what is missing on this machine and how to mend it."""
    from backend.local.doctor import examine

    with reported(as_json):
        findings = examine(settings_of(data_dir))
    if as_json:
        click.echo(json.dumps({"ok": all(f.ok for f in findings), "checks": [f.as_dict() for f in findings]}))
    else:
        for finding in findings:
            out.print(f"[{'green]ok  ' if finding.ok else 'red]MEND'}[/] {plain(finding.name)}: {plain(finding.says)}")
    sys.exit(EXIT_DONE if all(f.ok for f in findings) else EXIT_FAILED)


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--orphans", is_flag=True, help="Remove objects without a job even where they are suspiciously many.")
@data_dir_option
@json_option
def cleanup(dry_run: bool, orphans: bool, data_dir: Path | None, as_json: bool) -> None:
    """Do now what the janitor does: rescue, expire uploads, delete old jobs and what killed workers left."""
    from backend.workers.janitor import Janitor

    with reported(as_json), connected(data_dir) as (service, settings):
        queue = Queue(service.database, settings)
        janitor = Janitor(service.database, queue, open_store(settings), settings, dry_run=dry_run)
        swept = janitor.sweep(orphans_even_many=orphans).as_dict()
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, **swept}))
        return
    for name, what in swept.items():
        words = f"{len(what)}" if isinstance(what, list) else f"{what}"
        out.print(f"{name.replace('_', ' ')}: {words}")
        for one in what if isinstance(what, list) else []:
            out.print(f"  {plain(one)}", soft_wrap=True)
    if dry_run:
        out.print("Nothing was changed.")


def _print_fleet(state: FleetState, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"paused": state.paused, "reason": state.reason}))
        return
    out.print(f"fleet {'paused' if state.paused else 'running'} {plain(state.reason)}".rstrip())
