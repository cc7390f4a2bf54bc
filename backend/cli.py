"""The `framefleet` command."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from backend import __version__, events
from backend.errors import FramefleetError, InvalidParams
from backend.jobs.fleet import FleetState, pause_fleet, resume_fleet
from backend.jobs.resource import chunk_resource, job_resources
from backend.jobs.service import JobService, NewJob
from backend.local.parts import database_of
from backend.local.run import Run, place_input, plan_now
from backend.settings import Settings, get_settings
from backend.states import DeepMode, JobStatus
from backend.storage import open_store
from backend.workers.command import settings_complaint

EXIT_DONE, EXIT_FAILED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130

out = Console()
err = Console(stderr=True)

data_dir_option = click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="The data folder. Default: .framefleet"
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
param_option = click.option(
    "--param", "params", multiple=True, metavar="KEY=VALUE", help="A parameter of the job kind."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="framefleet")
def cli() -> None:
    """Follow the people in a video and crop it, in parallel chunks."""
    events.configure(level=30)  # warnings and worse; workers write their own logs


@cli.command()
@click.argument("kind")
@click.argument("input_", metavar="INPUT")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where the film goes.")
@param_option
@click.option("--workers", type=click.IntRange(0, 64), default=2, show_default=True, help="Chunk worker processes.")
@click.option("--cpu", is_flag=True, help="deep_mode=cpu: the whole video as one chunk.")
@data_dir_option
@json_option
def run(
    kind: str,
    input_: str,
    output: Path | None,
    params: tuple[str, ...],
    workers: int,
    cpu: bool,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Work on INPUT (a path or a URI) from start to end, with progress, and fetch the result."""
    with _reported(as_json):
        settings = _settings(data_dir, forgiving_detector=True)
        job = Run(settings, workers=workers, deep_mode=DeepMode.CPU if cpu else DeepMode.GPU, console=err)
        report = job.run(kind, input_, _parse_params(params), output)
    _print_outcome(report, as_json)
    sys.exit(_exit_code(report))


