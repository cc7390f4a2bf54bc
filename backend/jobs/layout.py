"""Where a job's objects lie in the store: the one place that spells `jobs/{id}/…`."""

from __future__ import annotations

from uuid import UUID

JOBS = "jobs"  # the folder of all of them
CLOSED_FOLDERS = (JOBS, "tenants")  # below the store's root; nobody's request may name what is in them

# A preview's rate is bounded: a chunk has some hundred KiB, a job that is one chunk a few MiB a minute.
PREVIEW_TYPE, MAX_PREVIEW_BYTES = "video/mp4", 256 * 2**20


def folder(job_id: UUID | str) -> str:
    """The prefix of all that belongs to a job. Nothing outside of it is ever deleted with the job."""
    return f"{JOBS}/{job_id}/"


def source_key(job_id: UUID | str, version: str | None = None) -> str:
    """Where an upload lies; with `version`, the copy of a source that cannot be read by range."""
    return f"{folder(job_id)}source" + (f"-{version}" if version else "")


def manifest_key(job_id: UUID | str) -> str:
    return result_key(job_id, "manifest.json")


def result_key(job_id: UUID | str, name: str) -> str:
    """A file that people fetch: tracks, camera path, manifest."""
    return f"{folder(job_id)}{name}"


def poster_key(job_id: UUID | str) -> str:
    """The picture that stands for a job's video."""
    return result_key(job_id, "poster.jpg")


def output_key(job_id: UUID | str, name: str) -> str:
    """The finished film where it has no place of its own."""
    return f"{folder(job_id)}output/{name}"


def artifact_key(job_id: UUID | str, pattern: str, chunk_index: int) -> str:
    """What came of a chunk; `pattern` is its step's, such as "chunks/chunk_{:04d}.json"."""
    return folder(job_id) + pattern.format(chunk_index)


def preview_key(artifact_key: str) -> str:
    """The small film of what a chunk's worker saw, beside the chunk's artifact."""
    return f"{artifact_key.rpartition('.')[0]}.preview.mp4"


def plan_key(job_id: UUID | str, phase: str, attempt: int, name: str) -> str:
    """What a step wrote down for the workers of the next phase. By attempt: a stale one overwrites nothing."""
    return f"{folder(job_id)}plans/{phase}-{attempt}/{name}"
