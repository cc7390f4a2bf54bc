"""What the commands share: options, settings, errors a person can read, and printing that no text can style."""

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
from rich.markup import escape
from rich.table import Column, Table

from backend.client import ClientError
from backend.db.provided import database_of
from backend.errors import FramefleetError, InvalidParams
from backend.jobs.resource import job_resources
from backend.jobs.service import JobService
from backend.settings import Settings, get_settings
from backend.states import JobStatus
from backend.workers.command import settings_complaint

EXIT_DONE, EXIT_FAILED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130

out = Console()
err = Console(stderr=True)

data_dir_option = click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="The data folder. Default: .framefleet"
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
param_option = click.option(
    "--param",
    "params",
    multiple=True,
    metavar="KEY=VALUE",
    help="As in aspect=9:16; repeatable. docs/kinds/ has the parameters of each kind.",
)


@contextmanager
def reported(as_json: bool) -> Iterator[None]:
    """Errors as one line (or one JSON object) and exit code 2; never a traceback for what a user can mend."""
    try:
        yield
    except (FramefleetError, ClientError) as error:
        if as_json:
            click.echo(
                json.dumps({"error": {"code": error.code, "message": error.message, "retryable": error.retryable}})
            )
        err.print(f"[red]{plain(error.code)}[/]: {plain(error.message)}")
        sys.exit(EXIT_BAD_INPUT)
    except ValidationError as invalid:
        err.print(plain(settings_complaint(invalid)))
        sys.exit(EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


@contextmanager
def connected(data_dir: Path | None) -> Iterator[tuple[JobService, Settings]]:
    wanted = settings_of(data_dir)
    if wanted.database_url is None:
        folder = plain(wanted.data_dir)
        err.print(f"[yellow]note[/]: DATABASE_URL is not set; this is the database in {folder}", soft_wrap=True)
    with database_of(wanted) as (database, settings):
        yield JobService(database), settings


def settings_of(data_dir: Path | None, *, forgiving_detector: bool = False) -> Settings:
    settings = get_settings()
    changes: dict[str, Any] = {"data_dir": data_dir} if data_dir else {}
    if forgiving_detector and "detector" not in settings.model_fields_set:
        changes["detector"] = "auto"  # a first run works without weights, and says so
    return settings.model_copy(update=changes)


def parse_params(pairs: tuple[str, ...]) -> dict[str, Any]:
    """key=value pairs; values are JSON where they read as a number, true or false, else text."""
    params: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InvalidParams(f"--param {pair[:60]!r} is not KEY=VALUE, as in aspect=9:16")
        try:
            parsed = json.loads(value)
        except ValueError:
            if value.lstrip()[:1] in ("[", "{"):
                raise InvalidParams(
                    f'--param {key}: this is no JSON: names and text stand in "double quotes", as in [{{"frame": 0}}]'
                ) from None
            parsed = value
        params[key] = parsed if isinstance(parsed, int | float | bool | list | dict) else value
    return params


def resource_of(service: JobService, job_id: UUID) -> dict[str, Any]:
    return job_resources(service.database, [service.get(job_id)])[0]


def exit_code(report: dict[str, Any]) -> int:
    return {JobStatus.DONE: EXIT_DONE, JobStatus.CANCELLED: EXIT_INTERRUPTED}.get(report["status"], EXIT_FAILED)


def print_outcome(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report))
    elif report["error"]:
        err.print(f"[red]{plain(report['error']['code'])}[/]: {plain(report['error']['message'])}")
    else:
        paused = ", paused" if report["paused"] else ""
        out.print(f"{plain(report['id'])} {plain(report['status'])} {report['progress_pct']} %{paused}")
    for warning in report["warnings"]:
        err.print(f"[yellow]note[/]: {plain(warning)}")
    detector = report.get("detector") or {}
    if "fallback" in detector:
        err.print(f"[yellow]note[/]: {plain(detector['fallback'])}.")
    if not as_json and "files" in report:
        _print_files(report)


def _print_files(report: dict[str, Any]) -> None:
    """The result, and what lies in the job's folder. A path is never broken over lines: it is there to be copied."""
    files = {name: Path(path) for name, path in report["files"].items()}
    result = files.pop("output")
    said = {"video": "film", "audio": "sound"}.get(report["output"]["content_type"].partition("/")[0], "result")
    out.print(f"{said}: {plain(result)}", soft_wrap=True)
    folders = {path.parent for path in files.values()}
    for folder in sorted(folders):
        names = ", ".join(sorted(path.name for path in files.values() if path.parent == folder))
        out.print(f"also: {plain(folder)} ({plain(names)})", soft_wrap=True)


def table(*columns: Column | str) -> Table:
    """Without lines, so that a row fits into 80 columns."""
    return Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))


def clock(moment: str | None) -> str:
    """`11-26 09:30` of an ISO time."""
    return moment[5:16].replace("T", " ") if moment else ""


def plain(value: object) -> str:
    """Text that cannot style the terminal: no markup, no control characters."""
    return escape("".join(c if c.isprintable() else "?" for c in str(value if value is not None else "")))
