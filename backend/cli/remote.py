"""`framefleet remote`: machines that work over HTTPS, each with a token of its own."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.table import Column

from backend.cli.common import clock, connected, data_dir_option, err, json_option, out, plain, reported, table
from backend.queue.remote_workers import add_remote_worker, list_remote_workers, revoke_remote_worker


@click.group()
def remote() -> None:
    """Let machines without a database connection work, each under a token that can be revoked."""


@remote.command()
@click.argument("name")
@data_dir_option
@json_option
def add(name: str, data_dir: Path | None, as_json: bool) -> None:
    """Print a token for the machine NAME. It is shown this once and kept nowhere."""
    with reported(as_json), connected(data_dir) as (service, _):
        token = add_remote_worker(service.database, name)
    if as_json:
        click.echo(json.dumps({"name": name, "token": token}))
        return
    err.print("Keep it in a file of its own; it is not shown again. On that machine:", soft_wrap=True)
    err.print(
        "  python -m backend.workers.gpu_chunk_worker --server https://YOUR-API --token-file FILE", soft_wrap=True
    )
    click.echo(token)


@remote.command("list")
@data_dir_option
@json_option
def list_(data_dir: Path | None, as_json: bool) -> None:
    """Show who has a token, whether it is in force, and how many chunks each works on."""
    with reported(as_json), connected(data_dir) as (service, _):
        rows = [each.as_dict() for each in list_remote_workers(service.database)]
    if as_json:
        click.echo(json.dumps({"remote_workers": rows}))
        return
    lines = table(Column("name", overflow="fold"), "added", "seen", "revoked", "chunks")
    for row in rows:
        times = [clock(row[name]) for name in ("created_at", "last_seen_at", "revoked_at")]
        lines.add_row(plain(row["name"]), *times, str(row["chunks_in_work"]))
    out.print(lines)


@remote.command()
@click.argument("name")
@data_dir_option
@json_option
def revoke(name: str, data_dir: Path | None, as_json: bool) -> None:
    """Refuse NAME's token from now on, and put back at once what it works on."""
    with reported(as_json), connected(data_dir) as (service, _):
        chunks = revoke_remote_worker(service.database, name)
    if as_json:
        click.echo(json.dumps({"name": name, "revoked": True, "released_chunks": chunks}))
        return
    out.print(f"{plain(name)} is revoked; chunks put back: {chunks}", soft_wrap=True)
