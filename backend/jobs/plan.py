"""Planning: probe the source by ranged reads, refuse what is not a video, write chunk rows and the manifest."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from backend.db.engine import PATIENT_SEC, Database
from backend.db.sql import statement
from backend.errors import ClaimLost, EmptyFile, MediaTooLarge
from backend.events import Event, emit
from backend.jobs import manifest
from backend.jobs.chunk_length import UNDIVIDED, Chunking, chunking
from backend.jobs.layout import artifact_key, manifest_key
from backend.jobs.outputs import output_places
from backend.jobs.phases import write_chunks
from backend.jobs.sources import open_for_planning
from backend.kinds import kind_named
from backend.kinds.base import Kind
from backend.media.facts import VideoFacts
from backend.media.sandbox import MediaProcess
from backend.queue.claims import JobClaim
from backend.queue.executor import NOBODY, Boss, Executor, Hold
from backend.queue.queue import Queue
from backend.queue.stall import Step
from backend.queue.surroundings import Surroundings
from backend.settings import Settings
from backend.storage.base import ObjectInfo, ObjectStore
from backend.storage.http import safe_url
from backend.storage.range_reader import RangeReader
from backend.versions import SCHEMA_VERSION

PROBE_THREADS = 2


class Planner:
    """Turns a claimed, not yet planned job into chunk rows. What goes wrong with the source ends in the job."""

    def __init__(
        self,
        database: Database,
        queue: Queue,
        store: ObjectStore,
        settings: Settings,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._database = database
        self._store = store
        self._settings = settings
        self._executor = Executor(queue, surroundings or Surroundings(store), settings)

    def plan(self, claim: JobClaim, boss: Boss = NOBODY) -> None:
        """What is the source's fault ends in the job. Raises DatabaseUnavailable; Drain after giving it back."""
        with self._executor.job(claim, boss) as hold:
            self._plan(claim, hold)

    def _plan(self, claim: JobClaim, hold: Hold) -> None:
        kind = kind_named(claim.kind)
        hold.begin(Step.PLAN)
        next(output_places(claim, kind.suffix, self._store, self._settings)).destination.check()
        source = open_for_planning(claim, self._store, self._settings)
        if source.info.size_bytes == 0:
            raise EmptyFile("The file is empty.")
        if source.info.size_bytes > self._settings.max_source_bytes:
            raise MediaTooLarge(f"The file is larger than {self._settings.max_source_bytes} bytes.")
        reader = RangeReader(source)
        hold.watch.follow(lambda: reader.bytes_fetched)
        facts = probe_source(reader, self._settings, hold.check)
        first = kind.phases[0]
        where = (self._database, claim, first.name, source.info)
        chunks = chunking(*where, facts, self._settings) if first.chunks else UNDIVIDED
        hold.check_claim()
        hold.begin(Step.PLAN)
        self._write(claim, kind, source.info, facts, chunks)
        emit(Event.JOB_PLANNED, **claim.ids, chunks=len(chunks.segments), bytes_read=reader.bytes_fetched)

    def _write(self, claim: JobClaim, kind: Kind[Any], info: ObjectInfo, facts: VideoFacts, chunks: Chunking) -> None:
        identity = {"etag": info.etag, "size": info.size_bytes}
        phase, segments = kind.phases[0], chunks.segments
        keys = [artifact_key(claim.job_id, phase.chunks.pattern, each.index) for each in segments if phase.chunks]
        plan = manifest.planned(claim.job_id, claim.kind, safe_url(claim.input_uri), identity, facts, segments, keys)
        plan |= {"chunk_seconds": chunks.chunk_seconds, "chunk_seconds_reason": chunks.reason}
        # The object first: rows without a manifest would be a job that nobody can read.
        self._store.put(manifest_key(claim.job_id), manifest.to_bytes(plan), content_type="application/json")
        columns = _plan_columns(claim, info, facts) | {"total_chunks": len(segments), "phase": phase.name}
        with self._database.transaction(patience_sec=PATIENT_SEC) as connection:
            plan_row = connection.execute(statement("finish_plan"), columns).one_or_none()
            if plan_row is None:
                raise ClaimLost("The job was planned by someone else, or cancelled.")
            if segments:
                assert phase.chunks is not None, "a phase without chunks is not divided"
                needs = phase.chunks.special_need
                write_chunks(connection, claim, phase.name, segments, on_hold=plan_row.is_paused, needs=needs)


def probe_source(reader: RangeReader, settings: Settings, check: Callable[[], None] = lambda: None) -> VideoFacts:
    """Facts of a video, parsed in a child process.

    Raises a MediaError for what is no video, SandboxTimeout after PROBE_SECONDS, and what `check` raises.
    """
    params = {"max_pixels": settings.max_pixels, "threads": PROBE_THREADS}
    with MediaProcess(
        "probe",
        params,
        reader,
        silence_sec=settings.sandbox_silence_seconds,
        memory_bytes=settings.sandbox_memory_bytes,
        check=check,
        total_sec=settings.probe_seconds,
    ) as process:
        for _ in process.messages():  # a probe says nothing until its result
            continue
        return VideoFacts.model_validate(process.result)


def _plan_columns(claim: JobClaim, info: ObjectInfo, facts: VideoFacts) -> dict[str, Any]:
    return {
        "job_id": claim.job_id,
        "attempts": claim.attempts,
        "schema_version": SCHEMA_VERSION,
        "source_etag": info.etag,
        "source_size": info.size_bytes,
        # Boundaries are set: the list of keyframes has done its work and would weigh on every claim.
        "probe": json.dumps(facts.model_dump(mode="json") | {"keyframe_pts": []}),
        "duration_seconds": facts.duration_seconds,
        "fps_num": facts.fps[0] if facts.fps else None,
        "fps_den": facts.fps[1] if facts.fps else None,
        "width": facts.width,
        "height": facts.height,
        "rotation": facts.rotation,
        "frame_count": facts.frame_count,
        "has_audio": facts.has_audio,
    }
