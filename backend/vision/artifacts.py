"""The chunk artifact: what one worker found in one chunk, as checksummed JSON (`framefleet.chunk/1`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from backend.errors import ArtifactCorrupt, NewerVersion
from backend.vision.classes import PERSON
from backend.vision.looks_record import packed_length
from backend.vision.speech_record import MouthRecord, VoiceRecord

Artifact = TypeVar("Artifact", bound=BaseModel)

CHUNK_SCHEMA: Literal["framefleet.chunk/1"] = "framefleet.chunk/1"

MAX_ROWS = 10_000_000
MAX_COORD_PX = 1e6
_COORD_DECIMALS = 2
_CONFIDENCE_DECIMALS = 4
_MOVE_DECIMALS = 6

Pts = Annotated[int, Field(ge=-(2**62), le=2**62)]
PtsList = Annotated[list[Pts], Field(max_length=MAX_ROWS)]
Coord = Annotated[float, Field(ge=-MAX_COORD_PX, le=MAX_COORD_PX)]
Box = Annotated[list[Coord], Field(min_length=4, max_length=4)]
Confidence = Annotated[float, Field(ge=0, le=1)]
Ticks = Annotated[int, Field(ge=1, le=2**31 - 1)]
SidePx = Annotated[int, Field(ge=1, le=65_536)]
# From one sample to the next: no picture is turned or sized by more, nor goes further, in its widths.
Turn = Annotated[float, Field(ge=-0.5, le=0.5)]
Shift = Annotated[float, Field(ge=-10, le=10)]
Move = tuple[Turn, Turn, Shift, Shift]
PackedLooks = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]*$", max_length=100_000_000)]
Name = Annotated[str, Field(max_length=1024)]


class _Record(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True, protected_namespaces=()
    )


class SourceId(_Record):
    """The version of the source that was read."""

    etag: Name
    size: Annotated[int, Field(ge=0, le=2**62)]


class TrackRecord(_Record):
    """One person, or a thing of another class, within one chunk: a box and a confidence for each of `pts`."""

    id: Annotated[int, Field(ge=0, le=2**62)]
    class_name: Annotated[str, Field(max_length=1024)] = Field(default=PERSON, alias="class")
    pts: Annotated[list[Pts], Field(min_length=1, max_length=MAX_ROWS)]
    boxes: Annotated[list[Box], Field(max_length=MAX_ROWS)]
    confidence: Annotated[list[Confidence], Field(max_length=MAX_ROWS)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not len(self.pts) == len(self.boxes) == len(self.confidence):
            raise ValueError("pts, boxes and confidence differ in length")
        _require_increasing(self.pts, "pts")
        _require_upright(self.boxes)
        return self

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """`pts` (n,), `boxes` (n, 4) in pixels, `confidence` (n,)."""
        boxes = np.asarray(self.boxes, dtype=np.float64).reshape(-1, 4)
        return np.asarray(self.pts, dtype=np.int64), boxes, np.asarray(self.confidence, dtype=np.float64)


class DetectionRecord(_Record):
    """What the detector saw on one sampled frame, before tracking."""

    pts: Pts
    boxes: Annotated[list[Box], Field(max_length=100_000)]
    confidence: Annotated[list[Confidence], Field(max_length=100_000)]
    classes: Annotated[list[Name], Field(max_length=100_000)] | None = None  # of each one; None: people
    looks: PackedLooks | None = None  # of each one

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.boxes) != len(self.confidence):
            raise ValueError("boxes and confidence differ in length")
        if self.classes is not None and len(self.classes) != len(self.boxes):
            raise ValueError("boxes and classes differ in length")
        if self.looks is not None and len(self.looks) != packed_length(len(self.boxes)):
            raise ValueError("boxes and looks differ in length")
        _require_upright(self.boxes)
        return self


class ChunkArtifact(_Record):
    """One chunk's result. `frame_pts` are its frames in [start_pts, end_pts); `sampled_pts` go on past end_pts."""

    schema_name: Literal["framefleet.chunk/1"] = Field(default=CHUNK_SCHEMA, alias="schema")
    job_id: Name
    chunk_index: Annotated[int, Field(ge=0, le=10_000_000)]
    source: SourceId
    params_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    time_base: Annotated[list[Ticks], Field(min_length=2, max_length=2)]
    start_pts: Pts
    end_pts: Pts
    frame_size: Annotated[list[SidePx], Field(min_length=2, max_length=2)]
    detector: Annotated[dict[Name, Name | int | float | bool | None], Field(max_length=256)]
    frame_pts: PtsList
    sampled_pts: PtsList
    cuts_pts: PtsList = Field(default_factory=list)  # first frames of new shots, past end_pts too
    tracks: Annotated[list[TrackRecord], Field(max_length=100_000)]
    detections: Annotated[list[DetectionRecord], Field(max_length=MAX_ROWS)]
    # How the camera moved before each sample, as `ground.py` has it; None: nobody looked.
    camera: Annotated[list[Move], Field(max_length=MAX_ROWS)] | None = None
    # Of jobs that follow whoever speaks.
    mouths: Annotated[list[MouthRecord], Field(max_length=MAX_ROWS)] | None = None
    voice: VoiceRecord | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.start_pts >= self.end_pts:
            raise ValueError("start_pts is not before end_pts")
        _require_increasing(self.frame_pts, "frame_pts")
        _require_increasing(self.sampled_pts, "sampled_pts")
        _require_increasing(self.cuts_pts, "cuts_pts")
        _require_increasing([detection.pts for detection in self.detections], "detections")
        if self.camera is not None and len(self.camera) != len(self.sampled_pts):
            raise ValueError("camera and sampled_pts differ in length")
        self._require_frames_in_chunk()
        self._require_known_samples()
        self._require_mouths_of_people()
        return self

    def _require_frames_in_chunk(self) -> None:
        if self.frame_pts and not (self.start_pts <= self.frame_pts[0] and self.frame_pts[-1] < self.end_pts):
            raise ValueError("frame_pts leave [start_pts, end_pts)")
        if self.sampled_pts and self.sampled_pts[0] < self.start_pts:
            raise ValueError("sampled_pts begin before start_pts")
        inside = {pts for pts in self.sampled_pts if pts < self.end_pts}
        if not inside.issubset(self.frame_pts):
            raise ValueError("sampled_pts names frames that frame_pts lacks")

    def _require_known_samples(self) -> None:
        ids = [track.id for track in self.tracks]
        if len(set(ids)) != len(ids):
            raise ValueError("two tracks have the same id")
        sampled = set(self.sampled_pts)
        used = chain.from_iterable([*(track.pts for track in self.tracks), [found.pts for found in self.detections]])
        if not sampled.issuperset(used):
            raise ValueError("tracks or detections name frames that were not sampled")

    def _require_mouths_of_people(self) -> None:
        people = {found.pts: len(found.boxes) for found in self.detections}
        mouths = self.mouths or []
        _require_increasing([mouth.pts for mouth in mouths], "mouths")
        if any(people.get(mouth.pts) != len(mouth.motion) for mouth in mouths):
            raise ValueError("mouths are not those of the people detected")


