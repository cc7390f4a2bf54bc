"""Planning: probe the source by ranged reads, refuse what is not a video, write chunk rows and the manifest."""

from __future__ import annotations

import json
from typing import Any

from backend.db.engine import PATIENT_SEC, Database
from backend.db.sql import statement
from backend.errors import ClaimLost, EmptyFile, MediaTooLarge, StorageError
from backend.events import Event, emit, warn
from backend.jobs import manifest
from backend.jobs.chunk_length import UNDIVIDED, Chunking, Cutting, chunking
from backend.jobs.further_inputs import check_inputs
from backend.jobs.layout import artifact_key, manifest_key, poster_key
from backend.jobs.looks import look
from backend.jobs.outputs import output_places
from backend.jobs.phases import write_chunks
from backend.jobs.quotas import Quotas
from backend.jobs.sources import open_for_planning
from backend.kinds import kind_named
from backend.kinds.base import Kind, SourceType
from backend.kinds.sampled import SampledParams
from backend.media.budget import check_frames, most_frames
from backend.media.facts import VideoFacts
from backend.media.sound_facts import Probed, SoundFacts
from backend.queue.claims import JobClaim
from backend.queue.executor import NOBODY, Boss, Executor, Hold
from backend.queue.queue import Queue
from backend.queue.stall import Step
from backend.queue.surroundings import Surroundings
from backend.settings import Settings
from backend.storage.base import ObjectInfo, ObjectStore
from backend.storage.http import safe_url
from backend.storage.names import is_web
from backend.storage.range_reader import RangeReader
from backend.versions import SCHEMA_VERSION

