"""A kind that nobody else knows: one module and one line, and everything round it works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from backend.db.engine import Database
from backend.errors import InvalidParams, MediaUndecodable
from backend.jobs.plan import Planner
from backend.jobs.progress import progress_of
from backend.jobs.resource import job_resources
from backend.jobs.service import JobService, NewJob
from backend.kinds import KINDS
from backend.kinds.base import JSON_TYPE, Chunks, Done, FileType, Kind, Onward, Phase, Whole
from backend.kinds.context import ChunkContext, WholeContext
from backend.kinds.output_type import OutputType
from backend.kinds.params import Params
from backend.kinds.tools import Tools
from backend.media.segments import Segment
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import JobStatus, Stage
from backend.storage import open_store
from backend.vision.detector import Detector
from backend.workers.analysis_worker import Aggregator
from backend.workers.gpu_chunk_worker import ChunkWorker
from backend.workers.loop import WorkerLoop
from tests.samples import make_sample

# The kind


class EchoParams(Params):
    word: str = "hey"
    fails_at: int = -1


class Listen(Chunks[EchoParams]):
    weight = 60.0
    stage = Stage.PROCESSING
    words = "listening"
    pattern = "listened/part_{:04d}.json"
    content_type = JSON_TYPE

    def work(self, context: ChunkContext[EchoParams]) -> bytes:
        context.report(0.5)
        return json.dumps({"part": context.chunk_index, "head": context.reader.read_at(4, 4).decode()}).encode()


class Compose(Whole[EchoParams]):
    weight = 10.0
    stage = Stage.AGGREGATING
    words = "composing"

    def work(self, context: WholeContext[EchoParams]) -> Onward:
        heard = [json.loads(data) for data, _ in context.earlier.artifacts()]
        context.report(0.05)
        verses = [Segment(index, index, index + 1, float(index), index + 1.0) for index in range(len(heard) + 1)]
        return Onward(
            verses,
            plan={"verses": len(verses)},
            objects={"heads.json": json.dumps([each["head"] for each in heard]).encode()},
            warnings=["composed"],
        )


class Sing(Chunks[EchoParams]):
    weight = 20.0
    stage = Stage.RENDERING
    words = "singing"
    pattern = "sung/verse_{:04d}.txt"
    content_type = "text/plain"
    is_kept = False

    def work(self, context: ChunkContext[EchoParams]) -> bytes:
        heads = json.loads(context.earlier.object("heads.json"))
        if context.chunk_index == context.params.fails_at and not MENDED:
            raise MediaUndecodable("The voice broke.")
        return f"{context.params.word} {heads[0]} {context.chunk_index}/{context.earlier.plan['verses']}\n".encode()


class Record(Whole[EchoParams]):
    weight = 10.0
    stage = Stage.RENDERING
    words = "recording"

    def work(self, context: WholeContext[EchoParams]) -> Done:
        target = context.folder / "song"
        target.write_bytes(b"".join(data for data, _ in context.earlier.artifacts()))
        return Done(target, {"notes.json": b"{}"}, ["recorded"])


ECHO = Kind[EchoParams](
    name="echo",
    output=OutputType("_echo", {".txt": "text/plain"}),
    params=EchoParams,
    phases=(
        Phase[EchoParams]("listen", Listen(), Compose()),
        Phase[EchoParams]("sing", Sing(), Record()),
    ),
    files={"notes": FileType("notes.json", JSON_TYPE, is_fetched=True)},
)
MENDED: list[bool] = []

# What is asked of it


def no_detector() -> Detector:
    raise AssertionError("no step of this kind needs a detector")


class Theatre:
    """A planner and both workers of one installation, in this process."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database, self.settings = database, settings
        self.service, self.store = JobService(database), open_store(settings)
        self.queue = Queue(database, settings)
        self.singer = ChunkWorker(self.queue, self.store, Tools(settings, no_detector), takes_next=False)
        self.leader = Aggregator(database, self.queue, self.store, settings)
        self.loop = WorkerLoop("test", lambda: False, self.queue.tend, settings)

    def plan(self, clip: Path, **params: Any) -> UUID:
        job_id = self.service.create(NewJob("echo", clip.as_uri(), clip.name, params)).id
        claim = self.queue.claim_job(JobStatus.QUEUED, job_id)
        assert claim is not None
        Planner(self.database, self.queue, self.store, self.settings).plan(claim)
        return job_id

    def step(self) -> bool:
        return self.leader.work_once(self.loop) or self.singer.work_once(self.loop)

    def song(self, job_id: UUID) -> str:
        key = self.service.get(job_id).output_key
        assert key is not None
        return self.store.get(key).decode()


@pytest.fixture
def theatre(database: Database, settings: Settings) -> Iterator[Theatre]:
    MENDED.clear()
    KINDS["echo"] = ECHO
    yield Theatre(database, settings.model_copy(update={"chunk_seconds": 1.0}))
    del KINDS["echo"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=2)


def test_it_runs_through_its_phases_and_shows_progress(theatre: Theatre, clip: Path) -> None:
    job_id = theatre.plan(clip, word="ho")
    shown = [progress_of(theatre.database, [theatre.service.get(job_id)])[0].pct]
    while theatre.step():
        shown.append(progress_of(theatre.database, [theatre.service.get(job_id)])[0].pct)
    (job,) = job_resources(theatre.database, [theatre.service.get(job_id)])
    assert (job["status"], job["progress_pct"], job["warnings"]) == ("done", 100, ["composed", "recorded"])
    assert job["total_chunks"] == job["completed_chunks"] == 5
    assert theatre.song(job_id) == "ho ftyp 0/3\nho ftyp 1/3\nho ftyp 2/3\n"
    assert shown == sorted(set(shown))
    assert shown[1:3] == [31, 60]  # of 2 to 100: half of 60 %, and all of it
    kept = {key.rsplit("/", 2)[-2] for key in theatre.store.list(f"jobs/{job_id}/")}
    assert "listened" in kept and "sung" not in kept


def test_a_retry_sings_only_the_verse_that_failed(theatre: Theatre, clip: Path) -> None:
    job_id = theatre.plan(clip, fails_at=1)
    while theatre.step():
        pass
    failed = theatre.service.get(job_id)
    assert (failed.status, failed.error_code) == ("failed", "media_undecodable")
    assert "The voice broke." in (failed.error_message or "")
    MENDED.append(True)
    theatre.service.retry(job_id)
    while theatre.step():
        pass
    assert theatre.song(job_id).count("\n") == 3
    attempts = {(chunk.phase, chunk.chunk_index): chunk.attempts for chunk in theatre.service.chunks(job_id)}
    assert {place for place, count in attempts.items() if count > 1} <= {("sing", 1), ("sing", 2)}


def test_it_goes_on_where_a_dead_worker_left_it(theatre: Theatre, clip: Path) -> None:
    job_id = theatre.plan(clip)
    for _ in range(4):  # two parts heard, the song composed, one verse sung
        assert theatre.step()
    dead = theatre.queue.claim_chunk(theatre.service.get(job_id).deep_mode)  # type: ignore[arg-type]
    assert dead is not None and dead.phase == "sing"
    theatre.queue.release_chunk(dead)
    while theatre.step():
        pass
    assert theatre.service.get(job_id).status == "done"


def test_its_parameters_are_checked_where_they_enter(theatre: Theatre, clip: Path) -> None:
    with pytest.raises(InvalidParams, match="There is no parameter 'wrod'; there are: word, fails_at"):
        theatre.service.create(NewJob("echo", clip.as_uri(), clip.name, {"wrod": "ho"}))
