"""`framefleet keys` and `framefleet tenants`: who may use the API, for what, and how much."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
from rich.table import Column

from backend.access.keys import USUAL_SCOPES, add_key, list_keys, make_key, revoke_key
from backend.access.scopes import Scope
from backend.access.tenants import DEFAULT_TENANT, list_tenants, set_allowed_prefixes, set_limits
from backend.cli.common import clock, connected, data_dir_option, err, json_option, out, plain, reported, table

UNIT_SEC = {"m": 60.0, "h": 3600.0, "d": 86_400.0}
NONE = "none"  # on the command line: no limit


class Lasting(click.ParamType[float]):
    """`30d`, `12h`, `5m`, as seconds."""

    name = "time"

    def convert(self, value: str | float, param: click.Parameter | None, call: click.Context | None) -> float:
        match = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", str(value))
        if match is None:
            self.fail("give a time as in 30d, 12h or 5m.", param, call)
        return int(match[1]) * UNIT_SEC[match[2]]


class Limit(click.ParamType[float | str]):
    """A number from 0 up, or `none`."""

    name = "limit"

    def __init__(self, *, whole: bool = True) -> None:
        self._whole = whole

    def convert(self, value: str, param: click.Parameter | None, call: click.Context | None) -> float | str:
        if value == NONE:
            return NONE
        if not re.fullmatch(r"[0-9]{1,18}" if self._whole else r"[0-9]{1,15}(\.[0-9]+)?", value):
            self.fail(f"give a number from 0 up, or `{NONE}`.", param, call)
        return int(value) if self._whole else float(value)


@click.group()
def keys() -> None:
    """Say who may use the API: each client under a key of its own, which can be revoked."""


@keys.command()
@json_option
def make(as_json: bool) -> None:
    """Print a key that nobody knows yet; for `create --stored`, where what is printed is kept in a log."""
    key, stored = make_key()
    if as_json:
        click.echo(json.dumps({"key": key, "stored": stored}))
        return
    err.print("Nobody knows it yet. Where the database is reached:", soft_wrap=True)
    err.print(f"  framefleet keys create NAME --stored {stored}", soft_wrap=True)
    click.echo(key)


@keys.command()
@click.argument("name")
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose jobs it sees and makes.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    help=f"What it is for; repeatable. Default: {' and '.join(USUAL_SCOPES)}.",
)
@click.option("--expires", "lasts_sec", type=Lasting(), help="After what time, as in 30d. Default: never.")
@click.option("--stored", help="Of a key that `keys make` printed elsewhere; none is printed then.")
@data_dir_option
@json_option
def create(
    name: str,
    tenant: str,
    scopes: tuple[str, ...],
    lasts_sec: float | None,
    stored: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Print a key called NAME. It is shown this once and kept nowhere."""
    asked = tuple(map(Scope, scopes)) or USUAL_SCOPES
    key, hashed = (None, stored) if stored is not None else make_key()
    with reported(as_json), connected(data_dir) as (service, _):
        add_key(service.database, name, hashed, tenant=tenant, scopes=asked, lasts_sec=lasts_sec)
    if as_json:
        shown = {"key": key} if key is not None else {}
        click.echo(json.dumps({"name": name, "tenant": tenant, "scopes": sorted(asked), **shown}))
        return
    err.print(f"{plain(name)} is for tenant {plain(tenant)}: {', '.join(sorted(asked))}.", soft_wrap=True)
    if key is not None:
        err.print("It is not shown again:")
        click.echo(key)


@keys.command("list")
@data_dir_option
@json_option
def list_(data_dir: Path | None, as_json: bool) -> None:
    """Show which keys there are, what they are for, and whether they are in force."""
    with reported(as_json), connected(data_dir) as (service, _):
        rows = [each.as_dict() for each in list_keys(service.database)]
    if as_json:
        click.echo(json.dumps({"keys": rows}))
        return
    folded = [Column(name, overflow="fold") for name in ("name", "scopes")]
    lines = table(folded[0], "begins", "tenant", folded[1], "state", "used", "expires")
    for row in rows:
        lines.add_row(
            plain(row["name"]),
            plain(row["prefix"]),
            plain(row["tenant"]),
            plain(" ".join(row["scopes"])),
            row["state"],
            clock(row["last_used_at"]),
            clock(row["expires_at"]),
        )
    out.print(lines)


@keys.command()
@click.argument("name")
@data_dir_option
@json_option
def revoke(name: str, data_dir: Path | None, as_json: bool) -> None:
    """Refuse the key NAME, and all that signed in with it, from now on."""
    with reported(as_json), connected(data_dir) as (service, _):
        revoke_key(service.database, name)
    if as_json:
        click.echo(json.dumps({"name": name, "revoked": True}))
        return
    out.print(f"{plain(name)} is revoked; the API refuses it within five seconds.", soft_wrap=True)


@click.group()
def tenants() -> None:
    """Say how much each tenant may use. Their keys say who they are."""


@tenants.command("list")
@data_dir_option
@json_option
def list_all(data_dir: Path | None, as_json: bool) -> None:
    """Show the tenants, their limits, and how many keys of each are in force."""
    with reported(as_json), connected(data_dir) as (service, _):
        rows = list_tenants(service.database)
    if as_json:
        click.echo(json.dumps({"tenants": rows}))
        return
    lines = table(Column("name", overflow="fold"), "open jobs", "bytes", "frames", "CPU s", "keys")
    for row in rows:
        limits = [row[name] for name in ("open_jobs_max", "bytes_max", "frames_max", "cpu_seconds_max")]
        lines.add_row(plain(row["name"]), *["" if limit is None else str(limit) for limit in limits], str(row["keys"]))
    out.print(lines)


@tenants.command("set")
@click.argument("name")
@click.option("--open-jobs", type=Limit(), help="Jobs that are not over, at once.")
@click.option("--bytes", "bytes_", type=Limit(), help="Of the sources of a day's jobs.")
@click.option("--frames", type=Limit(), help="Of those sources.")
@click.option("--cpu-seconds", type=Limit(whole=False), help="Workers' time for chunks of a day's jobs.")
@click.option("--allowed-prefixes", help="Places that it may name, in place of ALLOWED_PREFIXES; with commas.")
@data_dir_option
@json_option
def set_(
    name: str,
    open_jobs: int | str | None,
    bytes_: int | str | None,
    frames: int | str | None,
    cpu_seconds: float | str | None,
    allowed_prefixes: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Limit the tenant NAME, and make it where there is none. What is not named stays; `none` takes a limit away:
    then that of TENANT_MAX_… holds, if any."""
    given = {"open_jobs_max": open_jobs, "bytes_max": bytes_, "frames_max": frames, "cpu_seconds_max": cpu_seconds}
    limits = {limit: _number(value) for limit, value in given.items() if value is not None}
    with reported(as_json), connected(data_dir) as (service, _):
        tenant = set_limits(service.database, name, limits)
        if allowed_prefixes is not None:
            set_allowed_prefixes(service.database, name, None if allowed_prefixes == NONE else allowed_prefixes)
    now = {limit: getattr(tenant, limit) for limit in given}
    if as_json:
        click.echo(json.dumps({"name": name, **now}))
        return
    shown = ", ".join(f"{limit} {'none' if value is None else value}" for limit, value in now.items())
    out.print(f"{plain(name)}: {shown}", soft_wrap=True)


def _number(value: float | str) -> float | None:
    return None if isinstance(value, str) else value
