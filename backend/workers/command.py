"""What the workers' command lines share: options, settings, connections, and errors a person can read."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import click
from pydantic import ValidationError

from backend import events, quick_start
from backend.db.engine import Database
from backend.errors import FramefleetError, InvalidRequest
from backend.media.hardware import hardware_here
from backend.queue.surroundings import Surroundings
from backend.settings import Settings, get_settings
from backend.storage import open_store
from backend.storage.base import ObjectStore
from backend.workers.loop import exit_with_parent
from backend.workers.vitals import vitals

EXIT_BAD_SETUP = 2


@dataclass(frozen=True)
class Options:
    once: bool
    idle_exit_sec: float | None
    job: UUID | None


@dataclass(frozen=True)
class Workplace:
    """What a worker's body gets: valid settings and open connections."""

    settings: Settings
    database: Database
    store: ObjectStore
    surroundings: Surroundings
    hardware: Sequence[str]  # encoders and decoders that were tried and work here
    options: Options


Body = Callable[[Workplace], int]


def worker(name: str, *, encodes: bool = False) -> Callable[[Body], Callable[[], int]]:
    """Makes a worker's body into its command. The body runs with valid settings and open connections."""

    def decorate(body: Body) -> Callable[[], int]:
        @click.command(name, help=body.__doc__)
        @click.option("--once", is_flag=True, help="Do one piece of work, or none when none is due, and stop.")
        @click.option("--idle-exit", type=float, metavar="SECONDS", help="Stop after this long without work.")
        @click.option("--job", type=click.UUID, help="Work on this job only.")
        @click.option("--parent-pid", type=int, hidden=True, help="Stop when this process is gone.")
        def entry(once: bool, idle_exit: float | None, job: UUID | None, parent_pid: int | None) -> None:
            quick_start.imported()
            events.configure()
            if parent_pid is not None:
                exit_with_parent(parent_pid)
            sys.exit(_run(name, body, Options(once, idle_exit, job), encodes))

        @functools.wraps(body)
        def main() -> int:
            return int(entry.main(prog_name=f"python -m backend.workers.{name}") or 0)

        return main

    return decorate


def _run(name: str, body: Body, options: Options, encodes: bool) -> int:
    try:
        settings = get_settings()
        events.identify(worker=name, worker_id=settings.worker_id)
        # One connection for claims, heartbeats and finishes, one for transactions; for a moment, one more of these.
        database = Database.of(settings, name, pool_size=1, burst=1)
        store = open_store(settings)
    except ValidationError as invalid:
        click.echo(settings_complaint(invalid), err=True)
        return EXIT_BAD_SETUP
    except FramefleetError as failure:
        complain(failure)
        return EXIT_BAD_SETUP
    try:
        surroundings = Surroundings(store)
        hardware = hardware_here(settings) if encodes else []
        with vitals(name, settings, database, surroundings, hardware):
            return body(Workplace(settings, database, store, surroundings, hardware, options))
    except InvalidRequest as failure:  # what only turns out when the worker begins, such as a taken port
        complain(failure)
        return EXIT_BAD_SETUP
    finally:
        database.close()


def complain(failure: FramefleetError) -> None:
    click.echo(f"{failure.code}: {failure.message}", err=True)


def settings_complaint(invalid: ValidationError) -> str:
    """One line a setting, its value left out: it may be a secret."""
    lines = [f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in invalid.errors(include_input=False)]
    return "These settings are not valid:\n  " + "\n  ".join(lines)
