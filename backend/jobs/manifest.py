"""jobs/{id}/manifest.json: what the job was cut into and what came of each piece."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from backend.errors import ArtifactCorrupt
from backend.media.facts import VideoFacts
from backend.media.segments import Segment
from backend.media.sound_facts import Probed, SoundFacts

SCHEMA = "framefleet.manifest/1"


def planned(
    job_id: UUID,
    kind: str,
    original_video: str,
    source: Mapping[str, Any],
    probed: Probed,
    segments: Sequence[Segment],
    artifact_keys: Sequence[str],
) -> dict[str, Any]:
    """Of the first phase; `artifact_keys` are those of its segments."""
    return {
        "schema": SCHEMA,
        "job_id": str(job_id),
        "kind": kind,
        "original_video": original_video,
        "source": dict(source),
        "video": probed.model_dump(mode="json", exclude={"keyframe_pts"}) if isinstance(probed, VideoFacts) else None,
        "sound": probed.model_dump(mode="json") if isinstance(probed, SoundFacts) else None,
        "segment_count": len(segments),
        "segments": [
            {
                "segment_number": each.index,
                "start_sec": each.start_sec,
                "end_sec": each.end_sec,
                "start_pts": each.start_pts,
                "end_pts": each.end_pts,
                "artifact_key": key,
                "artifact_sha256": None,
                "attempts": 0,
            }
            for each, key in zip(segments, artifact_keys, strict=True)
        ],
    }


def finished(manifest: dict[str, Any], outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The manifest with each segment's checksum, attempts and frame count filled in."""
    segments = [segment | dict(outcome) for segment, outcome in zip(manifest["segments"], outcomes, strict=True)]
    return manifest | {"segments": segments}


def to_bytes(manifest: Mapping[str, Any]) -> bytes:
    return json.dumps(manifest, indent=1, ensure_ascii=False).encode()


def load(data: bytes) -> dict[str, Any]:
    """Raises ArtifactCorrupt when it is no manifest."""
    try:
        manifest = json.loads(data)
    except ValueError as error:
        raise ArtifactCorrupt("The job's manifest.json is damaged.") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise ArtifactCorrupt("The job's manifest.json is not a manifest.")
    return manifest


def as_split(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest as a predecessor wrote it after splitting a video. Times are numbers, in seconds of the source."""
    return {
        "segment_count": manifest["segment_count"],
        "segments": [
            {
                "request_id": manifest["job_id"],
                "segment_file": each["artifact_key"],
                "segment_number": each["segment_number"],
                "start_time": each["start_sec"],
                "duration": round(each["end_sec"] - each["start_sec"], 6),
                "original_video": manifest["original_video"],
            }
            for each in manifest["segments"]
        ],
    }
