"""Commands about single jobs: status, list, chunks, cancel, retry, version, again, plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from rich.table import Column

from backend.cli.asked import asked, key_option, server_option
from backend.cli.common import (
    clock,
    connected,
    data_dir_option,
    err,
    json_option,
    out,
    param_option,
    parse_params,
    plain,
    print_outcome,
    reported,
    table,
)
from backend.errors import InvalidState, ObjectNotFound
from backend.jobs.layout import result_key
from backend.jobs.resource import check_leaves
from backend.states import JobStatus
from backend.storage import open_store


@click.command()
@click.argument("job", type=click.UUID)
@data_dir_option
@server_option
@key_option
@json_option
def status(job: UUID, data_dir: Path | None, server: str | None, key_file: Path | None, as_json: bool) -> None:
    """Show one job."""
    with reported(as_json), asked(data_dir, server, key_file) as jobs:
        report = jobs.show(job)
    print_outcome(report, as_json)


@click.command("list")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--status", type=click.Choice([status.value for status in JobStatus]), help="Only jobs in this state.")
@data_dir_option
@server_option
@key_option
@json_option
def list_(
    limit: int, status: str | None, data_dir: Path | None, server: str | None, key_file: Path | None, as_json: bool
) -> None:
    """Show the newest jobs."""
    with reported(as_json), asked(data_dir, server, key_file) as jobs:
        rows, dead = jobs.newest(limit=limit, status=status), jobs.dead_webhooks()
    if as_json:
        click.echo(json.dumps({"jobs": rows}))
        return
    job = Column("job, and its input", no_wrap=True, overflow="ellipsis")
    lines = table(job, "status", "%", "chunks", Column("created", min_width=11))
    for row in rows:
        unknown = "-" if row["status"] == JobStatus.DONE else "?"  # a done job without chunks has a kind without any
        done = f"{row['completed_chunks']}/{row['total_chunks']}" if row["total_chunks"] else unknown
        what = f"{plain(row['id'])}\n {plain(row['kind'])}: {plain(row['input']['name'])}"
        lines.add_row(what, plain(row["status"]), str(row["progress_pct"]), done, clock(row["created_at"]))
    out.print(lines)
    if dead:
        words = f"messages to webhooks that nobody took: {dead}, see framefleet webhooks list --dead"
        err.print(f"[yellow]note[/]: {words}", soft_wrap=True)


@click.command()
@click.argument("job", type=click.UUID)
@data_dir_option
@server_option
@key_option
@json_option
def chunks(job: UUID, data_dir: Path | None, server: str | None, key_file: Path | None, as_json: bool) -> None:
    """Show a job's chunks."""
    with reported(as_json), asked(data_dir, server, key_file) as jobs:
        rows = jobs.chunks(job)
    if as_json:
        click.echo(json.dumps({"chunks": rows}))
        return
    has_phases = len({row["phase"] for row in rows}) > 1
    lines = table("#", "seconds", "status", "tries", "failed", "ms", Column("worker, error", overflow="fold"))
    for row in rows:
        seconds = f"{row['start_sec']:g}-{row['end_sec']:g}"
        names = ("chunk_index", "status", "attempts", "failures", "runtime_ms")
        number, *cells = (plain(row[name]) for name in names)
        place = f"{row['phase']} {number}" if has_phases else number
        lines.add_row(place, seconds, *cells, plain(_who_and_why(row)))
    out.print(lines)


def _who_and_why(chunk: dict[str, Any]) -> str:
    """Who holds or held it; of one that failed, who failed it, and the error."""
    who = chunk["claimed_by"] or chunk["failed_by"] or ""
    if not chunk["error_code"]:
        return who
    failed_by = f"failed by {chunk['failed_by']}: " if chunk["failed_by"] else ""
    return f"{failed_by}{chunk['error_code']}: {chunk['error_message']}"


@click.command()
@click.argument("job", type=click.UUID)
@data_dir_option
@server_option
@key_option
@json_option
def cancel(job: UUID, data_dir: Path | None, server: str | None, key_file: Path | None, as_json: bool) -> None:
    """Stop a job; running work ends at its next heartbeat."""
    with reported(as_json), asked(data_dir, server, key_file) as jobs:
        report = jobs.cancel(job)
    print_outcome(report, as_json)


@click.command()
@click.argument("job", type=click.UUID, required=False)
@click.option("--all-failed", is_flag=True, help="Every failed job; analysis workers plan those that were not cut yet.")
@click.option("--code", help="With --all-failed: only jobs that failed with this error code, as storage_error.")
@data_dir_option
@server_option
@key_option
@json_option
def retry(
    job: UUID | None,
    all_failed: bool,
    code: str | None,
    data_dir: Path | None,
    server: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Put the failed chunks of JOB, or of all failed jobs, back into the queue."""
    if (job is None) != all_failed or (code is not None and not all_failed):
        raise click.UsageError("Name a JOB, or --all-failed (and with it --code CODE).")
    with reported(as_json), asked(data_dir, server, key_file) as jobs:
        if job is None:
            _print_retried(*jobs.retry_failed(code), as_json)
            return
        report = jobs.retry(job)
    print_outcome(report, as_json)


def _print_retried(retried: Sequence[UUID], refused: dict[UUID, str], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"retried": list(map(str, retried)), "refused": {str(i): refused[i] for i in refused}}))
        return
    for job_id, message in refused.items():
        err.print(f"[yellow]note[/]: {job_id}: {plain(message)}", soft_wrap=True)
    out.print(f"jobs put back: {len(retried)}")


@click.command()
@click.argument("job", type=click.UUID)
@param_option
@data_dir_option
@server_option
@key_option
@json_option
def version(
    job: UUID,
    params: tuple[str, ...],
    data_dir: Path | None,
    server: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Render JOB again with other parameters: a new job, which detects nothing."""
    with reported(as_json), asked(data_dir, server, key_file) as jobs:
        report = jobs.version(job, parse_params(params))
    print_outcome(report, as_json)


@click.command()
@click.argument("job", type=click.UUID)
@click.argument("input_", metavar="[INPUT]", required=False)
@param_option
@data_dir_option
@server_option
@key_option
@json_option
def again(
    job: UUID,
    input_: str | None,
    params: tuple[str, ...],
    data_dir: Path | None,
    server: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Run JOB again from the start, as a new job: on its source, or on INPUT."""
    with reported(as_json), asked(data_dir, server, key_file) as jobs:
        report = jobs.again(job, input_, parse_params(params))
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
        check_leaves(found, "camera_path.json")
        if found.status != JobStatus.DONE:
            raise InvalidState(f"The job is {found.status}; there is nothing to draw yet.")
        pictures = {"picture": plot_path(json.loads(store.get(result_key(job, "camera_path.json"))))}
        try:
            pictures["contact sheet"] = store.get(result_key(job, "contact_sheet.png"))
        except ObjectNotFound:
            err.print("[yellow]note[/]: this job was finished before contact sheets were made.")
    target = output or Path(f"{job}.png")
    targets = {"picture": target, "contact sheet": target.with_name(f"{target.stem}_sheet.png")}
    for name, picture in pictures.items():
        targets[name].write_bytes(picture)
        out.print(f"{name}: {plain(targets[name].resolve())}", soft_wrap=True)
