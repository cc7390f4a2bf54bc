"""Every kind of job whose chunks a remote worker does: its results are, byte for byte, those of a worker at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from backend.db.engine import Database
from backend.queue.remote_workers import add_remote_worker
from backend.queue.surroundings import Surroundings
from backend.settings import Settings
from backend.storage.s3 import make_client
from backend.vision.pose.detector import PoseDetector
from backend.workers.gpu_chunk_worker import ChunkWork
from backend.workers.remote.files import ProbeObject, remote_files
from backend.workers.remote.queue import RemoteQueue
from backend.workers.remote.server import Server
from backend.workers.remote.transport import HttpTransport
from tests.integration.every_kind import FILMS
from tests.integration.studio import Studio, living_worker
from tests.integration.test_every_kind_killed import cutting, left_by, other_sound, planned, street  # noqa: F401

pytestmark = pytest.mark.slow


def remote_work(studio: Studio, server: Server, settings: Settings) -> ChunkWork:
    queue = RemoteQueue(server, studio.tools.special)
    surroundings = Surroundings(ProbeObject(server, settings))
    return ChunkWork(queue, remote_files(server, settings), studio.tools, surroundings, takes_next=False)


@pytest.mark.parametrize("name", FILMS)
def test_a_remote_worker_does_every_phase_of_every_kind(
    name: str,
    s3_server: str,
    api: Callable[..., str],
    database: Database,
    cutting: Settings,  # noqa: F811
    pose_detector: PoseDetector,
    street: Path,  # noqa: F811
    other_sound: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    over_s3 = Settings.model_validate(cutting.model_dump(exclude_unset=True) | {"storage_url": "s3://films/store"})
    make_client(over_s3).create_bucket(Bucket="films")
    address = api(**{field: getattr(over_s3, field) for field in Settings.model_fields})
    server = Server(HttpTransport(address), SecretStr(add_remote_worker(database, "desk")), "desk")
    with living_worker(database, over_s3):
        studio = Studio(database, over_s3, pose_detector)
        beside = planned(studio, FILMS[name], street, other_sound)
        studio.run()
        studio.worker = remote_work(studio, server, over_s3)  # type: ignore[assignment]
        remote = planned(studio, FILMS[name], street, other_sound)
        studio.run()
    expected, found = (left_by(studio, job_id, tmp_path) for job_id in (beside, remote))
    assert found.keys() == expected.keys()
    assert [each for each in expected if found[each] != expected[each]] == []
    chunks = studio.service.chunks(remote)
    assert chunks and {(chunk.attempts, chunk.failures) for chunk in chunks} == {(1, 0)}
    assert all((chunk.claimed_by or "").startswith("remote-1/desk/") for chunk in chunks)
