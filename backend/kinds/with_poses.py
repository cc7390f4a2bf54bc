"""A pose job's results beside those of a job that follows people: both networks look at the pictures of one decode."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field

from backend.kinds import landmarks, people
from backend.kinds.base import JSON_TYPE, Chunks, Done, FileType, Onward
from backend.kinds.context import ChunkContext, Earlier, WholeContext
from backend.kinds.decoding import on_best_decoder
from backend.kinds.people import DetectionParams, FindPeople
from backend.kinds.pose import REPORT, REPORT_TYPE, RESULTS, AnalysePoses, PoseParams
from backend.kinds.sampled import sample_chunk
from backend.kinds.tools import Need
from backend.states import Stage
from backend.vision.artifacts import ChunkArtifact, read_checked, sha256_hex, to_json_bytes
from backend.vision.pose import artifacts as pose_artifacts
from backend.vision.pose.artifacts import PoseArtifact

SCHEMA: Literal["framefleet.people_and_poses/1"] = "framefleet.people_and_poses/1"
# Measuring poses takes seconds where rendering takes minutes.
POSES_SHARE = 0.05

FILES = {
    "results": FileType(RESULTS, JSON_TYPE, is_fetched=True, asked_by="pose"),
    "report": FileType(REPORT, REPORT_TYPE, is_fetched=True, asked_by="pose"),
}
Part = Literal["people", "poses"]
P = TypeVar("P", bound=DetectionParams)


class PeopleAndPoses(Chunks[DetectionParams]):
    """A chunk's artifact holds those of both kinds of chunks, whole."""

    weight = 68.0
    stage = Stage.PROCESSING
    words = "detection and finding landmarks"
    needs = frozenset({Need.DETECTOR, Need.POSE})
    pattern = "chunks/chunk_{:04d}.json"
    content_type = JSON_TYPE
    is_shared = True
    is_sampled = True

    def work(self, context: ChunkContext[DetectionParams]) -> bytes:
        def analyse(in_hardware: bool) -> bytes:
            found, poses = FindPeople(context, context.tools.detector), landmarks.FindPoses(_posing(context))
            sampled = sample_chunk(context, [found, poses], in_hardware=in_hardware)
            return _to_bytes(found.artifact(sampled), poses.posed(sampled))

        return on_best_decoder(context, analyse)

    def made_of(self, params: DetectionParams) -> dict[str, Any]:
        return people.detected_with(params)

    def serve(self, made_with: DetectionParams, wanted: DetectionParams) -> bool:
        return people.tell_enough(made_with, wanted)

    def adopted(self, data: bytes, context: ChunkContext[DetectionParams]) -> bytes | None:
        found, posing = read_checked(_Both, data, None), _posing(context)
        if not (people.are_people_of(context, found.people) and landmarks.are_poses_of(posing, found.poses)):
            return None
        return _to_bytes(people.renamed(found.people, context), landmarks.renamed(found.poses, posing))

    def tracked(self, data: bytes, sha256: str | None) -> ChunkArtifact:
        return read_checked(_Both, data, sha256).people


def with_poses(work: Callable[[WholeContext[P]], Done | Onward], context: WholeContext[P]) -> Done | Onward:
    """What `work` makes of the people, with the poses' results and report among its files. Raises what both raise."""
    posing = replace(
        cast("WholeContext[PoseParams]", context),
        params=_pose_params(context.params),
        earlier=_PartOfEarlier(context.earlier, "poses"),
        report=lambda share: context.report(POSES_SHARE * share),
    )
    poses = AnalysePoses().work(posing)
    made = work(
        replace(
            context,
            earlier=people_of(context.earlier),
            report=lambda share: context.report(POSES_SHARE + (1 - POSES_SHARE) * share),
        )
    )
    return replace(
        made,
        files={**made.files, **poses.files},
        warnings=list(dict.fromkeys([*poses.warnings, *made.warnings])),  # both say what decoding met
        seconds={**poses.seconds, **made.seconds},
    )


def people_of(earlier: Earlier) -> Earlier:
    """The chunks as a step reads them that is about people alone."""
    return _PartOfEarlier(earlier, "people")


def poses_beside(people: Earlier) -> Iterator[PoseArtifact]:
    """What the same chunks tell of poses, of what `people_of` made; nothing of other chunks. Raises ArtifactCorrupt."""
    return people.poses() if isinstance(people, _PartOfEarlier) else iter(())


class _Both(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    schema_name: Literal["framefleet.people_and_poses/1"] = Field(default=SCHEMA, alias="schema")
    people: ChunkArtifact
    poses: PoseArtifact


class _PartOfEarlier:
    """The chunks as the step of a kind that asked for one of the two reads them."""

    def __init__(self, whole: Earlier, part: Part) -> None:
        self.plan: Mapping[str, Any] = whole.plan
        self._whole = whole
        self._part = part

    def artifacts(self) -> Iterator[tuple[bytes, str]]:
        for data, sha256 in self._whole.artifacts():
            both = read_checked(_Both, data, sha256)
            part = to_json_bytes(both.people) if self._part == "people" else pose_artifacts.to_bytes(both.poses)
            yield part, sha256_hex(part)

    def poses(self) -> Iterator[PoseArtifact]:
        return (read_checked(_Both, data, sha256).poses for data, sha256 in self._whole.artifacts())

    def previews(self, folder: Path) -> Iterator[Path | None]:
        """Joined by one of the two."""
        return self._whole.previews(folder) if self._part == "people" else iter(())

    def files(self, folder: Path) -> Iterator[tuple[Path, str]]:
        return self._whole.files(folder)

    def object(self, name: str) -> bytes:
        return self._whole.object(name)


def _to_bytes(found: ChunkArtifact, poses: PoseArtifact) -> bytes:
    head = json.dumps({"schema": SCHEMA}).encode()
    return head[:-1] + b',"people":' + to_json_bytes(found) + b',"poses":' + pose_artifacts.to_bytes(poses) + b"}"


def _posing(context: ChunkContext[DetectionParams]) -> ChunkContext[DetectionParams]:
    """Poses are people's, whatever other classes are followed."""
    return replace(context, params=_pose_params(context.params))


def _pose_params(params: DetectionParams) -> PoseParams:
    return PoseParams(sample_fps=params.samples_per_sec, conf=params.conf, iou=params.iou)
