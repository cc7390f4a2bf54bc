"""Where the commands about jobs ask: a database here, or a server's API through the client. They print the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from backend.cli.common import connected, err, settings_of
from backend.client import ApiError, Client
from backend.db.models import Job
from backend.errors import InvalidRequest, SourceForbidden
from backend.jobs.again import source_again
from backend.jobs.resource import chunk_resource, job_resources
from backend.jobs.service import JobService, NewJob
from backend.jobs.versions import NewVersion, Versions
from backend.jobs.webhook_log import count_dead
from backend.kinds import kind_named
from backend.local.given import check_given, place_input
from backend.local.run import plan_now
from backend.settings import Settings
from backend.states import DeepMode
from backend.storage import open_store

server_option = click.option(
    "--server", metavar="URL", help="Ask this API in place of a database. Default: FRAMEFLEET_SERVER."
)
key_option = click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --server: a file with an API key. Default: FRAMEFLEET_KEY.",
)


class Jobs(Protocol):
    """JSON objects, as the API has them. Every method raises FramefleetError or ClientError."""

    def show(self, job_id: UUID) -> dict[str, Any]: ...

    def newest(self, *, limit: int, status: str | None) -> list[dict[str, Any]]: ...

    def chunks(self, job_id: UUID) -> list[dict[str, Any]]: ...

    def cancel(self, job_id: UUID) -> dict[str, Any]: ...

    def retry(self, job_id: UUID) -> dict[str, Any]: ...

    def retry_failed(self, code: str | None) -> tuple[Sequence[UUID], dict[UUID, str]]: ...

    def submit(
        self, kind: str, given: str, params: dict[str, Any], *, priority: int, output_uri: str | None
    ) -> dict[str, Any]: ...

    def version(self, job_id: UUID, params: dict[str, Any]) -> dict[str, Any]: ...

    def again(self, job_id: UUID, given: str | None, params: dict[str, Any]) -> dict[str, Any]: ...

    def dead_webhooks(self) -> int:
        """Messages that nobody took; 0 where only operators see them."""
        ...


@contextmanager
def asked(data_dir: Path | None, server: str | None, key_file: Path | None) -> Iterator[Jobs]:
    """A server that was named; else the database of --data-dir or DATABASE_URL; else FRAMEFLEET_SERVER; else the
    database in the data folder."""
    settings = settings_of(data_dir)
    if server is None and key_file is None and (data_dir is not None or settings.database_url is not None):
        url = None
    else:
        url = server or settings.remote_server
    if url is None and key_file is not None:
        raise InvalidRequest("--key-file is for a server: name it with --server or FRAMEFLEET_SERVER.")
    if url is None:
        with connected(data_dir) as (service, ours):
            yield JobsHere(service, ours)
        return
    with client_of(settings, url, key_file) as client:
        yield JobsOfServer(client)


def client_of(settings: Settings, url: str, key_file: Path | None) -> Client:
    """With the key of the file, else of FRAMEFLEET_KEY, else none. Raises ClientError for a bad address."""
    if key_file is not None:
        return Client(url, key_file.read_text().strip())
    return Client(url, settings.api_key.get_secret_value() if settings.api_key else None)


class JobsHere:
    def __init__(self, service: JobService, settings: Settings) -> None:
        self._service = service
        self._settings = settings

    def show(self, job_id: UUID) -> dict[str, Any]:
        return job_resources(self._service.database, [self._service.get(job_id)])[0]

    def newest(self, *, limit: int, status: str | None) -> list[dict[str, Any]]:
        return job_resources(self._service.database, self._service.list(limit=limit, status=status))

    def chunks(self, job_id: UUID) -> list[dict[str, Any]]:
        return [chunk_resource(chunk) for chunk in self._service.chunks(job_id)]

    def cancel(self, job_id: UUID) -> dict[str, Any]:
        self._service.cancel(job_id)
        return self.show(job_id)

    def retry(self, job_id: UUID) -> dict[str, Any]:
        self._service.retry(job_id)
        plan_now(job_id, self._service.database, open_store(self._settings), self._settings)
        return self.show(job_id)

    def retry_failed(self, code: str | None) -> tuple[Sequence[UUID], dict[UUID, str]]:
        return self._service.retry_failed(code)

    def submit(
        self, kind: str, given: str, params: dict[str, Any], *, priority: int, output_uri: str | None
    ) -> dict[str, Any]:
        store = open_store(self._settings)
        wanted = kind_named(kind).with_defaults(params, self._settings)
        request = NewJob(kind, "", "", wanted, priority=priority, output_uri=output_uri)
        job = self._service.create(place_input(given, request, self._settings, store))
        plan_now(job.id, self._service.database, store, self._settings)
        return self.show(job.id)

    def version(self, job_id: UUID, params: dict[str, Any]) -> dict[str, Any]:
        job = self._service.get(job_id)
        asked = NewVersion(self._laid_over(job, params))
        made = Versions(self._service.database, open_store(self._settings)).create(job.id, asked)
        return self.show(made.id)

    def again(self, job_id: UUID, given: str | None, params: dict[str, Any]) -> dict[str, Any]:
        job, store = self._service.get(job_id), open_store(self._settings)
        request = NewJob(
            job.kind, "", "", self._laid_over(job, params), DeepMode(job.deep_mode), job.priority, tenant=job.tenant
        )
        if given is None:
            request = replace(request, **source_again(job, store))
        else:
            request = place_input(given, request, self._settings, store)
        made = self._service.create(request)
        plan_now(made.id, self._service.database, store, self._settings)
        return self.show(made.id)

    def _laid_over(self, job: Job, params: dict[str, Any]) -> dict[str, Any]:
        return kind_named(job.kind).laid_over(job.params, params, self._settings, strictly=False)

    def dead_webhooks(self) -> int:
        return count_dead(self._service.database)


class JobsOfServer:
    def __init__(self, client: Client) -> None:
        self._client = client

    def show(self, job_id: UUID) -> dict[str, Any]:
        return self._client.job(str(job_id)).raw

    def newest(self, *, limit: int, status: str | None) -> list[dict[str, Any]]:
        return [job.raw for job in self._client.jobs(limit=limit, status=status)]

    def chunks(self, job_id: UUID) -> list[dict[str, Any]]:
        return self._client.chunks(str(job_id))

    def cancel(self, job_id: UUID) -> dict[str, Any]:
        return self._client.cancel(str(job_id)).raw

    def retry(self, job_id: UUID) -> dict[str, Any]:
        return self._client.retry(str(job_id)).raw

    def retry_failed(self, code: str | None) -> tuple[Sequence[UUID], dict[UUID, str]]:
        failed = [
            job for job in self._client.jobs(status="failed") if code is None or (job.error and job.error.code == code)
        ]
        retried: list[UUID] = []
        refused: dict[UUID, str] = {}
        for job in reversed(failed):  # the oldest first
            try:
                self._client.retry(job.id)
                retried.append(UUID(job.id))
            except ApiError as failure:
                refused[UUID(job.id)] = failure.message
        return retried, refused

    def submit(
        self, kind: str, given: str, params: dict[str, Any], *, priority: int, output_uri: str | None
    ) -> dict[str, Any]:
        """A URI is the server's to read; a path is sent."""
        more: dict[str, Any] = {"params": params, "priority": priority, "output_uri": output_uri}
        path = check_given(given)
        if path is None:
            return self._client.create_job(kind, input=given, **more).raw
        return self._client.create_job(kind, upload=send_file(self._client, path), **more).raw

    def version(self, job_id: UUID, params: dict[str, Any]) -> dict[str, Any]:
        return self._client.create_version(str(job_id), params).raw

    def again(self, job_id: UUID, given: str | None, params: dict[str, Any]) -> dict[str, Any]:
        """A URI is the server's to read; a path is sent."""
        path = None if given is None else check_given(given)
        if path is None:
            return self._client.run_again(str(job_id), input=given, params=params).raw
        earlier = self._client.job(str(job_id))
        laid_over = {**earlier.raw["params"], **params}
        return self._client.create_job(earlier.kind, upload=send_file(self._client, path), params=laid_over).raw

    def dead_webhooks(self) -> int:
        return 0


def send_file(client: Client, path: Path) -> str:
    """The upload's id. Raises SourceForbidden for a file that cannot be read."""
    columns = (TextColumn("sending"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    try:
        with Progress(*columns, console=err, transient=True) as bar:
            task = bar.add_task("", total=None)
            return client.upload(path, on_progress=lambda sent, total: bar.update(task, completed=sent, total=total))
    except OSError as failure:
        raise SourceForbidden(f"{path} cannot be read: {failure.strerror or failure}.") from None
