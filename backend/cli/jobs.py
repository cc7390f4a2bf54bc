"""Commands about single jobs: status, list, chunks, cancel, retry, plot."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import click
from rich.table import Column, Table

from backend.cli.common import (
    connected,
    data_dir_option,
    err,
    json_option,
    out,
    plain,
    print_outcome,
    reported,
    resource_of,
)
from backend.errors import InvalidState, ObjectNotFound
from backend.jobs.resource import chunk_resource, job_resources
from backend.local.run import plan_now
from backend.states import JobStatus
from backend.storage import open_store


@click.command()
@click.argument("job", type=click.UUID)
@data_dir_option
@json_option
def status(job: UUID, data_dir: Path | None, as_json: bool) -> None:
    """Show one job."""
    with reported(as_json), connected(data_dir) as (service, _):
        report = resource_of(service, job)
    print_outcome(report, as_json)


@click.command("list")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@data_dir_option
@json_option
def list_(limit: int, data_dir: Path | None, as_json: bool) -> None:
    """Show the newest jobs."""
    with reported(as_json), connected(data_dir) as (service, _):
        rows = job_resources(service.database, service.list(limit=limit))
    if as_json:
        click.echo(json.dumps({"jobs": rows}))
        return
    table = Table(Column("job", no_wrap=True, min_width=36), "kind", "status", "%", "chunks", "input", "created")
    for row in rows:
        done = f"{row['completed_chunks']}/{row['total_chunks'] or '?'}"
        cells = (row["id"], row["kind"], row["status"], str(row["progress_pct"]), done, row["input"]["name"])
        table.add_row(*map(plain, cells), row["created_at"][:19])
    out.print(table)


@click.command()
@click.argument("job", type=click.UUID)
@data_dir_option
@json_option
def chunks(job: UUID, data_dir: Path | None, as_json: bool) -> None:
    """Show a job's chunks."""
    with reported(as_json), connected(data_dir) as (service, _):
        rows = [chunk_resource(chunk) for chunk in service.chunks(job)]
    if as_json:
        click.echo(json.dumps({"chunks": rows}))
        return
    table = Table(
        "#", "from s", "to s", "status", "attempts", "failures", "ms", Column("worker", overflow="fold"), "error"
    )
    for row in rows:
        names = ("chunk_index", "start_sec", "end_sec", "status", "attempts", "failures", "runtime_ms", "claimed_by")
        said = f"{row['error_code']}: {row['error_message']}" if row["error_code"] else ""
        table.add_row(*(plain(row[name]) for name in names), plain(said))
    out.print(table)


@click.command()
@click.argument("job", type=click.UUID)
@data_dir_option
@json_option
def cancel(job: UUID, data_dir: Path | None, as_json: bool) -> None:
    """Stop a job; running work ends at its next heartbeat."""
    with reported(as_json), connected(data_dir) as (service, _):
        service.cancel(job)
        report = resource_of(service, job)
    print_outcome(report, as_json)


@click.command()
@click.argument("job", type=click.UUID)
@data_dir_option
@json_option
def retry(job: UUID, data_dir: Path | None, as_json: bool) -> None:
    """Put a failed job's failed chunks back into the queue."""
    with reported(as_json), connected(data_dir) as (service, settings):
        service.retry(job)
        plan_now(job, service.database, open_store(settings), settings)
        report = resource_of(service, job)
    print_outcome(report, as_json)


@click.command()
@click.argument("job", type=click.UUID)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: JOB.png")
@data_dir_option
def plot(job: UUID, output: Path | None, data_dir: Path | None) -> None:
    """Draw a finished job: its camera path over time as a PNG, and beside it, as …_sheet.png, frames of the film with
    the window, the subject and the tracks over them."""
    from backend.vision.plot import plot_path

    with reported(False), connected(data_dir) as (service, settings):
        found, store = service.get(job), open_store(settings)
        if found.status != JobStatus.DONE:
            raise InvalidState(f"The job is {found.status}; there is nothing to draw yet.")
        pictures = {"picture": plot_path(json.loads(store.get(f"jobs/{job}/camera_path.json")))}
        try:
            pictures["contact sheet"] = store.get(f"jobs/{job}/contact_sheet.png")
        except ObjectNotFound:
            err.print("[yellow]note[/]: this job was finished before contact sheets were made.")
    target = output or Path(f"{job}.png")
    targets = {"picture": target, "contact sheet": target.with_name(f"{target.stem}_sheet.png")}
    for name, picture in pictures.items():
        targets[name].write_bytes(picture)
        out.print(f"{name}: {plain(targets[name].resolve())}", soft_wrap=True)