@cli.command()
@click.argument("kind")
@click.argument("input_", metavar="INPUT")
@param_option
@click.option("--priority", type=click.IntRange(-100, 100), default=0, show_default=True)
@click.option("--output-uri", help="s3:// or gs:// URI of the film.")
@data_dir_option
@json_option
def submit(
    kind: str,
    input_: str,
    params: tuple[str, ...],
    priority: int,
    output_uri: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Put INPUT into the queue; workers that run elsewhere take it from there."""
    with _reported(as_json), _connected(data_dir) as (service, settings):
        store = open_store(settings)
        request = NewJob(kind, "", Path(input_).name, _parse_params(params), priority=priority, output_uri=output_uri)
        job = service.create(place_input(input_, request, settings, store))
        plan_now(job.id, service.database, store, settings)
        report = _resource(service, job.id)
    _print_outcome(report, as_json)
    sys.exit(EXIT_FAILED if report["status"] == JobStatus.FAILED else EXIT_DONE)


@cli.command()
@click.argument("job", type=click.UUID)
@data_dir_option
@json_option
def status(job: UUID, data_dir: Path | None, as_json: bool) -> None:
    """Show one job."""
    with _reported(as_json), _connected(data_dir) as (service, _):
        report = _resource(service, job)
    _print_outcome(report, as_json)


@cli.command("list")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@data_dir_option
@json_option
def list_(limit: int, data_dir: Path | None, as_json: bool) -> None:
    """Show the newest jobs."""
    with _reported(as_json), _connected(data_dir) as (service, _):
        rows = job_resources(service.database, service.list(limit=limit))
    if as_json:
        click.echo(json.dumps({"jobs": rows}))
        return
    table = Table("job", "kind", "status", "%", "chunks", "input", "created")
    for row in rows:
        done = f"{row['completed_chunks']}/{row['total_chunks'] or '?'}"
        cells = (row["id"], row["kind"], row["status"], str(row["progress_pct"]), done, row["input"]["name"])
        table.add_row(*map(_plain, cells), row["created_at"][:19])
    out.print(table)


@cli.command()
@click.argument("job", type=click.UUID)
@data_dir_option
@json_option
def chunks(job: UUID, data_dir: Path | None, as_json: bool) -> None:
    """Show a job's chunks."""
    with _reported(as_json), _connected(data_dir) as (service, _):
        rows = [chunk_resource(chunk) for chunk in service.chunks(job)]
    if as_json:
        click.echo(json.dumps({"chunks": rows}))
        return
    table = Table("#", "from s", "to s", "status", "attempts", "failures", "ms", "worker", "error")
    for row in rows:
        names = ("chunk_index", "start_sec", "end_sec", "status", "attempts", "failures", "runtime_ms", "claimed_by")
        table.add_row(*(_plain(row[name]) for name in names), _plain(row["error_message"]))
    out.print(table)


@cli.command()
@click.argument("job", type=click.UUID)
@data_dir_option
@json_option
def cancel(job: UUID, data_dir: Path | None, as_json: bool) -> None:
    """Stop a job; running work ends at its next heartbeat."""
    with _reported(as_json), _connected(data_dir) as (service, _):
        service.cancel(job)
        report = _resource(service, job)
    _print_outcome(report, as_json)


@cli.command()
@click.argument("job", type=click.UUID)
@data_dir_option
@json_option
def retry(job: UUID, data_dir: Path | None, as_json: bool) -> None:
    """Put a failed job's failed chunks back into the queue."""
    with _reported(as_json), _connected(data_dir) as (service, settings):
        service.retry(job)
        plan_now(job, service.database, open_store(settings), settings)
        report = _resource(service, job)
    _print_outcome(report, as_json)


@cli.command()
@click.argument("job", type=click.UUID, required=False)
@click.option("--reason", help="Why the fleet is paused, for whoever looks.")
@data_dir_option
@json_option
def pause(job: UUID | None, reason: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Claim nothing more of JOB, or nothing at all; work in hand goes on."""
    with _reported(as_json), _connected(data_dir) as (service, _):
        if job is None:
            _print_fleet(pause_fleet(service.database, reason), as_json)
            return
        service.pause(job)
        report = _resource(service, job)
    _print_outcome(report, as_json)


@cli.command()
@click.argument("job", type=click.UUID, required=False)
@data_dir_option
@json_option
def resume(job: UUID | None, data_dir: Path | None, as_json: bool) -> None:
    """Let JOB, or the fleet, go on."""
    with _reported(as_json), _connected(data_dir) as (service, _):
        if job is None:
            _print_fleet(resume_fleet(service.database), as_json)
            return
        service.resume(job)
        report = _resource(service, job)
    _print_outcome(report, as_json)


@cli.command()
@click.argument("job", type=click.UUID)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: JOB.png")
@data_dir_option
def plot(job: UUID, output: Path | None, data_dir: Path | None) -> None:
    """Draw a finished job's camera path: subject, window and camera speed over time, as a PNG."""
    from backend.vision.plot import plot_path

    with _reported(False), _connected(data_dir) as (service, settings):
        service.get(job)
        camera_path = json.loads(open_store(settings).get(f"jobs/{job}/camera_path.json"))
    target = output or Path(f"{job}.png")
    target.write_bytes(plot_path(camera_path))
    out.print(f"picture: {_plain(target.resolve())}", soft_wrap=True)


@cli.command()
@click.option("--workers", type=click.IntRange(0, 64), default=2, show_default=True, help="Chunk worker processes.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that the page and the API listen on.")
@data_dir_option
def up(workers: int, port: int, host: str, data_dir: Path | None) -> None:
    """Run the whole service on this machine: database, API, page and workers."""
    from backend.local.serve import serve

    with _reported(False):
        sys.exit(
            serve(_settings(data_dir, forgiving_detector=True), workers=workers, host=host, port=port, console=err)
        )


@cli.command()
@click.argument("video", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Chunk worker processes.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: a free one.")
@click.option("--stay/--no-stay", default=None, help="Keep the page up. Default: where a person is at the terminal.")
@data_dir_option
def demo(video: Path | None, workers: int, port: int, stay: bool | None, data_dir: Path | None) -> None:
    """Crop a sample clip, or your own VIDEO, with the whole service; say where the film is."""
    from backend.local.demo import demo as run_demo

    with _reported(False):
        settings = _settings(data_dir, forgiving_detector=True)
        stays = sys.stdin.isatty() and sys.stdout.isatty() if stay is None else stay
        sys.exit(run_demo(settings, video=video, workers=workers, port=port, stay=stays, console=out))


@cli.command()
@data_dir_option
@json_option
def doctor(data_dir: Path | None, as_json: bool) -> None:
    """Say what is missing on this machine and how to mend it."""
    from backend.local.doctor import examine

    with _reported(as_json):
        findings = examine(_settings(data_dir))
    if as_json:
        click.echo(json.dumps({"ok": all(f.ok for f in findings), "checks": [f.as_dict() for f in findings]}))
    else:
        for finding in findings:
            out.print(
                f"[{'green]ok  ' if finding.ok else 'red]MEND'}[/] {_plain(finding.name)}: {_plain(finding.says)}"
            )
    sys.exit(EXIT_DONE if all(f.ok for f in findings) else EXIT_FAILED)


def main() -> None:
    cli.main(prog_name="framefleet")


@contextmanager
def _reported(as_json: bool) -> Iterator[None]:
    """Errors as one line (or one JSON object) and exit code 2; never a traceback for what a user can mend."""
    try:
        yield
    except FramefleetError as error:
        if as_json:
            click.echo(
                json.dumps({"error": {"code": error.code, "message": error.message, "retryable": error.retryable}})
            )
        err.print(f"[red]{_plain(error.code)}[/]: {_plain(error.message)}")
        sys.exit(EXIT_BAD_INPUT)
    except ValidationError as invalid:
        err.print(_plain(settings_complaint(invalid)))
        sys.exit(EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


@contextmanager
def _connected(data_dir: Path | None) -> Iterator[tuple[JobService, Settings]]:
    with database_of(_settings(data_dir)) as (database, settings):
        yield JobService(database), settings


def _settings(data_dir: Path | None, *, forgiving_detector: bool = False) -> Settings:
    settings = get_settings()
    changes: dict[str, Any] = {"data_dir": data_dir} if data_dir else {}
    if forgiving_detector and "detector" not in settings.model_fields_set:
        changes["detector"] = "auto"  # a first run works without weights, and says so
    return settings.model_copy(update=changes)


def _parse_params(pairs: tuple[str, ...]) -> dict[str, Any]:
    """key=value pairs; values are JSON where they read as a number, true or false, else text."""
    params: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InvalidParams(f"--param {pair[:60]!r} is not KEY=VALUE, as in aspect=9:16")
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        params[key] = parsed if isinstance(parsed, int | float | bool | list | dict) else value
    return params


def _resource(service: JobService, job_id: UUID) -> dict[str, Any]:
    return job_resources(service.database, [service.get(job_id)])[0]


def _exit_code(report: dict[str, Any]) -> int:
    return {JobStatus.DONE: EXIT_DONE, JobStatus.CANCELLED: EXIT_INTERRUPTED}.get(report["status"], EXIT_FAILED)


def _print_outcome(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report))
    elif report["error"]:
        err.print(f"[red]{_plain(report['error']['code'])}[/]: {_plain(report['error']['message'])}")
    else:
        out.print(f"{_plain(report['id'])} {_plain(report['status'])} {report['progress_pct']} %")
    for warning in report["warnings"]:
        err.print(f"[yellow]note[/]: {_plain(warning)}")
    detector = report.get("detector") or {}
    if "fallback" in detector:
        err.print(f"[yellow]note[/]: {_plain(detector['fallback'])}; OpenCV's built-in people detector stood in.")
    if not as_json and "files" in report:
        out.print(f"film: {_plain(report['files']['output'])}")


def _print_fleet(state: FleetState, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"paused": state.paused, "reason": state.reason}))
        return
    out.print(f"fleet {'paused' if state.paused else 'running'} {_plain(state.reason)}".rstrip())


def _plain(value: object) -> str:
    """Text that cannot style the terminal: no markup, no control characters."""
    from rich.markup import escape

    return escape("".join(c if c.isprintable() else "?" for c in str(value if value is not None else "")))
