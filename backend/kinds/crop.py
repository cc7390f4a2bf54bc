"""Job kind `crop`: follow the people and cut a smooth, well-framed picture around them."""

from __future__ import annotations

import time

import numpy as np

from backend.kinds import accounts, film, output_type, with_poses
from backend.kinds.base import JSON_TYPE, Done, FileType, Kind, Onward, Phase, Whole
from backend.kinds.context import WholeContext
from backend.kinds.crop_params import CropParams
from backend.kinds.crop_preview import CropPreview
from backend.kinds.film_plan import Film, source_order
from backend.kinds.framing import Framing, solve_framing
from backend.kinds.people import DetectPeople
from backend.kinds.preview import PREVIEW, join_previews
from backend.kinds.sheet import plan_sheet
from backend.kinds.stitched import artifacts_of
from backend.states import Stage
from backend.vision.holding_words import shortfalls
from backend.vision.window import MAX_PANELS, panel_areas

# Stitching and solving take seconds where rendering takes minutes.
SOLVED_SHARE = 0.05


class SolveCrop(Whole[CropParams]):
    """Stitches, chooses, solves the camera path; then renders a short film, or hands a long one on in pieces."""

    weight = SOLVED_SHARE * 30.0
    stage = Stage.RENDERING
    words = "joining the chunks and rendering"
    patience = 6.0  # joining a long film's tracks is one computation that says nothing until it is done

    def work(self, context: WholeContext[CropParams]) -> Done | Onward:
        """Raises MediaTruncated, ArtifactCorrupt, InvalidParams (an unknown track), FrameMismatch, EncodeFailed."""
        params, facts = context.params, context.facts
        artifacts = artifacts_of(context)
        previewed = join_previews(context, [artifact.frame_pts for artifact in artifacts])
        began = time.monotonic()
        poses = with_poses.poses_beside(context.earlier)
        framing = solve_framing(artifacts, facts.time_base_fraction, (facts.width, facts.height), params, poses)
        warnings = [*accounts.decoded(facts, framing.timeline.frame_pts), *accounts.analysed(artifacts), *previewed]
        proof = framing.certificate(params.smooth_alpha)
        warnings += shortfalls(proof, params.subject, params.fill)
        files = framing.files(proof)
        context.report(SOLVED_SHARE)
        seconds = {"stitch_and_path": time.monotonic() - began}
        # Chunks begin at keyframes where there are any.
        whole = _film(context, framing, [artifact.start_pts for artifact in artifacts])
        return film.make(context, whole, done=SOLVED_SHARE, files=files, warnings=warnings, seconds=seconds)


class SolveCropAndPoses(SolveCrop):
    def work(self, context: WholeContext[CropParams]) -> Done | Onward:
        return with_poses.with_poses(super().work, context)


def _film(context: WholeContext[CropParams], framing: Framing, keyframe_pts: list[int]) -> Film:
    params, timeline, path = context.params, framing.timeline, framing.path
    width, height = path.output_size
    look = params.model_dump(include={"crf", "preset", "draw_timestamp", "hdr"}) | {"fill": params.bars}
    source = source_order(context.facts, context.settings, int(timeline.frame_pts[0]))
    ticks = (timeline.frame_pts - int(timeline.frame_pts[0])).astype(np.float64)
    rows = [ticks, path.x, path.y, path.width, path.height]
    if path.panels is not None:
        rows.append(path.panels.reshape(len(ticks), -1))
        look["panel_areas"] = {count: panel_areas(path.output_size, count) for count in range(2, MAX_PANELS + 1)}
    return Film(
        order=source | look | {"output_width": width, "output_height": height},
        path=np.column_stack(rows),
        frame_pts=timeline.frame_pts,
        shots=path.shots,
        keyframe_pts=keyframe_pts,
        sheet=plan_sheet(framing),
    )


_DETECT = Phase[CropParams]("detect", DetectPeople(), SolveCrop())
_DETECT_AND_POSE = Phase[CropParams]("detect_and_pose", with_poses.PeopleAndPoses(), SolveCropAndPoses())
_RENDER = Phase[CropParams]("render", film.RenderPieces(), film.JoinFilm())

CROP = Kind[CropParams](
    name="crop",
    output=output_type.film("_cropped"),
    params=CropParams,
    phases=(_DETECT, _DETECT_AND_POSE, _RENDER),
    beginnings=2,
    choose=lambda params: (_DETECT_AND_POSE if params.pose else _DETECT, _RENDER),
    files={
        "tracks": FileType("tracks.json", JSON_TYPE, is_fetched=True),
        "tracks.parquet": FileType("tracks.parquet", "application/vnd.apache.parquet"),
        "mot": FileType("tracks.mot.txt", "text/plain", is_fetched=True),
        "camera_path": FileType("camera_path.json", JSON_TYPE, is_fetched=True),
        "contact_sheet": FileType("contact_sheet.png", "image/png"),
        "preview": PREVIEW,
        **with_poses.FILES,
    },
    preview=CropPreview(),
)
