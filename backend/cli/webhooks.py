"""`framefleet webhooks`: the secret that signs, and messages that could not be delivered."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import click
from rich.table import Column

from backend.cli.common import clock, connected, data_dir_option, err, json_option, out, plain, reported, table
from backend.jobs.webhook_log import dead_deliveries, deliveries_of, resend
from backend.jobs.webhook_secrets import OVERLAP_HOURS, rotate_secret, signing_secrets

tenant_option = click.option("--tenant", default="default", show_default=True)


@click.group()
def webhooks() -> None:
    """Messages about jobs to the URLs that asked for them, and the secret that signs them."""


@webhooks.command()
@tenant_option
@click.option("--rotate", is_flag=True, help="Make a new one.")
@click.option(
    "--overlap-hours",
    type=click.FloatRange(0, 24 * 30),
    default=OVERLAP_HOURS,
    show_default=True,
    help="With --rotate: how long the one before signs beside it. 0 where it leaked.",
)
@data_dir_option
@json_option
def secret(tenant: str, rotate: bool, overlap_hours: float, data_dir: Path | None, as_json: bool) -> None:
    """Print the secret that receivers verify a tenant's webhooks with; it is made where there is none."""
    with reported(as_json), connected(data_dir) as (service, _):
        if rotate:
            signing = rotate_secret(service.database, tenant, overlap_hours=overlap_hours)
        else:
            signing = signing_secrets(service.database, tenant)
    newest, *others = signing
    ends = [each.signs_until.isoformat(timespec="seconds") for each in others if each.signs_until]
    if as_json:
        click.echo(json.dumps({"tenant": tenant, "secret": newest.text, "others_sign_until": ends}))
        return
    for end in ends:
        err.print(f"[yellow]note[/]: one from before signs too, until {end}", soft_wrap=True)
    click.echo(newest.text)


@webhooks.command("list")
@click.argument("job", type=click.UUID, required=False)
@click.option("--dead", is_flag=True, help="Those of all jobs that were given up.")
@data_dir_option
@json_option
def list_(job: UUID | None, dead: bool, data_dir: Path | None, as_json: bool) -> None:
    """Show the messages about JOB, or with --dead all that were given up."""
    if (job is None) != dead:
        raise click.UsageError("Name a JOB, or --dead.")
    with reported(as_json), connected(data_dir) as (service, _):
        if job is None:
            rows = dead_deliveries(service.database)
        else:
            rows = deliveries_of(service.database, service.get(job).id)
    if as_json:
        click.echo(json.dumps({"deliveries": rows}))
        return
    place = Column("job, and where to", overflow="fold", min_width=len(str(UUID(int=0))))
    lines = table(place, "what", Column("last answer", overflow="fold"))
    for row in rows:
        last = row["attempts"][-1] if row["attempts"] else {"sent_at": "", "error": ""}
        answer = f"{clock(last['sent_at'])} {last['error'] or 'taken'}".strip() if row["attempts"] else ""
        where = f"{plain(row['job_id'])}\n {plain(row['webhook'])}"
        what = f"{plain(row['type'])}\n {row['status']}, tries: {row['tries']}"
        lines.add_row(where, what, plain(answer))
    out.print(lines)


@webhooks.command("resend")
@click.argument("job", type=click.UUID)
@data_dir_option
@json_option
def resend_(job: UUID, data_dir: Path | None, as_json: bool) -> None:
    """Send again what was given up of JOB: now, and then with all the pauses."""
    with reported(as_json), connected(data_dir) as (service, _):
        count = resend(service.database, service.get(job).id)
    if as_json:
        click.echo(json.dumps({"job": str(job), "messages": count}))
        return
    out.print(f"messages that are due again: {count}")