LOOK_GROWTH, MAX_GROWTHS = 4, 10


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
        self._queue = queue
        self._executor = Executor(surroundings or Surroundings(store), settings)

    def plan(self, claim: JobClaim, boss: Boss = NOBODY) -> None:
        """What is the source's fault ends in the job. Raises DatabaseUnavailable; Drain after giving it back."""
        with self._executor.job(self._queue, claim, boss) as hold:
            self._plan(claim, hold)

    def _plan(self, claim: JobClaim, hold: Hold) -> None:
        kind = kind_named(claim.kind).for_job(claim.params)
        hold.begin(Step.PLAN)
        place = next(output_places(claim, kind.output, self._store, self._settings))
        place.destination.check()
        if place.is_given:
            place.destination.check_free()
        hold.cutoff.limit(self._look_sec(claim))
        source = open_for_planning(claim, self._store, self._settings, hold.cutoff)
        if source.info.size_bytes == 0 and kind.source is not SourceType.BYTES:
            raise EmptyFile("The file is empty.")
        if source.info.size_bytes > self._settings.max_source_bytes:
            raise MediaTooLarge(f"The file is larger than {self._settings.max_source_bytes} bytes.")
        reader = RangeReader(source)
        hold.watch.follow(lambda: reader.bytes_fetched)
        seen = look(kind.source, reader, self._settings, hold.check)
        probed = seen.probed
        if isinstance(probed, VideoFacts):
            emit(Event.VIDEO_INFO, **claim.ids, **_shown(probed))
            check_frames(probed.most_frames or 0, most_frames(self._settings, source.info.size_bytes))
        params = kind.parse_params(claim.params)
        check_inputs(params, self._settings, hold.cutoff)
        first = kind.phases[0]
        chunks = UNDIVIDED
        if first.chunks:
            assert isinstance(probed, VideoFacts)  # only kinds of videos have chunks there
            sample_fps = params.samples_per_sec if isinstance(params, SampledParams) else None
            of = Cutting(first.name, source.info, probed, sample_fps)
            chunks = chunking(self._database, claim, of, self._settings)
        hold.check_claim()
        hold.begin(Step.PLAN)
        if seen.poster is not None:
            self._keep_poster(claim, seen.poster)
        self._write(claim, kind, source.info, probed, chunks)
        emit(Event.JOB_PLANNED, **claim.ids, chunks=len(chunks.segments), bytes_read=reader.bytes_fetched)

    def _look_sec(self, claim: JobClaim) -> float:
        """How long this try may look at its source and at further inputs. Behind a URL the first tries are short: who
        drips keeps a planner for little, and whose file takes longer gets more at each try."""
        if not is_web(claim.input_uri):
            return self._settings.probe_seconds
        patience_sec: float = self._settings.first_look_seconds * LOOK_GROWTH ** min(claim.failures, MAX_GROWTHS)
        return min(self._settings.probe_seconds, patience_sec)

    def _keep_poster(self, claim: JobClaim, poster: bytes) -> None:
        """A job without one is a job all the same."""
        try:
            self._store.put(poster_key(claim.job_id), poster, content_type="image/jpeg")
        except StorageError as failure:
            warn(Event.PREVIEW_LOST, **claim.ids, error_code=failure.code, message=failure.message)

    def _write(self, claim: JobClaim, kind: Kind[Any], info: ObjectInfo, probed: Probed, chunks: Chunking) -> None:
        identity = {"etag": info.etag, "size": info.size_bytes}
        phase, segments = kind.phases[0], chunks.segments
        keys = [artifact_key(claim.job_id, phase.chunks.pattern, each.index) for each in segments if phase.chunks]
        plan = manifest.planned(claim.job_id, claim.kind, safe_url(claim.input_uri), identity, probed, segments, keys)
        plan |= {"chunk_seconds": chunks.chunk_seconds, "chunk_seconds_reason": chunks.reason}
        # The object first: rows without a manifest would be a job that nobody can read.
        self._store.put(manifest_key(claim.job_id), manifest.to_bytes(plan), content_type="application/json")
        columns = _plan_columns(claim, info, probed) | {"total_chunks": len(segments), "phase": phase.name}
        with self._database.transaction(patience_sec=PATIENT_SEC) as connection:
            quotas = Quotas.of(self._settings).begin(connection, claim.tenant)
            quotas.check_plan(connection, claim.tenant, claim.job_id, info.size_bytes, probed)
            plan_row = connection.execute(statement("finish_plan"), columns).one_or_none()
            if plan_row is None:
                raise ClaimLost("The job was planned by someone else, or cancelled.")
            if segments:
                assert phase.chunks is not None, "a phase without chunks is not divided"
                needs = phase.chunks.special_need
                write_chunks(connection, claim, phase.name, segments, on_hold=plan_row.is_paused, needs=needs)


def _shown(facts: VideoFacts) -> dict[str, Any]:
    shown = {"width", "height", "rotation", "fps", "frame_count", "duration_seconds", "has_audio"}
    return facts.model_dump(mode="json", include=shown)


def _plan_columns(claim: JobClaim, info: ObjectInfo, probed: Probed) -> dict[str, Any]:
    return {
        "job_id": claim.job_id,
        "attempts": claim.attempts,
        "schema_version": SCHEMA_VERSION,
        "source_etag": info.etag,
        "source_size": info.size_bytes,
        **_probe_columns(probed),
    }


def _probe_columns(probed: Probed) -> dict[str, Any]:
    """What is known of the source; of sound, its duration alone has a column."""
    facts = probed if isinstance(probed, VideoFacts) else None
    written = probed.model_dump(mode="json") if probed else None
    if facts:
        # Boundaries are set: the list of keyframes has done its work and would weigh on every claim.
        written = facts.model_dump(mode="json", exclude={"most_frames"}) | {"keyframe_pts": []}
    return {
        "probe": json.dumps(written) if written else None,
        "duration_seconds": probed.duration_seconds if probed else None,
        "fps_num": facts.fps[0] if facts and facts.fps else None,
        "fps_den": facts.fps[1] if facts and facts.fps else None,
        "width": facts.width if facts else None,
        "height": facts.height if facts else None,
        "rotation": facts.rotation if facts else None,
        "frame_count": facts.frame_count if facts else None,
        "has_audio": facts.has_audio if facts else isinstance(probed, SoundFacts) or None,
    }
