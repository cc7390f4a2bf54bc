"""Films that a kind designs: what is shown of every frame, and what is drawn over it. Where nobody has to be looked
for, the frames are listed first; then the film is rendered, or handed on in pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backend.errors import FrameMismatch
from backend.kinds import accounts, film
from backend.kinds.base import Done, Onward, Whole
from backend.kinds.context import WholeContext
from backend.kinds.film_plan import Film, Layer, Rows, source_order
from backend.kinds.listing import Listing, list_frames
from backend.kinds.params import P_contra
from backend.kinds.sheet import no_sheet, sheet_of_windows
from backend.states import Stage
from backend.vision.timeline import Timeline

# Packets are listed in seconds; where frames have to be decoded for it, that takes up to a third of rendering.
LISTED_SHARE = 0.05


@dataclass(frozen=True, eq=False)
class Design:
    """What a kind makes of the frames. `windows` (frames, 4): x, y, width, height in upright source pixels; `look`:
    crf, preset, hdr, fill and draw_timestamp of backend.media.cropper.CropOrder; `shots`: ranges of frames between
    cuts, [start, stop), where they are known."""

    windows: Rows
    output_size: tuple[int, int]
    look: Mapping[str, Any]
    layers: Sequence[Layer] = ()
    shots: Sequence[tuple[int, int]] = ()
    has_sheet: bool = True  # then the kind's files name contact_sheet.png
    files: Mapping[str, bytes] = field(default_factory=dict)
    warnings: Sequence[str] = ()


Designer = Callable[[WholeContext[P_contra], Timeline], Design]


class PlanFilm(Whole[P_contra]):
    """The first step of such a kind, without chunks before it; film.RenderPieces and film.JoinFilm follow."""

    weight = 30.0
    stage = Stage.RENDERING
    words = "listing the frames and rendering"
    patience = 4.0  # a file without an index is read to its end before the first frame of it is known

    def __init__(self, design: Designer[P_contra]) -> None:
        """`design` raises InvalidParams for what does not fit this film."""
        self._design = design

    def work(self, context: WholeContext[P_contra]) -> Done | Onward:
        """Raises MediaTruncated, MediaUndecodable, EncodeFailed, and what `design` raises."""
        listing = list_frames(context, lambda share: context.report(LISTED_SHARE * share))
        try:
            return self._made(context, listing)
        except FrameMismatch:
            if not listing.is_guess:
                raise
        return self._made(context, list_frames(context, lambda share: context.report(LISTED_SHARE), decode=True))

    def _made(self, context: WholeContext[P_contra], listing: Listing) -> Done | Onward:
        warnings = accounts.decoded(context.facts, listing.frame_pts)
        facts = context.facts
        timeline = Timeline(listing.frame_pts, facts.time_base_fraction, (facts.width, facts.height))
        design = self._design(context, timeline)
        whole = film_of(context, timeline, design, listing.keyframe_pts, is_guess=listing.is_guess)
        return film.make(context, whole, done=LISTED_SHARE, files=design.files, warnings=[*warnings, *design.warnings])


def film_of(
    context: WholeContext[P_contra],
    timeline: Timeline,
    design: Design,
    keyframe_pts: Sequence[int],
    *,
    is_guess: bool = False,
) -> Film:
    """The design as a film of these frames. `is_guess`: see Film."""
    ticks = (timeline.frame_pts - int(timeline.frame_pts[0])).astype(np.float64)
    width, height = design.output_size
    source = source_order(context.facts, context.settings, int(timeline.frame_pts[0]))
    return Film(
        order=source | dict(design.look) | {"output_width": width, "output_height": height},
        path=np.column_stack([ticks, design.windows]),
        frame_pts=timeline.frame_pts,
        shots=design.shots or [(0, len(timeline))],
        keyframe_pts=keyframe_pts,
        sheet=sheet_of_windows(timeline, design.windows) if design.has_sheet else no_sheet(timeline.frame_size),
        layers=design.layers,
        is_guess=is_guess,
    )
