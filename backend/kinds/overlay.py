"""Job kind `overlay`: ellipses stay as they are, and all else is blurred or darkened. Where one of them follows a
track, people are looked for first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backend.errors import InvalidParams
from backend.kinds import accounts, film, output_type
from backend.kinds.base import JSON_TYPE, Done, FileType, Kind, Onward, Phase, Whole
from backend.kinds.context import WholeContext
from backend.kinds.every_frame import Design, PlanFilm, film_of
from backend.kinds.film import JoinFilm, RenderPieces
from backend.kinds.film_plan import Layer
from backend.kinds.overlay_params import OverlayParams, Region
from backend.kinds.people import DetectPeople
from backend.kinds.preview import PREVIEW, join_previews
from backend.kinds.stitched import artifacts_of, stitched
from backend.kinds.window_keys import values_on, windows_on
from backend.media.paint.rows import LayerRows
from backend.states import Stage
from backend.vision import track_files
from backend.vision.stitch import Track, interpolate
from backend.vision.timeline import Timeline
from backend.vision.window import Floats

# Of all regions on all frames: what a renderer holds in memory.
MAX_ROWS = 5_000_000
# Stitching takes seconds where rendering takes minutes.
STITCHED_SHARE = 0.05
COLUMNS = ("x", "y", "radius_x", "radius_y", "opacity")


def overlaid(context: WholeContext[OverlayParams], timeline: Timeline, tracks: Sequence[Track] = ()) -> Design:
    """Raises InvalidParams, naming the region or the keyframe."""
    params = context.params
    windows, warnings = _windows(params, timeline)
    output_size = params.output_size((float(windows[0, 2]), float(windows[0, 3])))
    layer, more = highlights(params, timeline, tracks)
    return Design(
        params.shaped(windows, output_size), output_size, params.look(), layers=[layer], warnings=[*warnings, *more]
    )


def highlights(params: OverlayParams, timeline: Timeline, tracks: Sequence[Track]) -> tuple[Layer, list[str]]:
    """What the painter is told, and warnings."""
    parts: list[tuple[NDArray[np.int64], Floats]] = []
    warnings: list[str] = []
    rows = 0
    for number, region in enumerate(params.highlight_regions):
        name = f"highlight_regions.{number}"
        frames, values, said = _on_frames(name, region, timeline, tracks)
        rows += len(frames)
        if rows > MAX_ROWS:
            raise InvalidParams(
                f"{name}: the regions up to this one lie on {rows} frames together; at most {MAX_ROWS}."
            )
        parts.append((timeline.frame_pts[frames], values))
        warnings += said
    pts = np.concatenate([pts for pts, _ in parts])
    order = np.argsort(pts, kind="stable")
    values = np.concatenate([values for _, values in parts])[order].astype(np.float32)
    columns = {name: values[:, at] for at, name in enumerate(COLUMNS)}
    return Layer(_effect(params), LayerRows({"pts": pts[order], **columns})), warnings


def _effect(params: OverlayParams) -> dict[str, object]:
    if params.effect_type == "blur":
        return {"type": "blur", "feather": params.feather, "spread": params.blur_strength}
    return {"type": "spotlight", "feather": params.feather, "light": params.darken_strength}


def _windows(params: OverlayParams, timeline: Timeline) -> tuple[Floats, list[str]]:
    if params.crop_keyframes:
        return windows_on("crop_keyframes", params.crop_keyframes, timeline, params.interpolation)
    # Even, so that a picture of its own size is no other one.
    width, height = (side // 2 * 2 or side for side in timeline.frame_size)
    return np.tile([0.0, 0.0, width, height], (len(timeline), 1)), []


def _on_frames(
    name: str, region: Region, timeline: Timeline, tracks: Sequence[Track]
) -> tuple[NDArray[np.int64], Floats, list[str]]:
    """Frames, and x, y, radii and opacity on each of them."""
    last = len(timeline) - 1
    if region.start_frame > last:
        late = f"{name} begins with frame {region.start_frame}; the film ends with frame {last}: it is never seen."
        return np.zeros(0, np.int64), np.zeros((0, len(COLUMNS))), [late]
    frames = np.arange(region.start_frame, min(last, last if region.end_frame is None else region.end_frame) + 1)
    if region.track_id is not None:
        there, values = _along(name, region, timeline, tracks)
        inside = (there >= frames[0]) & (there <= frames[-1])
        said = [] if inside.any() else [f"{name}: track {region.track_id} is not there on any of its frames."]
        return there[inside], values[inside], said
    if region.keyframes:
        keys = region.keyframes
        values, warnings = values_on(f"{name}.keyframes", keys, [key.values for key in keys], timeline, "linear")
        return frames, values[frames], warnings
    return frames, np.tile(region.fixed, (len(frames), 1)), []


def _along(name: str, region: Region, timeline: Timeline, tracks: Sequence[Track]) -> tuple[NDArray[np.int64], Floats]:
    """Where the track's box is, with room around it, on every frame from its first to its last sample, but where it is
    away."""
    track = next((track for track in tracks if track.id == region.track_id), None)
    if track is None:
        ids = [track.id for track in tracks]
        known = (
            f"there are {', '.join(map(str, ids[:20]))}{' and others' if len(ids) > 20 else ''}" if ids else "nobody is"
        )
        raise InvalidParams(f"{name}.track_id: no track {region.track_id} in this video; {known}.")
    dense = interpolate(track, timeline.frame_pts, timeline.longest_gap)
    sizes = (dense.boxes[:, 2:] - dense.boxes[:, :2]) / 2 * (1 + region.room)
    centres = (dense.boxes[:, :2] + dense.boxes[:, 2:]) / 2
    opacity = np.full((len(dense.pts), 1), region.opacity)
    frames = np.searchsorted(timeline.frame_pts, dense.pts)
    return frames, np.hstack([centres, np.maximum(sizes, 0.5), opacity])


class FollowTracks(Whole[OverlayParams]):
    """Stitches; then renders a short film, or hands a long one on in pieces."""

    weight = STITCHED_SHARE * 30.0
    stage = Stage.RENDERING
    words = "joining the chunks and rendering"
    patience = 6.0  # joining a long film's tracks is one computation that says nothing until it is done

    def work(self, context: WholeContext[OverlayParams]) -> Done | Onward:
        """Raises MediaTruncated, ArtifactCorrupt, InvalidParams (an unknown track), FrameMismatch, EncodeFailed."""
        facts = context.facts
        artifacts = artifacts_of(context)
        previewed = join_previews(context, [artifact.frame_pts for artifact in artifacts])
        began = time.monotonic()
        found = stitched(artifacts, facts.time_base_fraction, (facts.width, facts.height), context.params.conf)
        warnings = [*accounts.decoded(facts, found.timeline.frame_pts), *accounts.analysed(artifacts), *previewed]
        tracks = {"tracks.json": track_files.tracks_json(found.tracks, found.timeline)}
        design = replace(overlaid(context, found.timeline, found.tracks), shots=found.shots)
        seconds = {"stitch": time.monotonic() - began}
        context.report(STITCHED_SHARE)
        # Chunks begin at keyframes where there are any.
        whole = film_of(context, found.timeline, design, [artifact.start_pts for artifact in artifacts])
        files, words = {**tracks, **design.files}, [*warnings, *design.warnings]
        return film.make(context, whole, done=STITCHED_SHARE, files=files, warnings=words, seconds=seconds)


def _phases(params: OverlayParams) -> tuple[Phase[OverlayParams], ...]:
    return (FOLLOW if params.follows else LIST, RENDER)


FOLLOW = Phase[OverlayParams]("detect", DetectPeople(), FollowTracks())
LIST = Phase[OverlayParams]("list", None, PlanFilm(overlaid))
RENDER = Phase[OverlayParams]("render", RenderPieces(), JoinFilm())
OVERLAY = Kind[OverlayParams](
    name="overlay",
    output=output_type.film("_overlay"),
    params=OverlayParams,
    phases=(FOLLOW, LIST, RENDER),
    choose=_phases,
    files={
        "tracks": FileType("tracks.json", JSON_TYPE, asked_by="follows"),
        "preview": replace(PREVIEW, asked_by="follows"),
        "contact_sheet": FileType("contact_sheet.png", "image/png"),
    },
)
