"""The chunk artifact survives a round trip, and nothing damaged is taken for one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import ArtifactCorrupt
from backend.vision.artifacts import ChunkArtifact, load_artifact, sha256_hex, to_json_bytes
from backend.vision.evidence import with_looks
from backend.vision.looks_record import LOOKS_BYTES, packed
from backend.vision.stitch import stitch


def artifact_fields() -> dict[str, Any]:
    return {
        "schema": "framefleet.chunk/1",
        "job_id": "job-1",
        "chunk_index": 0,
        "source": {"etag": '"abc"', "size": 1234},
        "params_sha256": "0" * 64,
        "time_base": [1, 1000],
        "start_pts": 0,
        "end_pts": 400,
        "frame_size": [640, 360],
        "detector": {"name": "hog", "conf": 0.25, "fp16": False, "weights": None},
        "frame_pts": [0, 100, 200, 300],
        "sampled_pts": [0, 200, 400],
        "tracks": [{"id": 3, "pts": [0, 400], "boxes": [[1.006, 2, 30, 40], [2, 2, 31, 40]], "confidence": [0.9, 0.5]}],
        "detections": [{"pts": 0, "boxes": [[1, 2, 30, 40]], "confidence": [0.9]}],
    }


def load(fields: dict[str, Any]) -> ChunkArtifact:
    return load_artifact(json.dumps(fields).encode(), expected_sha256=None)


def test_round_trip_keeps_everything_to_a_hundredth_of_a_pixel() -> None:
    data = to_json_bytes(load(artifact_fields()))
    again = load_artifact(data, expected_sha256=sha256_hex(data))
    assert again.tracks[0].boxes[0] == [1.01, 2.0, 30.0, 40.0]
    assert json.loads(data)["detector"] == artifact_fields()["detector"]
    assert to_json_bytes(again) == data


def test_bytes_do_not_depend_on_the_order_of_the_detectors_facts() -> None:
    turned = artifact_fields()
    turned["detector"] = dict(reversed(turned["detector"].items()))
    assert to_json_bytes(load(turned)) == to_json_bytes(load(artifact_fields()))


def test_a_changed_byte_fails_the_checksum() -> None:
    data = to_json_bytes(load(artifact_fields()))
    with pytest.raises(ArtifactCorrupt, match="SHA-256"):
        load_artifact(data.replace(b"640", b"641"), expected_sha256=sha256_hex(data))


def _track(**changes: Any) -> list[dict[str, Any]]:
    return [{**artifact_fields()["tracks"][0], **changes}]


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "framefleet.chunk/2"},
        {"surprise": 1},
        {"params_sha256": "xyz"},
        {"frame_pts": [0, 200, 100]},
        {"frame_pts": [0, 100, 200, 400]},
        {"frame_pts": [0, True, 200]},
        {"sampled_pts": [0, 150]},
        {"sampled_pts": [-100, 0, 200, 400]},
        {"end_pts": 0},
        {"time_base": [1, 0]},
        {"tracks": _track(pts=[0])},
        {"tracks": _track(pts=[400, 0])},
        {"tracks": _track(pts=[0, 300])},
        {"tracks": _track() * 2},
        {"tracks": _track(confidence=[0.9, 1.5])},
        {"tracks": _track(boxes=[[1, 2, 30], [2, 2, 31, 40]])},
        {"tracks": _track(boxes=[[1, 2, float("nan"), 40], [2, 2, 31, 40]])},
        {"tracks": _track(boxes=[[1, 2, float("inf"), 40], [2, 2, 31, 40]])},
        {"tracks": _track(boxes=[[30, 2, 1, 40], [2, 2, 31, 40]])},
        {"detections": [{"pts": 0, "boxes": [], "confidence": [0.1]}]},
        {"detector": {"nested": {}}},
    ],
    ids=lambda changes: json.dumps(changes)[:60],
)
def test_a_defect_is_a_typed_error(changes: dict[str, Any]) -> None:
    with pytest.raises(ArtifactCorrupt, match="submit the video again"):
        load({**artifact_fields(), **changes})


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 200_000, b'{"a":' * 100_000])
def test_bytes_that_are_no_artifact_are_a_typed_error(data: bytes) -> None:
    with pytest.raises(ArtifactCorrupt):
        load_artifact(data, expected_sha256=None)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with pytest.raises(ArtifactCorrupt):
        load_artifact(data, expected_sha256=None)


SPEECH: dict[str, Any] = {
    "mouths": [{"pts": 0, "motion": [-1]}],
    "voice": {"start_pts": 0, "level": [0, 255], "speech": [100]},
}


def test_speech_is_kept_and_absent_where_nobody_asked() -> None:
    data = to_json_bytes(load(artifact_fields() | SPEECH))
    again = load(json.loads(data))
    assert again.mouths is not None and again.voice is not None
    assert (again.mouths[0].motion, again.voice.level) == ([-1], [0, 255])
    assert not {"mouths", "voice"} & json.loads(to_json_bytes(load(artifact_fields()))).keys()


@pytest.mark.parametrize(
    "hostile",
    [
        {"mouths": [{"pts": 0, "motion": [0, 0]}]},
        {"mouths": [{"pts": 1, "motion": [0]}]},
        {"mouths": [{"pts": 0, "motion": [0]}, {"pts": 0, "motion": [0]}]},
        {"mouths": [{"pts": 0, "motion": [-2]}]},
        {"mouths": [{"pts": 0, "motion": [10_001]}]},
        {"mouths": [{"pts": 0, "motion": [0.5]}]},
        {"mouths": [{"pts": 0, "motion": []}]},
        {"voice": {"start_pts": 0, "level": [0], "speech": [0]}},
        {"voice": {"start_pts": 0, "level": [0, 256], "speech": [0]}},
        {"voice": {"start_pts": 0, "level": [0, 0], "speech": [101]}},
        {"voice": {"start_pts": 2**63, "level": [], "speech": []}},
        {"voice": {"start_pts": 0, "level": "00", "speech": [0]}},
    ],
)
def test_speech_that_cannot_be_is_refused(hostile: dict[str, Any]) -> None:
    with pytest.raises(ArtifactCorrupt):
        load(artifact_fields() | hostile)


def test_looks_and_the_cameras_moves_are_kept_and_absent_in_what_older_workers_wrote() -> None:
    fields = artifact_fields()
    fields["detections"][0]["looks"] = packed(np.arange(LOOKS_BYTES, dtype=np.uint8)[None])
    fields["camera"] = [[0.0, 0.0, 0.0, 0.0], [0.01, -0.0, 0.0123456789, 0.5], [0.0, 0.0, 0.0, 0.0]]
    data = to_json_bytes(load(fields))
    again = load_artifact(data, expected_sha256=None)
    assert again.detections[0].looks == fields["detections"][0]["looks"]
    assert again.camera is not None and again.camera[1] == (0.01, 0.0, 0.012346, 0.5)
    older = to_json_bytes(load(artifact_fields()))
    assert b"looks" not in older and b"camera" not in older


@pytest.mark.parametrize(
    "hostile",
    [
        {"detections": [{"pts": 0, "boxes": [[1, 2, 30, 40]], "confidence": [0.9], "looks": "AAAA"}]},
        {"detections": [{"pts": 0, "boxes": [[1, 2, 30, 40]], "confidence": [0.9], "looks": "=" * 80}]},
        {"detections": [{"pts": 0, "boxes": [], "confidence": [], "looks": "A" * 80}]},
        {"camera": [[0.0, 0.0, 0.0, 0.0]]},
        {"camera": [[0.0, 0.0, 0.0]] * 3},
        {"camera": [[0.0, 0.0, 0.0, 1e9]] * 3},
        {"camera": [[-1.0, 0.0, 0.0, 0.0]] * 3},
    ],
)
def test_looks_and_moves_that_cannot_be_are_refused(hostile: dict[str, Any]) -> None:
    with pytest.raises(ArtifactCorrupt):
        load({**artifact_fields(), **hostile})


def test_tracks_get_the_looks_of_the_detections_that_they_are() -> None:
    fields = artifact_fields()
    fields["tracks"][0] |= {"pts": [0, 200, 400], "boxes": [[1, 2, 30, 40]] * 3, "confidence": [0.9] * 3}
    own, other = np.full(LOOKS_BYTES, 7, np.uint8), np.full(LOOKS_BYTES, 9, np.uint8)
    two = {"boxes": [[5, 5, 9, 9], [1, 2, 30, 40]], "confidence": [0.5, 0.9]}
    fields["detections"] = [{"pts": pts, **two, "looks": packed(np.stack([other, own]))} for pts in (0, 400)]
    artifact = load(fields)
    [track] = with_looks(stitch([artifact]), [artifact])
    assert track.looks is not None
    assert track.looks[:, 0].tolist() == [7, 0, 7]
    [plain] = with_looks(stitch([load(artifact_fields())]), [load(artifact_fields())])
    assert plain.looks is None
