"""Planning: probe the source by ranged reads, refuse what is not a video, write chunk rows and the manifest."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import insert

from backend import telemetry
from backend.db.engine import PATIENT_SEC, Database
from backend.db.models import Chunk
from backend.db.sql import statement
from backend.errors import ClaimLost, EmptyFile, FramefleetError, MediaTooLarge
from backend.events import Event, emit
from backend.jobs import lanes, manifest
from backend.jobs.chunk_length import Cutting, cutting
from backend.jobs.claims import JobClaim
from backend.jobs.lease import LeaseKeeper
from backend.jobs.outcome import ends_of_job, outcome
from backend.jobs.outputs import output_places
from backend.jobs.queue import Queue
from backend.jobs.segments import Segment
from backend.jobs.sources import open_for_planning
from backend.jobs.stall import StallWatch, Step, watch_of
from backend.jobs.surroundings import Surroundings
from backend.kinds import kind_named
from backend.media.facts import VideoFacts
from backend.media.sandbox import MediaProcess
from backend.settings import Settings
from backend.storage.base import ObjectInfo, ObjectStore
from backend.storage.http import safe_url
from backend.storage.range_reader import RangeReader
from backend.versions import SCHEMA_VERSION

PROBE_THREADS = 2


class Planner:
    """Turns a claimed, not yet cut job into chunk rows. What goes wrong with the source ends in the job."""

    def __init__(
        self,
        database: Database,
        queue: Queue,
        store: ObjectStore,
        settings: Settings,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._database = database
        self._queue = queue
        self._store = store
        self._settings = settings
        self._surroundings = surroundings or Surroundings(store)

    def plan(
        self,
        claim: JobClaim,
        check: Callable[[], None] = lambda: None,
        end_stuck: Callable[[FramefleetError], None] = lambda failure: None,
    ) -> None:
        """What is the source's fault ends in the job. `check` is called while the source is looked at; `end_stuck` when
        the planning must end and does not.

        Raises DatabaseUnavailable, and Drain from `check` after giving the job back.
        """
        ends = ends_of_job(self._queue, claim)
        with outcome(ends, self._surroundings), telemetry.working("plan", claim.trace_context, **ends.ids):
            self._plan(claim, check, watch_of(self._settings, end_stuck))

    def _plan(self, claim: JobClaim, check: Callable[[], None], watch: StallWatch) -> None:
        with LeaseKeeper(lambda _: self._queue.heartbeat_job(claim, 0.0), self._settings.lease_seconds, watch) as lease:
            watch.begin(Step.PLAN)
            next(output_places(claim, kind_named(claim.kind).suffix, self._store, self._settings)).destination.check()
            source = open_for_planning(claim, self._store, self._settings)
            if source.info.size_bytes == 0:
                raise EmptyFile("The file is empty.")
            if source.info.size_bytes > self._settings.max_source_bytes:
                raise MediaTooLarge(f"The file is larger than {self._settings.max_source_bytes} bytes.")
            reader = RangeReader(source)
            watch.follow(lambda: reader.bytes_fetched)

            def check_both() -> None:
                lease.check()
                check()

            facts = probe_source(reader, self._settings, check_both)
            pieces = cutting(self._database, claim, source.info, facts, self._settings)
            lease.check()
            watch.begin(Step.PLAN)
            self._write(claim, source.info, facts, pieces)
        ids = {"job_id": str(claim.job_id), "attempt": claim.attempts}
        emit(Event.JOB_PLANNED, **ids, chunks=len(pieces.segments), bytes_read=reader.bytes_fetched)

    def _write(self, claim: JobClaim, info: ObjectInfo, facts: VideoFacts, pieces: Cutting) -> None:
        identity = {"etag": info.etag, "size": info.size_bytes}
        cuts = pieces.segments
        plan = manifest.planned(claim.job_id, claim.kind, safe_url(claim.input_uri), identity, facts, cuts)
        plan |= {"chunk_seconds": pieces.chunk_seconds, "chunk_seconds_reason": pieces.reason}
        # The object first: rows without a manifest would be a job that nobody can read.
        self._store.put(manifest.manifest_key(claim.job_id), manifest.to_bytes(plan), content_type="application/json")
        with self._database.transaction(patience_sec=PATIENT_SEC) as connection:
            finished = connection.execute(statement("finish_plan"), _plan_columns(claim, info, facts, len(cuts)))
            plan_row = finished.one_or_none()
            if plan_row is None:
                raise ClaimLost("The job was planned by someone else, or cancelled.")
            lane = {"deep_mode": claim.deep_mode.value, "tenant": claim.tenant}
            lanes.make_lane(connection, **lane)
            entry = lanes.entry(connection, claim.job_id, priority=claim.priority, **lane)
            rows = [
                {
                    **_chunk_row(claim, piece),
                    **lane,
                    "claim_rank": entry.rank(number),
                    "on_hold": plan_row.is_paused,
                }
                for number, piece in enumerate(cuts)
            ]
            connection.execute(insert(Chunk), rows)
            lanes.lower_floor(connection, rank=entry.first_rank, **lane)


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


def _plan_columns(claim: JobClaim, info: ObjectInfo, facts: VideoFacts, total_chunks: int) -> dict[str, Any]:
    return {
        "job_id": claim.job_id,
        "attempts": claim.attempts,
        "schema_version": SCHEMA_VERSION,
        "total_chunks": total_chunks,
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


def _chunk_row(claim: JobClaim, piece: Segment) -> dict[str, Any]:
    return {
        "job_id": claim.job_id,
        "priority": claim.priority,
        "chunk_index": piece.index,
        "start_pts": piece.start_pts,
        "end_pts": piece.end_pts,
        "start_sec": piece.start_sec,
        "end_sec": piece.end_sec,
    }
