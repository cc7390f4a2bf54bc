"""Commands for operators: workers, pause, resume, doctor, cleanup."""

from __future__ import annotations

import getpass
import json
import os
import socket
import sys
from pathlib import Path
from uuid import UUID

import click
from rich.table import Column

from backend.cli.common import (
    EXIT_DONE,
    EXIT_FAILED,
    clock,
    connected,
    data_dir_option,
    json_option,
    out,
    plain,
    print_outcome,
    reported,
    resource_of,
    settings_of,
    table,
)
from backend.errors import writable
from backend.queue.figures import list_workers
from backend.queue.fleet import FleetState, pause_fleet, resume_fleet
from backend.queue.one_worker import drain_worker, release_worker
from backend.queue.queue import Queue
from backend.storage import open_store

MAX_WHO_CHARACTERS = 200


@click.group(invoke_without_command=True)
@data_dir_option
@json_option
@click.pass_context
def workers(call: click.Context, data_dir: Path | None, as_json: bool) -> None:
    """Show who works, and on what; or drain or release one worker."""
    if call.invoked_subcommand is not None:
        return
    with reported(as_json), connected(data_dir) as (service, _):
        rows = list_workers(service.database)
    if as_json:
        click.echo(json.dumps({"workers": rows}))
        return
    lines = table(Column("worker, and what it holds", overflow="fold"), "kind", "state", "seen")
    for row in rows:
        chunk = "" if row["chunk_index"] is None else f" chunk {row['chunk_index']}"
        holds = f"\n {row['job_id']}{chunk}" if row["job_id"] else ""
        kind = row["kind"].removesuffix("_worker")
        lines.add_row(plain(row["worker_id"]) + holds, plain(kind), row["state"], clock(row["seen_at"])[6:])
    out.print(lines)


@workers.command()
@click.argument("worker")
@data_dir_option
@json_option
def drain(worker: str, data_dir: Path | None, as_json: bool) -> None:
    """Let WORKER finish what it holds and stop; what supervises it starts a new one."""
    with reported(as_json), connected(data_dir) as (service, _):
        drain_worker(service.database, worker)
    _print_asked(worker, None, as_json)


@workers.command()
@click.argument("worker")
@data_dir_option
@json_option
def release(worker: str, data_dir: Path | None, as_json: bool) -> None:
    """Give back at once what WORKER holds, even where it hangs or is dead; and let it stop."""
    with reported(as_json), connected(data_dir) as (service, _):
        claims = release_worker(service.database, worker)
    _print_asked(worker, claims, as_json)


def _print_asked(worker: str, claims: int | None, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"worker_id": worker, "asked_to_stop": True, "released_claims": claims or 0}))
        return
    gave_back = "" if claims is None else f"; claims given back: {claims}"
    out.print(f"{plain(worker)} is asked to stop{gave_back}", soft_wrap=True)


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
            _print_fleet(pause_fleet(service.database, reason, _whoami()), as_json)
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


def _whoami() -> str:
    """user@host; of a container's user without a name, its number."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return writable(f"{user}@{socket.gethostname()}")[:MAX_WHO_CHARACTERS]


def _print_fleet(state: FleetState, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"paused": state.paused, "reason": state.reason}))
        return
    out.print(f"fleet {'paused' if state.paused else 'running'} {plain(state.reason)}".rstrip())
