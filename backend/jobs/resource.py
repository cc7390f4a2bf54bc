"""The job resource, as the API, the command line and the page show it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from fractions import Fraction
from typing import Any
from urllib.parse import urlsplit

from backend.db.engine import Database
from backend.db.models import Chunk, Job
from backend.errors import InvalidParams, InvalidState, ObjectNotFound
from backend.jobs.chunk_views import SAMPLED_PHASES
from backend.jobs.progress import Progress, progress_of
from backend.jobs.sources import is_copied, stored_key
from backend.kinds import KINDS
from backend.kinds.base import Kind
from backend.kinds.output_type import BYTES_TYPE
from backend.media.sound_facts import SoundFacts, as_probed
from backend.states import ChunkStatus, JobStatus
from backend.storage.http import safe_url
from backend.storage.names import is_object_uri

API = "/api/v1"
LINKS = ("cancel", "retry", "pause", "resume", "chunks", "manifest", "deliveries")
# Routes that show a file of the job, each with the file without which it has nothing to show.
VIEWS = {
    "tracks": "tracks.json",
    "camera-path": "camera_path.json",
    "plot": "camera_path.json",
    "timeline": "camera_path.json",
    "contact-sheet": "contact_sheet.png",
    "preview": "preview.mp4",
}


def job_resources(database: Database, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """JSON objects in the jobs' order, progress derived with one query for all of them."""
    return [job_resource(job, progress) for job, progress in zip(jobs, progress_of(database, jobs), strict=True)]


