"""The API's tasks as methods. A client may be shared by threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote
from uuid import uuid4

from backend.client import uploads
from backend.client.connection import PATIENCE_SEC, Connection, seconds
from backend.client.downloads import Progress, download
from backend.client.errors import WaitTimedOut
from backend.client.resources import Delivery, Job

API = "/api/v1"
PAGE = 100
POLL_SEC = 2.0  # where the server does not say when to ask again


class Client:
    """Of the API at `url`. `key` is an API key; a server on this machine may want none.

    Requests are made again, after pauses, where nobody answered or the server asks for it (429, 503 with Retry-After),
    for `patience_sec` in all. Every method raises ApiError (by status: NotFound, Conflict, …) and Unreachable.
    """

    def __init__(
        self, url: str, key: str | None = None, *, allow_http: bool = False, patience_sec: float = PATIENCE_SEC
    ) -> None:
        """Raises ClientError for a bad address, or a key that would go over http:// to another machine."""
        self._connection = Connection(url, key, allow_http=allow_http, patience_sec=patience_sec)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def create_job(
        self,
        kind: str = "crop",
        *,
        input: str | None = None,
        file: str | Path | None = None,
        upload: str | None = None,
        params: dict[str, Any] | None = None,
        deep_mode: str | None = None,
        priority: int | None = None,
        output_uri: str | None = None,
        output_put_url: str | None = None,
        webhook_url: str | None = None,
        webhook_events: Sequence[str] | None = None,
        idempotency_key: str | None = None,
        on_progress: uploads.Progress | None = None,
    ) -> Job:
        """A job on what a URI names, on a file here, or on an upload that is complete: one of them.

        Asked for twice with one `idempotency_key`, it is one job; without a key of yours one is made, so that a request
        which is repeated after a lost answer makes no second job. Raises what `upload` raises, for a file.
        """
        if file is not None:
            upload = self.upload(file, on_progress=on_progress)
        asked = {
            "kind": kind,
            "input": input,
            "upload": upload,
            "params": params,
            "deep_mode": deep_mode,
            "priority": priority,
            "output_uri": output_uri,
            "output_put_url": output_put_url,
            "webhook_url": webhook_url,
            "webhook_events": list(webhook_events) if webhook_events is not None else None,
        }
        body = {name: value for name, value in asked.items() if value is not None}
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        return Job.of(self._connection.ask("POST", f"{API}/jobs", json_body=body, headers=headers).json)

    def upload(
        self,
        path: str | Path,
        *,
        resume: str | None = None,
        at_once: int = uploads.AT_ONCE,
        on_progress: uploads.Progress | None = None,
        on_begin: Callable[[str], None] | None = None,
    ) -> str:
        """Sends a file in parts, `at_once` at a time, each with its checksum; returns the upload's id. `on_begin` is
        told it first: with `resume`, another call goes on with the same file, and sends only what is missing.

        Raises TransferFailed, OSError.
        """
        path = Path(path)
        upload = uploads.find(self._connection, resume) if resume else uploads.begin(self._connection, path)
        if on_begin is not None:
            on_begin(upload.id)
        uploads.send(self._connection, upload, path, at_once=at_once, on_progress=on_progress)
        return upload.id

    def job(self, job_id: str) -> Job:
        return Job.of(self._connection.get(_path(job_id)).json)

    def jobs(self, *, status: str | None = None, limit: int | None = None) -> Iterator[Job]:
        """Newest first, page after page, at most `limit`."""
        cursor, left = None, limit
        while left is None or left > 0:
            size = PAGE if left is None else min(left, PAGE)
            page = self._connection.get(f"{API}/jobs", {"limit": size, "status": status, "before": cursor}).json
            yield from map(Job.of, page["jobs"])
            left = None if left is None else left - len(page["jobs"])
            cursor = page["next"]
            if cursor is None:
                return

    def wait(
        self, job_id: str, *, on_progress: Callable[[Job], None] | None = None, timeout_sec: float | None = None
    ) -> Job:
        """The job once it is over: done, failed or cancelled. Polls as the server says, and reads only what changed.

        Raises WaitTimedOut.
        """
        give_up_at = None if timeout_sec is None else time.monotonic() + timeout_sec
        known: Job | None = None
        etag: str | None = None
        while True:
            answer = self._connection.get(_path(job_id), headers={"If-None-Match": etag} if etag else None)
            if known is None or answer.status != 304:
                known, etag = Job.of(answer.json), answer.headers.get("etag")
                if on_progress is not None:
                    on_progress(known)
            if known.is_over:
                return known
            pause_sec = seconds(answer.headers.get("retry-after")) or POLL_SEC
            if give_up_at is not None and time.monotonic() + pause_sec > give_up_at:
                raise WaitTimedOut(f"Job {job_id} is {known.status} after {timeout_sec:g} s; it goes on.")
            time.sleep(pause_sec)

    def cancel(self, job_id: str) -> Job:
        return self._act(job_id, "cancel")

    def retry(self, job_id: str) -> Job:
        """A failed job goes on where it stopped."""
        return self._act(job_id, "retry", may_repeat=False)  # the second would find it queued, and be refused

    def create_version(self, job_id: str, params: dict[str, Any], *, idempotency_key: str | None = None) -> Job:
        """A job that goes on from this one's finished chunks with these parameters laid over its own, and detects
        nothing; None brings back a default. Idempotency keys as in `create_job`."""
        return self._made_of(job_id, "versions", {"params": params}, idempotency_key)

    def versions(self, job_id: str) -> list[Job]:
        """The family's first job and its versions, in order."""
        return [Job.of(raw) for raw in self._connection.get(f"{_path(job_id)}/versions").json["jobs"]]

    def run_again(
        self,
        job_id: str,
        *,
        input: str | None = None,
        params: dict[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """A new job from the start, on the same source or on what `input` names, with parameters laid over."""
        body = {"input": input, "params": params or {}}
        return self._made_of(
            job_id, "again", {name: value for name, value in body.items() if value is not None}, idempotency_key
        )

    def pause(self, job_id: str) -> Job:
        return self._act(job_id, "pause")

    def resume(self, job_id: str) -> Job:
        return self._act(job_id, "resume")

    def chunks(self, job_id: str) -> list[dict[str, Any]]:
        """All of them, in order."""
        found: list[dict[str, Any]] = []
        after = None
        while True:
            page = self._connection.get(f"{_path(job_id)}/chunks", {"after": after}).json
            found += page["chunks"]
            after = page.get("next")
            if after is None:
                return found

    def tracks(self, job_id: str) -> dict[str, Any]:
        """The stitched tracks of a job whose kind leaves some."""
        return dict(self._connection.get(f"{_path(job_id)}/tracks").json)

    def deliveries(self, job_id: str) -> list[Delivery]:
        """What the job's webhook was told."""
        return [Delivery.of(raw) for raw in self._connection.get(f"{_path(job_id)}/deliveries").json["deliveries"]]

    def download_output(self, job_id: str, path: str | Path, *, on_progress: Progress | None = None) -> Path:
        """Fetches the result of a job that is done. Raises TransferFailed, OSError."""
        return download(self._connection, f"{_path(job_id)}/output", Path(path), on_progress)

    def download_file(self, job_id: str, name: str, path: str | Path, *, on_progress: Progress | None = None) -> Path:
        """Fetches a file beside the result; the job's `links` name them. Raises TransferFailed, OSError."""
        link = self.job(job_id).links.get(name) or f"{_path(job_id)}/files/{name}"
        return download(self._connection, link, Path(path), on_progress)

    def _made_of(self, job_id: str, verb: str, body: dict[str, Any], idempotency_key: str | None) -> Job:
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        path = f"{_path(job_id)}/{verb}"
        return Job.of(self._connection.ask("POST", path, json_body=body, headers=headers).json)

    def _act(self, job_id: str, verb: str, *, may_repeat: bool = True) -> Job:
        return Job.of(self._connection.ask("POST", f"{_path(job_id)}/{verb}", may_repeat=may_repeat).json)


def _path(job_id: str) -> str:
    return f"{API}/jobs/{quote(job_id, safe='')}"
