"""Workers of two releases, or of two settings, share a job: it is finished, and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backend.db.engine import Database
from backend.jobs.plan import Planner
from backend.jobs.service import JobService, NewJob
from backend.kinds.tools import Tools
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import JobStatus
from backend.storage import open_store
from backend.vision.detectors.hog import HogDetector
from backend.workers.analysis_worker import Aggregator
from backend.workers.gpu_chunk_worker import ChunkWorker
from backend.workers.loop import WorkerLoop
from tests.integration.conftest import read_film
from tests.samples import make_sample

UNLIKE = "Parts of the video were analysed in different ways (2)"


@pytest.mark.parametrize(
    ("unlike", "kind", "params"),
    [
        (True, "crop", {"aspect": "1:1"}),
        (True, "annotate", {}),
        (True, "overlay", {"highlight_regions": [{"track_id": 1}]}),
        (False, "crop", {"aspect": "1:1"}),
    ],
)
def test_a_job_whose_chunks_were_found_in_two_ways_is_done_and_says_so(
    database: Database, settings: Settings, tmp_path: Path, unlike: bool, kind: str, params: dict[str, Any]
) -> None:
    clip = make_sample(tmp_path / "clip.mp4", seconds=4)
    ours = settings.model_copy(update={"chunk_seconds": 1.0, "overlap_samples": 4, "reuse_chunks": False})
    theirs = ours.model_copy(update={"max_width": 320}) if unlike else ours
    queue, store, service = Queue(database, ours), open_store(ours), JobService(database)
    quick = {"sample_fps": 2, "preset": "ultrafast"}
    job_id = service.create(NewJob(kind, clip.as_uri(), clip.name, quick | params)).id
    claim = queue.claim_job(JobStatus.QUEUED, job_id)
    assert claim is not None
    Planner(database, queue, store, ours).plan(claim)
    loop = WorkerLoop("test", lambda: False, queue.tend, ours)
    crews = [ChunkWorker(queue, store, Tools(each, HogDetector), takes_next=False) for each in (ours, theirs)]
    for turn in range(4):  # in turns, so that every seam is between the two
        assert crews[turn % 2].work_once(loop)
    leader = Aggregator(database, queue, store, ours)
    while leader.work_once(loop):
        pass
    job = service.get(job_id)
    assert job.status == "done", job.error_message
    assert [warning.startswith(UNLIKE) for warning in job.warnings or []].count(True) == unlike
    assert job.output_key is not None
    store.get_file(job.output_key, tmp_path / "film.mp4")
    assert len(read_film(tmp_path / "film.mp4").pts) == len(read_film(clip).pts)
