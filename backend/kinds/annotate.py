"""Job kind `annotate`: the whole picture with boxes, names and trails of what was tracked, and the tracks as data."""

from __future__ import annotations

import time

import numpy as np

from backend.kinds import accounts, film, output_type, with_poses
from backend.kinds.annotate_params import AnnotateParams
from backend.kinds.base import JSON_TYPE, Done, FileType, Kind, Onward, Phase, Whole
from backend.kinds.context import WholeContext
from backend.kinds.film_plan import Film, Layer, source_order
from backend.kinds.people import DetectPeople
from backend.kinds.preview import PREVIEW, join_previews
from backend.kinds.sheet import no_sheet
from backend.kinds.stitched import Stitched, artifacts_of, stitched
from backend.media.paint.rows import LayerRows
from backend.states import Stage
from backend.vision import track_files
from backend.vision.object_summary import objects_json
from backend.vision.stitch import interpolate

# Stitching takes seconds where rendering takes minutes.
STITCHED_SHARE = 0.05


class Annotate(Whole[AnnotateParams]):
    """Stitches and writes the tracks down; then renders a short film, or hands a long one on in pieces."""

    weight = STITCHED_SHARE * 30.0
    stage = Stage.RENDERING
    words = "joining the chunks and rendering"
    patience = 6.0  # joining a long film's tracks is one computation that says nothing until it is done

    def work(self, context: WholeContext[AnnotateParams]) -> Done | Onward:
        """Raises MediaTruncated, ArtifactCorrupt, FrameMismatch, EncodeFailed."""
        params, facts = context.params, context.facts
        artifacts = artifacts_of(context)
        previewed = join_previews(context, [artifact.frame_pts for artifact in artifacts])
        began = time.monotonic()
        found = stitched(artifacts, facts.time_base_fraction, (facts.width, facts.height), params.conf)
        warnings = [
            *accounts.decoded(facts, found.timeline.frame_pts),
            *accounts.analysed(artifacts),
            *_nothing_found(found, params),
            *previewed,
        ]
        files = _files(found, params)
        context.report(STITCHED_SHARE)
        seconds = {"stitch": time.monotonic() - began}
        # Chunks begin at keyframes where there are any.
        whole = _film(context, found, [artifact.start_pts for artifact in artifacts])
        return film.make(context, whole, done=STITCHED_SHARE, files=files, warnings=warnings, seconds=seconds)


class AnnotateAndPoses(Annotate):
    def work(self, context: WholeContext[AnnotateParams]) -> Done | Onward:
        return with_poses.with_poses(super().work, context)


def marks(found: Stitched, params: AnnotateParams) -> Layer:
    """What is drawn: a row for each track on every frame between its first and last sample, but where it is away."""
    dense = [interpolate(track, found.timeline.frame_pts, found.timeline.longest_gap) for track in found.tracks]
    classes = sorted({track.class_name for track in dense})
    numbers = {name: number for number, name in enumerate(classes)}
    boxes = np.concatenate([np.zeros((0, 4)), *(track.boxes for track in dense)])
    counts = [len(track.pts) for track in dense]
    columns = {
        "pts": np.concatenate([np.zeros(0, np.int64), *(track.pts for track in dense)]),
        "id": np.repeat(np.array([track.id for track in dense], np.int64), counts),
        "class": np.repeat(np.array([numbers[track.class_name] for track in dense], np.int64), counts),
        "confidence": np.concatenate([np.zeros(0), *(track.confidence for track in dense)]),
        **{name: boxes[:, side] for side, name in enumerate(("x1", "y1", "x2", "y2"))},
    }
    order = np.argsort(columns["pts"], kind="stable")
    trail_pts = round(params.trail_seconds / found.timeline.time_base)
    return Layer(
        order={"type": "marks", "draw": list(params.draw), "classes": classes, "trail_pts": trail_pts},
        rows=LayerRows({name: column[order] for name, column in columns.items()}),
        back_pts=trail_pts,
    )


def _film(context: WholeContext[AnnotateParams], found: Stitched, keyframe_pts: list[int]) -> Film:
    """All of the picture; of an odd size the last row or column goes, since 4:2:0 has none."""
    params, frame_pts = context.params, found.timeline.frame_pts
    width, height = (max(2, side // 2 * 2) for side in found.timeline.frame_size)
    ticks = (frame_pts - int(frame_pts[0])).astype(np.float64)
    whole = np.tile([0.0, 0.0, width, height], (len(frame_pts), 1))
    look = params.model_dump(include={"crf", "preset", "hdr"}) | {"draw_timestamp": False}
    source = source_order(context.facts, context.settings, int(frame_pts[0]))
    return Film(
        order=source | look | {"output_width": width, "output_height": height},
        path=np.column_stack([ticks, whole]),
        frame_pts=frame_pts,
        shots=found.shots,
        keyframe_pts=keyframe_pts,
        sheet=no_sheet(found.timeline.frame_size),
        layers=[marks(found, params)] if params.draw and found.tracks else [],
    )


def _files(found: Stitched, params: AnnotateParams) -> dict[str, bytes]:
    tracks, timeline = found.tracks, found.timeline
    zones = [zone.zone(timeline.frame_size) for zone in params.zones]
    return {
        "tracks.json": track_files.tracks_json(tracks, timeline),
        "tracks.parquet": track_files.tracks_parquet(tracks, timeline),
        "tracks.mot.txt": track_files.tracks_mot(tracks, timeline),
        "tracks.csv": track_files.tracks_csv(tracks, timeline),
        "objects.json": objects_json(tracks, timeline, zones),
    }


def _nothing_found(found: Stitched, params: AnnotateParams) -> list[str]:
    if found.tracks:
        return []
    return [f"Nothing was found of: {', '.join(params.classes)}. Nothing is drawn; a lower conf finds more."]


_DETECT = Phase[AnnotateParams]("detect", DetectPeople(), Annotate())
_DETECT_AND_POSE = Phase[AnnotateParams]("detect_and_pose", with_poses.PeopleAndPoses(), AnnotateAndPoses())
_RENDER = Phase[AnnotateParams]("render", film.RenderPieces(), film.JoinFilm())

ANNOTATE = Kind[AnnotateParams](
    name="annotate",
    output=output_type.film("_annotated"),
    params=AnnotateParams,
    phases=(_DETECT, _DETECT_AND_POSE, _RENDER),
    beginnings=2,
    choose=lambda params: (_DETECT_AND_POSE if params.pose else _DETECT, _RENDER),
    files={
        "tracks": FileType("tracks.json", JSON_TYPE, is_fetched=True),
        "tracks.parquet": FileType("tracks.parquet", "application/vnd.apache.parquet", is_fetched=True),
        "mot": FileType("tracks.mot.txt", "text/plain", is_fetched=True),
        "csv": FileType("tracks.csv", "text/csv", is_fetched=True),
        "objects": FileType("objects.json", JSON_TYPE, is_fetched=True),
        "preview": PREVIEW,
        **with_poses.FILES,
    },
)