def job_summaries(database: Database, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """`job_resources` without the parameters, which may be long: for lists."""
    return [{name: value for name, value in each.items() if name != "params"} for each in job_resources(database, jobs)]


def job_resource(job: Job, progress: Progress) -> dict[str, Any]:
    base, files = f"{API}/jobs/{job.id}", _file_names(job)
    return {
        "id": str(job.id),
        "kind": job.kind,
        "status": job.status,
        "stage": job.stage,
        "paused": job.paused_at is not None,
        "deep_mode": job.deep_mode,
        "progress_pct": progress.pct,
        "chunks_pct": _chunks_pct(job, progress),
        "total_chunks": job.total_chunks,
        "completed_chunks": progress.completed_chunks,
        "failed_chunks": progress.failed_chunks,
        "eta_seconds": progress.eta_seconds,
        "waiting": progress.waiting.as_dict() if progress.waiting else None,
        "version": job.version,
        "version_of": str(job.version_of) if job.version_of else None,
        "input": {"uri": safe_url(job.input_uri), "name": job.input_name, "host": _host(job)},
        "video": _video(job),
        "sound": _sound(job),
        "params": _params(job),
        "detector": job.detector,
        "output": _output(job, f"{base}/output") if job.status == JobStatus.DONE else None,
        "warnings": job.warnings,
        "error": _error(job),
        "created_at": _iso(job.created_at),
        "started_at": _iso(job.started_at),
        "completed_at": _iso(job.completed_at),
        "links": {
            "self": base,
            **{name: f"{base}/{name}" for name in [*LINKS, *_ways_on(job)]},
            **{name: f"{base}/{name}" for name, file in VIEWS.items() if file in files},
            **{name: f"{base}/files/{name}" for name in files},
            **({"poster": f"{base}/poster"} if job.width is not None else {}),
            **({"source": f"{base}/source"} if _has_source(job) else {}),
            **({"report": f"{base}/report"} if job.status == JobStatus.DONE else {}),
        },
    }


def _host(job: Job) -> str | None:
    """Where a link leads, its bucket for a store's; None for an upload: two inputs of one name are told apart by it."""
    with suppress(ValueError):
        place = urlsplit(job.input_uri)
        if place.scheme in ("http", "https"):
            return place.hostname
        return None if stored_key(job.input_uri) else place.netloc or None
    return None


def _has_source(job: Job) -> bool:
    """Whether it lies where the API can hand it out: in our own store, or in a bucket."""
    uri = job.input_uri
    return is_object_uri(uri) or stored_key(uri) is not None or is_copied(uri, job.source_etag)


def _chunks_pct(job: Job, progress: Progress) -> int:
    """What a coach's page showed: the share of the chunks that are completed, 99 at most until the job is done."""
    if job.status == JobStatus.DONE:
        return 100
    return min(99, 100 * progress.completed_chunks // job.total_chunks) if job.total_chunks else 0


def chunk_resource(chunk: Chunk) -> dict[str, Any]:
    return {
        "phase": chunk.phase,
        "chunk_index": chunk.chunk_index,
        "status": chunk.status,
        "start_sec": chunk.start_sec,
        "end_sec": chunk.end_sec,
        "start_pts": chunk.start_pts,
        "end_pts": chunk.end_pts,
        "attempts": chunk.attempts,
        "failures": chunk.failures,
        "claimed_by": chunk.claimed_by,
        "failed_by": chunk.failed_by,
        "artifact_s3_key": chunk.artifact_s3_key,
        "artifact_sha256": chunk.artifact_sha256,
        "runtime_ms": chunk.runtime_ms,
        "error_code": chunk.error_code,
        "error_message": chunk.error_message,
        "created_at": _iso(chunk.created_at),
        "started_at": _iso(chunk.started_at),
        "completed_at": _iso(chunk.completed_at),
        "links": _chunk_links(chunk),
    }


def _chunk_links(chunk: Chunk) -> dict[str, str]:
    if chunk.status != ChunkStatus.COMPLETED or chunk.phase not in SAMPLED_PHASES:
        return {}
    base = f"{API}/jobs/{chunk.job_id}/chunks/{chunk.phase}/{chunk.chunk_index}"
    return {name: f"{base}/{name}" for name in ("preview", "people")}


def leaves(job: Job, name: str) -> bool:
    """Whether jobs of this kind and these parameters leave such a file."""
    return name in _file_names(job)


def check_leaves(job: Job, name: str) -> None:
    """Raises ObjectNotFound where jobs of this kind and these parameters never leave such a file."""
    if not leaves(job, name):
        raise ObjectNotFound(f"This job leaves no {name}: its kind is {job.kind}. Its links say what there is.")


def check_done(job: Job) -> None:
    """Raises InvalidState where what the job makes is not there yet, or never will be."""
    if job.status != JobStatus.DONE:
        raise InvalidState(f"The job is {job.status}; there is nothing to show yet.")


def _ways_on(job: Job) -> list[str]:
    """Routes that make another job of this one, or show what one would be; none for a kind of another version."""
    with suppress(KeyError, InvalidParams):
        kind = KINDS[job.kind]
        if not kind.may_have_versions(job.params) or not _is_analysed(job, kind):
            return ["again"]
        return ["again", "versions"] + (["solve"] if kind.preview is not None else [])
    return []


def _is_analysed(job: Job, kind: Kind[Any]) -> bool:
    """Whether all chunks of its first phase are completed."""
    if job.phase not in kind.first_phases:
        return True
    return bool(job.total_chunks) and job.completed_chunks == job.total_chunks


def _file_names(job: Job) -> list[str]:
    """What it leaves beside the main result; nothing for a kind or parameters of another version."""
    with suppress(KeyError, InvalidParams):
        return [each.name for each in KINDS[job.kind].files_of(job.params).values()]
    return []


def _video(job: Job) -> dict[str, Any] | None:
    if job.width is None:
        return None
    fps = Fraction(job.fps_num, job.fps_den) if job.fps_num and job.fps_den else None
    return {
        "duration_seconds": job.duration_seconds,
        "fps": f"{fps.numerator}/{fps.denominator}" if fps else None,
        "width": job.width,
        "height": job.height,
        "rotation": job.rotation,
        "frame_count": job.frame_count,
        "has_audio": job.has_audio,
    }


def _params(job: Job) -> dict[str, Any]:
    """Without the secrets of signed links to further inputs."""
    kind = KINDS.get(job.kind)
    shown = dict(job.params)
    for field in kind.params.input_fields if kind else ():
        value = shown.get(field)
        if isinstance(value, str):
            shown[field] = safe_url(value)
        elif isinstance(value, list):
            shown[field] = [safe_url(each) for each in value]
    return shown


def _sound(job: Job) -> dict[str, Any] | None:
    probed = as_probed(job.probe) if job.width is None else None
    if not isinstance(probed, SoundFacts):
        return None
    return probed.model_dump(include={"duration_seconds", "sample_rate", "channels", "codec"})


def _output(job: Job, url: str) -> dict[str, Any]:
    kind = KINDS.get(job.kind)
    ending = job.output_ending or (kind.output.default if kind else "")
    return {
        "uri": job.output_uri,
        "url": url,
        "content_type": kind.output.content_type(ending) if kind else BYTES_TYPE,
        "size_bytes": job.output_size,
        "encoder": job.encoder,
    }


def _error(job: Job) -> dict[str, Any] | None:
    # A job that will be tried again keeps its last error in the row; people see it only when it is final.
    if job.status != JobStatus.FAILED:
        return None
    return {"code": job.error_code, "message": job.error_message, "retryable": bool(job.error_retryable)}


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