def to_json_bytes(artifact: ChunkArtifact) -> bytes:
    """Compact, deterministic JSON; coordinates to 0.01 px and confidences to 0.0001.

    A class is named where it is another than people's, and speech where it was asked for, so that older versions read
    artifacts of people.
    """
    absent = {name for name in ("camera", "mouths", "voice") if getattr(artifact, name) is None}
    fields: dict[str, Any] = artifact.model_dump(by_alias=True, exclude={"tracks", "detections", *absent})
    if artifact.camera is not None:
        fields["camera"] = (np.round(np.array(artifact.camera).reshape(-1, 4), _MOVE_DECIMALS) + 0.0).tolist()
    fields["detector"] = dict(sorted(artifact.detector.items()))
    fields["tracks"] = [
        {"id": t.id, **_class_of(t), "pts": t.pts, **rounded_boxes(t.boxes, t.confidence)} for t in artifact.tracks
    ]
    fields["detections"] = [
        {
            "pts": d.pts,
            **rounded_boxes(d.boxes, d.confidence),
            **({"classes": d.classes} if d.classes else {}),
            **({"looks": d.looks} if d.looks else {}),
        }
        for d in artifact.detections
    ]
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode("ascii")


def _class_of(track: TrackRecord) -> dict[str, str]:
    return {} if track.class_name == PERSON else {"class": track.class_name}


def rounded_boxes(
    boxes: Sequence[Sequence[float]] | NDArray[np.float64], confidence: Sequence[float] | NDArray[np.float64]
) -> dict[str, Any]:
    """`boxes` and `confidence` as lists in the precision of the JSON files."""
    # Adding 0.0 turns -0.0 into 0.0, which would otherwise be other bytes for the same box.
    box_rows = np.round(np.asarray(boxes, dtype=np.float64).reshape(-1, 4), _COORD_DECIMALS) + 0.0
    confidences = np.round(np.asarray(confidence, dtype=np.float64), _CONFIDENCE_DECIMALS) + 0.0
    return {"boxes": box_rows.tolist(), "confidence": confidences.tolist()}


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def load_artifact(data: bytes, *, expected_sha256: str | None) -> ChunkArtifact:
    """What chunks of people leave. Raises as `read_checked` does."""
    return read_checked(ChunkArtifact, data, expected_sha256)


def read_checked(schema: type[Artifact], data: bytes, expected_sha256: str | None) -> Artifact:
    """The artifact in `data`, checked against the checksum that its row keeps (None: not checked).

    Raises ArtifactCorrupt on another checksum, bytes that are no JSON, or content that breaks the schema; NewerVersion
    for sound bytes of another schema, or with fields that this version does not know.
    """
    if expected_sha256 is not None and sha256_hex(data) != expected_sha256.lower():
        raise ArtifactCorrupt("The chunk artifact's bytes differ from the recorded SHA-256; submit the video again.")
    try:
        return schema.model_validate_json(data)
    except ValidationError as error:
        if expected_sha256 is not None and is_of_newer_version(error):  # else anything may have damaged it
            raise NewerVersion("A newer version wrote the chunk artifact: start workers of that version.") from None
        raise ArtifactCorrupt(
            f"The chunk artifact is not valid ({first_defect(error)}); submit the video again."
        ) from None
    except (RecursionError, ValueError) as error:
        raise ArtifactCorrupt(
            f"The chunk artifact is not readable JSON ({type(error).__name__}); submit the video again."
        ) from None


def is_of_newer_version(error: ValidationError) -> bool:
    """Whether what is not valid is of another schema, or has fields that this version does not know."""
    return any(
        defect["type"] == "extra_forbidden" or defect["loc"][-1:] == ("schema",)
        for defect in error.errors(include_url=False, include_context=False, include_input=False)
    )


def first_defect(error: ValidationError) -> str:
    """Where and what, in words."""
    # The input is left out: it may be megabytes, and it is not ours.
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "artifact"
    return f"{where[:200]}: {first['msg'][:200]}"


def _require_increasing(pts: list[int], name: str) -> None:
    if len(pts) > 1 and bool((np.diff(np.asarray(pts, dtype=np.int64)) <= 0).any()):
        raise ValueError(f"{name} are not strictly increasing")


def _require_upright(boxes: list[list[float]]) -> None:
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    if bool((corners[:, 2:] < corners[:, :2]).any()):
        raise ValueError("a box ends before it begins")
