"""Sends a tiny film through a fleet and checks what comes back: `python -m deploy.smoke https://films.example`.

Needs click and urllib3, and nothing else of framefleet: it runs wherever the API can be reached.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import urllib3

from deploy.film_length import NotAFilm, film_seconds

CLIP = Path(__file__).with_name("smoke.mp4")
# A film has whole frames, and its sound whole packets.
SLACK_SEC = 0.2
REQUEST_SEC = 60.0
MAX_FILM_BYTES = 64 * 2**20
ENDED = ("done", "failed", "cancelled")
Headers = Mapping[str, str]


class SmokeFailed(click.ClickException):
    """The fleet did not do it. Exit code 1."""


class Api:
    """The few calls of the API that a client makes. Every method raises SmokeFailed."""

    def __init__(self, url: str, headers: Headers, retries: int) -> None:
        self._url = url.rstrip("/")
        self._headers = dict(headers)
        # Nothing of ours goes to where a redirect leads: a signed link needs no more than itself.
        retry = urllib3.Retry(total=retries, backoff_factor=1, status_forcelist=(502, 503, 504),
                              allowed_methods={"GET", "POST"}, raise_on_status=False,
                              remove_headers_on_redirect=set(self._headers))  # fmt: skip
        self._pool = urllib3.PoolManager(retries=retry, timeout=urllib3.Timeout(REQUEST_SEC))

    def check_ready(self) -> None:
        self._json(self._ask("GET", "/ready"), 200)

    def submit(self, clip: Path, kind: str) -> str:
        """The job's id. A repeat of the request makes no second job."""
        fields = {"file": (clip.name, clip.read_bytes(), "video/mp4"), "kind": kind}
        answer = self._ask("POST", "/api/v1/jobs", fields=fields, headers={"Idempotency-Key": f"smoke-{uuid.uuid4()}"})
        return str(self._json(answer, 202)["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        return self._json(self._ask("GET", f"/api/v1/jobs/{job_id}"), 200)

    def film(self, job_id: str) -> bytes:
        answer = self._ask("GET", f"/api/v1/jobs/{job_id}/output", preload_content=False)
        try:
            data = bytes(answer.read(MAX_FILM_BYTES))
        except urllib3.exceptions.HTTPError as error:
            raise SmokeFailed(f"The film of job {job_id} breaks off: {error}") from error
        finally:
            answer.release_conn()
        if answer.status != 200:
            raise SmokeFailed(f"The film cannot be fetched: {answer.status} {data[:300]!r}")
        return data

    def _ask(self, method: str, path: str, *, headers: Headers | None = None, **more: Any) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(method, self._url + path, headers={**self._headers, **(headers or {})}, **more)
        except urllib3.exceptions.HTTPError as error:
            raise SmokeFailed(f"{self._url}{path} does not answer: {error}") from error

    def _json(self, answer: urllib3.BaseHTTPResponse, wanted: int) -> dict[str, Any]:
        try:
            said = json.loads(answer.data)
        except ValueError:
            said = None
        if answer.status != wanted or not isinstance(said, dict):
            raise SmokeFailed(f"The API answered {answer.status} instead of {wanted}: {answer.data[:300]!r}")
        return said


def run(api: Api, kind: str, timeout_sec: float, poll_sec: float) -> dict[str, Any]:
    """The job, when it is done and its film is as long as the clip. Raises SmokeFailed."""
    give_up_at = time.monotonic() + timeout_sec
    api.check_ready()
    job_id = api.submit(CLIP, kind)
    click.echo(f"job {job_id}", err=True)
    job = _ended(api, job_id, give_up_at, timeout_sec, poll_sec)
    if job["status"] != "done":
        error = job.get("error") or {}
        raise SmokeFailed(f"The job {job_id} is {job['status']}: {error.get('code')}: {error.get('message')}")
    film = api.film(job_id)
    try:
        seconds, expected = film_seconds(film), film_seconds(CLIP.read_bytes())
    except NotAFilm as broken:
        raise SmokeFailed(f"What came back of job {job_id} is no film: {broken}") from broken
    if abs(seconds - expected) > SLACK_SEC:
        raise SmokeFailed(f"The film of job {job_id} has {seconds:.2f} s, and the clip {expected:.2f} s.")
    return {"job_id": job_id, "kind": kind, "film_seconds": round(seconds, 3), "film_bytes": len(film)}


def _ended(api: Api, job_id: str, give_up_at: float, timeout_sec: float, poll_sec: float) -> dict[str, Any]:
    stage = ""
    while True:
        job = api.job(job_id)
        if job["stage"] != stage:
            stage = job["stage"]
            click.echo(f"{stage.lower()}", err=True)
        if job["status"] in ENDED:
            return job
        if time.monotonic() > give_up_at:
            raise SmokeFailed(
                f"The job {job_id} is still {job['status']} ({stage}) after {timeout_sec:.0f} s: does a GPU worker"
                " start? docs/operations.md, `no workers`."
            )
        time.sleep(poll_sec)


def _headers(key_file: Path | None, header_file: Path | None) -> dict[str, str]:
    """Raises click.BadParameter."""
    headers = _read_headers(header_file)
    if key_file is not None:
        headers["Authorization"] = f"Bearer {key_file.read_text().strip()}"
    return headers


def _read_headers(file: Path | None) -> dict[str, str]:
    """Raises click.BadParameter for a line that is no header."""
    headers: dict[str, str] = {}
    for line in file.read_text().splitlines() if file else []:
        name, colon, value = line.partition(":")
        if line.strip() and not colon:
            raise click.BadParameter("each line must be `Name: value`.", param_hint="--header-file")
        if colon:
            headers[name.strip()] = value.strip()
    return headers


@click.command()
@click.argument("url")
@click.option("--kind", default="crop", show_default=True, help="Kind of job; crop goes through every worker.")
@click.option(
    "--timeout", "timeout_sec", default=1200.0, show_default=True, help="Seconds; a fleet at zero must start."
)
@click.option("--poll", "poll_sec", default=2.0, show_default=True, help="Seconds between two looks at the job.")
@click.option("--retries", default=5, show_default=True, help="Of each request, a second and more apart.")
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A key with the scopes jobs:read and jobs:write, as `framefleet keys create smoke` prints it.",
)
@click.option(
    "--header-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Lines `Name: value` sent with each request, for the proxy in front of the API.",
)
def main(
    url: str,
    kind: str,
    timeout_sec: float,
    poll_sec: float,
    retries: int,
    key_file: Path | None,
    header_file: Path | None,
) -> None:
    """Sends a tiny film to the API at URL, waits until it is done and checks it.

    Prints one JSON object. Exit codes: 0 it is fine, 1 it is not, 2 bad arguments.
    """
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("must begin with https:// or http://.", param_hint="URL")
    click.echo(json.dumps(run(Api(url, _headers(key_file, header_file), retries), kind, timeout_sec, poll_sec)))


if __name__ == "__main__":
    sys.exit(main())
