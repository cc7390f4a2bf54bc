"""Commands that work on a video: run, submit, up, demo."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from backend.cli.asked import asked, client_of, key_option, server_option
from backend.cli.common import (
    EXIT_DONE,
    EXIT_FAILED,
    data_dir_option,
    err,
    exit_code,
    json_option,
    out,
    param_option,
    parse_params,
    print_outcome,
    reported,
    settings_of,
)
from backend.cli.on_server import run_on_server
from backend.local.run import Run
from backend.states import DeepMode, JobStatus


@click.command()
@click.argument("kind")
@click.argument("input_", metavar="INPUT")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where the result goes.")
@param_option
@click.option("--workers", type=click.IntRange(0, 64), default=2, show_default=True, help="Chunk worker processes.")
@click.option("--cpu", is_flag=True, help="deep_mode=cpu: the whole video as one chunk.")
@data_dir_option
@click.option("--server", metavar="URL", help="Work there, with -o for the result; nothing is started here.")
@key_option
@json_option
def run(
    kind: str,
    input_: str,
    output: Path | None,
    params: tuple[str, ...],
    workers: int,
    cpu: bool,
    data_dir: Path | None,
    server: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Work on INPUT (a path or a URI) from start to end, with progress, and fetch the result."""
    mode = DeepMode.CPU if cpu else DeepMode.GPU
    if server is not None and output is None:
        raise click.UsageError("With --server say where the result goes: -o FILE.")
    with reported(as_json):
        settings = settings_of(data_dir, forgiving_detector=True)
        if server is not None and output is not None:
            with client_of(settings, server, key_file) as client:
                report = run_on_server(client, kind, input_, parse_params(params), output, deep_mode=mode, console=err)
        else:
            report = Run(settings, workers=workers, deep_mode=mode, console=err).run(
                kind, input_, parse_params(params), output
            )
    print_outcome(report, as_json)
    sys.exit(exit_code(report))


@click.command()
@click.argument("kind")
@click.argument("input_", metavar="INPUT")
@param_option
@click.option("--priority", type=click.IntRange(-100, 100), default=0, show_default=True)
@click.option("--output-uri", help="s3:// or gs:// URI of the result.")
@data_dir_option
@server_option
@key_option
@json_option
def submit(
    kind: str,
    input_: str,
    params: tuple[str, ...],
    priority: int,
    output_uri: str | None,
    data_dir: Path | None,
    server: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Put INPUT into the queue; workers that run elsewhere take it from there. With --server a path is sent there."""
    with reported(as_json), asked(data_dir, server, key_file) as jobs:
        report = jobs.submit(kind, input_, parse_params(params), priority=priority, output_uri=output_uri)
    print_outcome(report, as_json)
    sys.exit(EXIT_FAILED if report["status"] == JobStatus.FAILED else EXIT_DONE)


@click.command()
@click.option("--workers", type=click.IntRange(0, 64), default=2, show_default=True, help="Chunk worker processes.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that the page and the API listen on.")
@data_dir_option
def up(workers: int, port: int, host: str, data_dir: Path | None) -> None:
    """Run the whole service on this machine: database, API, page and workers."""
    from backend.local.serve import serve

    with reported(False):
        sys.exit(
            serve(settings_of(data_dir, forgiving_detector=True), workers=workers, host=host, port=port, console=err)
        )


@click.command()
@click.argument("video", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Chunk worker processes.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: a free one.")
@click.option("--stay/--no-stay", default=None, help="Keep the page up. Default: where a person is at the terminal.")
@data_dir_option
def demo(video: Path | None, workers: int, port: int, stay: bool | None, data_dir: Path | None) -> None:
    """Crop a sample clip, or your own VIDEO, with the whole service; say where the film is."""
    from backend.local.demo import demo as run_demo

    with reported(False):
        settings = settings_of(data_dir, forgiving_detector=True)
        stays = sys.stdin.isatty() and sys.stdout.isatty() if stay is None else stay
        sys.exit(run_demo(settings, video=video, workers=workers, port=port, stay=stays, console=out))
