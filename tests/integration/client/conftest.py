"""An API that listens on loopback, with a database and a store that the tests of a module share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from werkzeug.serving import make_server

from backend.api.app import create_app
from backend.client import Client
from backend.db.engine import Database
from backend.db.models import Chunk
from backend.jobs.layout import manifest_key, output_key
from backend.jobs.manifest import SCHEMA, to_bytes
from backend.jobs.service import JobService, NewJob
from backend.settings import Settings
from backend.storage import open_store
from tests.conftest import empty_database
from tests.integration.remote.cut import Network, network


@dataclass
class Served:
    address: str
    database: Database
    settings: Settings

    def job(self, **columns: Any) -> str:
        """The id of a job that nobody works on, with these columns."""
        job = JobService(self.database).create(NewJob("crop", "https://example.com/a.mp4", "a.mp4"))
        self.change(str(job.id), **columns)
        return str(job.id)

    def change(self, job_id: str, **columns: Any) -> None:
        given = ", ".join(f"{name} = :{name}" for name in ("updated_at", *columns))
        with self.database.transaction() as connection:
            values = {"updated_at": "now", "id": job_id, **columns}
            connection.execute(text(f"UPDATE video_analysis_jobs SET {given} WHERE id = :id"), values)

    def done_job(self, film: bytes) -> str:
        """Of a job that made this film."""
        job_id = self.job()
        self.finish(job_id, film)
        return job_id

    def analysed_job(self) -> str:
        """The id of a job whose one chunk is completed."""
        job_id = self.job(status="aggregating", stage="AGGREGATING", total_chunks=1, completed_chunks=1)
        plan = {"schema": SCHEMA, "job_id": job_id, "segments": [{"segment_number": 0}]}
        open_store(self.settings).put(manifest_key(UUID(job_id)), to_bytes(plan))
        place = {"start_pts": 0, "end_pts": 30, "start_sec": 0.0, "end_sec": 1.0, "artifact_s3_key": "x"}
        with self.database.session() as session:
            session.add(Chunk(job_id=UUID(job_id), chunk_index=0, status="completed", attempts=1, **place))
        return job_id

    def finish(self, job_id: str, film: bytes) -> None:
        """What a fleet does for a job, in the end."""
        key = output_key(UUID(job_id), "a_cropped.mp4")
        store = open_store(self.settings)
        store.put(key, film)
        self.change(job_id, status="done", stage="DONE", output_key=key, output_uri=store.uri(key))


@contextmanager
def listening(settings: Settings) -> Iterator[str]:
    app = create_app(settings)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
    app.extensions["framefleet"].planners.shutdown()
    app.extensions["framefleet"].database.close()


@pytest.fixture(scope="module")
def served(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    with empty_database(postgres) as url:
        given = {
            "database_url": url,
            "storage_url": (folder / "objects").as_uri(),
            "data_dir": folder / "data",
            "http_allow_private": True,
            "upload_part_bytes": 256 * 1024,
            "upload_free_bytes_min": 0,
        }
        settings = Settings.model_validate(given)
        database = Database(url)
        with listening(settings) as address:
            yield Served(address, database, settings)
        database.close()


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with Client(served.address, patience_sec=20) as client:
        yield client


@pytest.fixture
def wire(served: Served) -> Iterator[Network]:
    """A network between client and server."""
    with network(served.address) as wire:
        yield wire


@pytest.fixture
def far_client(wire: Network) -> Iterator[Client]:
    """Behind that network."""
    with Client(wire.address, patience_sec=20) as client:
        yield client
