"""What the workers' command lines share: options, settings, connections, and errors a person can read."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click
from pydantic import ValidationError

from backend import events, quick_start
from backend.db.engine import Database
from backend.errors import AccessRevoked, FramefleetError, InvalidRequest, JailUnavailable, TemporaryFolderUnsafe
from backend.media.hardware import hardware_here
from backend.media.jail.platform import require_jail
from backend.queue.surroundings import Surroundings
from backend.settings import Settings, get_settings
from backend.storage import open_store
from backend.storage.base import ObjectStore
from backend.workers.loop import exit_with_parent
from backend.workers.remote.access import Access, access_of
from backend.workers.vitals import registered, shown, vitals

if TYPE_CHECKING:
    from backend.workers.remote.server import Server

EXIT_BAD_SETUP = 2
# Some only turn out later, such as a taken port.
BAD_SETUP = (InvalidRequest, AccessRevoked, JailUnavailable, TemporaryFolderUnsafe)


@dataclass(frozen=True)
class Options:
    once: bool
    idle_exit_sec: float | None
    job: UUID | None


@dataclass(frozen=True)
class Place:
    """What the body of any worker gets: valid settings, and what it found out of its machine."""

    settings: Settings
    surroundings: Surroundings
    hardware: Sequence[str]  # encoders and decoders that were tried and work here
    options: Options


@dataclass(frozen=True)
class Workplace(Place):
    """With open connections of its own."""

    database: Database
    store: ObjectStore


@dataclass(frozen=True)
class RemotePlace(Place):
    """With a server that has them."""

    server: Server


Body = Callable[[Workplace], int]
RemoteBody = Callable[[RemotePlace], int]


def worker(
    name: str, *, encodes: bool = False, remote: RemoteBody | None = None
) -> Callable[[Body], Callable[[], int]]:
    """Makes a worker's body into its command. With `remote`, that one runs where a server is named."""

    def decorate(body: Body) -> Callable[[], int]:
        @click.command(name, help=body.__doc__)
        @click.option("--once", is_flag=True, help="Do one piece of work, or none when none is due, and stop.")
        @click.option("--idle-exit", type=float, metavar="SECONDS", help="Stop after this long without work.")
        @click.option("--job", type=click.UUID, help="Work on this job only.")
        @click.option("--parent-pid", type=int, hidden=True, help="Stop when this process is gone.")
        def entry(once: bool, idle_exit: float | None, job: UUID | None, parent_pid: int | None, **access: Any) -> None:
            quick_start.imported()
            events.configure()
            if parent_pid is not None:
                exit_with_parent(parent_pid)
            sys.exit(_run(name, body, remote, Options(once, idle_exit, job), encodes, access))

        if remote is not None:
            for option in reversed(ACCESS_OPTIONS):
                entry = option(entry)

        @functools.wraps(body)
        def main() -> int:
            return int(entry.main(prog_name=f"python -m backend.workers.{name}") or 0)

        return main

    return decorate


ACCESS_OPTIONS = (
    click.option(
        "--server", metavar="URL", help="Work for this API, without a database. FRAMEFLEET_SERVER is read too."
    ),
    click.option("--token", help="The same, but others on this machine see it."),
    click.option(
        "--token-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="With the server's token; else FRAMEFLEET_TOKEN.",
    ),
    click.option("--allow-http", is_flag=True, help="Send the token to an http:// server, too."),
)


def _run(
    name: str,
    body: Body,
    remote: RemoteBody | None,
    options: Options,
    encodes: bool,
    access: Mapping[str, Any],
) -> int:
    try:
        settings = get_settings()
        events.identify(worker=name, worker_id=settings.worker_id)
        require_jail(settings)
        asked = access_of(settings, **access) if remote is not None else None
        if remote is not None and asked is not None:
            return _work_remotely(name, remote, settings, options, encodes, asked)
        return _work(name, body, settings, options, encodes)
    except ValidationError as invalid:
        click.echo(settings_complaint(invalid), err=True)
        return EXIT_BAD_SETUP
    except BAD_SETUP as failure:
        complain(failure)
        return EXIT_BAD_SETUP


def _work(name: str, body: Body, settings: Settings, options: Options, encodes: bool) -> int:
    try:
        # One connection for claims, heartbeats and finishes, one for transactions; for a moment, one more of these.
        database = Database.of(settings, name, pool_size=1, burst=1)
        store = open_store(settings)
    except FramefleetError as failure:
        complain(failure)
        return EXIT_BAD_SETUP
    try:
        surroundings = Surroundings(store)
        hardware = hardware_here(settings) if encodes else []
        with vitals(name, settings, database, surroundings, hardware):
            return body(Workplace(settings, surroundings, hardware, options, database, store))
    finally:
        database.close()


def _work_remotely(
    name: str, body: RemoteBody, settings: Settings, options: Options, encodes: bool, access: Access
) -> int:
    from backend.workers.remote.files import ProbeObject  # most workers need none of it
    from backend.workers.remote.place import open_server
    from backend.workers.remote.registry import RemoteRegistry

    server, settings = open_server(access, settings)
    surroundings = Surroundings(ProbeObject(server, settings))
    hardware = hardware_here(settings) if encodes else []
    registry = RemoteRegistry(server)
    with shown(name, settings), registered(name, settings, registry, surroundings, hardware):
        return body(RemotePlace(settings, surroundings, hardware, options, server))


def complain(failure: FramefleetError) -> None:
    click.echo(f"{failure.code}: {failure.message}", err=True)


def settings_complaint(invalid: ValidationError) -> str:
    """One line a setting, its value left out: it may be a secret."""
    lines = [f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in invalid.errors(include_input=False)]
    return "These settings are not valid:\n  " + "\n  ".join(lines)
