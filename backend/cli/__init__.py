"""The `framefleet` command."""

from __future__ import annotations

import click

from backend import __version__, events, quick_start
from backend.cli import fleet, jobs, keys, remote, webhooks, work

COMMANDS = (
    work.run,
    work.submit,
    work.up,
    work.demo,
    jobs.status,
    jobs.list_,
    jobs.chunks,
    jobs.cancel,
    jobs.retry,
    jobs.version,
    jobs.again,
    jobs.plot,
    fleet.workers,
    remote.remote,
    keys.keys,
    keys.tenants,
    webhooks.webhooks,
    fleet.pause,
    fleet.resume,
    fleet.doctor,
    fleet.cleanup,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="framefleet")
def cli() -> None:
    """Follow the people in a video and crop it, in parallel chunks."""
    events.configure(level=30)  # warnings and worse; workers write their own logs


for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    quick_start.imported()
    cli.main(prog_name="framefleet")
