"""`framefleet run --server`: one job from start to end on somebody else's fleet."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from backend.cli.asked import send_file
from backend.client import ApiError, Client, Job
from backend.local.given import check_given
from backend.local.run import bar_on, show_progress
from backend.states import DeepMode, JobStatus


def run_on_server(
    client: Client,
    kind: str,
    given: str,
    params: dict[str, Any],
    output: Path,
    *,
    deep_mode: DeepMode,
    console: Console,
) -> dict[str, Any]:
    """The job resource, with `files` where it is done. Interrupted, it cancels the job and returns it so.

    Raises ClientError, FramefleetError, OSError.
    """
    path = check_given(given)
    upload = send_file(client, path) if path is not None else None
    job = client.create_job(
        kind, input=None if upload else given, upload=upload, params=params, deep_mode=deep_mode.value
    )
    job = _followed(client, job, console)
    if job.status != JobStatus.DONE:
        return job.raw
    return {**job.raw, "files": {"output": str(client.download_output(job.id, output))}}


def _followed(client: Client, job: Job, console: Console) -> Job:
    """Whatever ends the waiting, the job does not go on for nobody."""
    try:
        with bar_on(console) as bar:
            task = bar.add_task("PROBING", total=100, eta="")
            return client.wait(job.id, on_progress=lambda now: show_progress(bar, task, now.raw))
    except KeyboardInterrupt:
        return client.cancel(job.id)
    except BaseException:
        with suppress(ApiError):
            client.cancel(job.id)
        raise
