"""Into which pieces a film is rendered, and what whoever renders one is told. No media is touched here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from backend.media.facts import VideoFacts

# A shot that starts within this share of a piece's length from the even mark moves the boundary there.
REACH = 0.25
# The deinterlacer looks at neighbours of a frame, so there decoding begins a little earlier.
LEAD_FRAMES = 2
# x264 and x265 choose the quality of a frame by what comes after it. A piece is encoded with as much of the next one
# as their presets look ahead, and that is thrown away: otherwise its last frames would be coarser than in one go.
LOOKAHEAD_FRAMES = 40
# Where a seek finds the same packets of sound as reading from the beginning does.
SEEKABLE = frozenset({"mov", "matroska", "mpegts"})


class Span(BaseModel):
    """Which frames make a piece, by PTS in the stream's time base."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lead_pts: int | None  # of the frame to begin decoding at; None: the film's first piece
    start_pts: int
    end_pts: int | None  # of the first frame of the next piece; None: the film's last piece
    frames: int = Field(gt=0)


def can_fan_out(facts: VideoFacts) -> bool:
    """Whether pieces of this film, read on their own, make the film that one reader from the beginning makes."""
    return not facts.reads_on and facts.appearance is not None and not SEEKABLE.isdisjoint(facts.container.split(","))


def piece_boundaries(
    frame_pts: NDArray[np.int64],
    shots: Sequence[tuple[int, int]],
    time_base: Fraction,
    piece_seconds: float,
    keyframe_pts: Iterable[int] = (),
) -> list[int]:
    """Rows of `frame_pts` at which pieces begin, 0 first, and at last their number: pieces lie between neighbours.

    They are about `piece_seconds` long, all alike, but that a boundary moves to a better place that is near. Best is
    the start of a shot with a keyframe of the source; then a keyframe, from which nothing is read and decoded in vain;
    then the start of a shot, where the encoder begins anew anyway. `shots` are rows [start, stop); `keyframe_pts` are
    those that are known: the starts of chunks are mostly such.
    """
    seconds = (frame_pts - frame_pts[0]) * float(time_base)
    count = max(1, round(float(seconds[-1]) / piece_seconds))
    length_sec = float(seconds[-1]) / count
    starts = np.array([start for start, _ in shots], np.int64)
    keyframes = np.flatnonzero(np.isin(frame_pts, np.fromiter(keyframe_pts, np.int64)))
    choices = (np.intersect1d(starts, keyframes), keyframes, starts)
    rows = [0]
    for number in range(1, count):
        row = _row_near(number * length_sec, seconds, choices, REACH * length_sec)
        if rows[-1] < row < len(frame_pts):  # a pause in the picture may hold several marks
            rows.append(row)
    return [*rows, len(frame_pts)]


def spans(frame_pts: NDArray[np.int64], boundaries: Sequence[int], *, interlaced: bool) -> list[Span]:
    """One for each piece between the boundaries."""
    lead = LEAD_FRAMES if interlaced else 0
    return [_span(frame_pts, first, stop, lead) for first, stop in pairwise(boundaries)]


def path_rows(span: Span, frame_pts: NDArray[np.int64]) -> slice:
    """Which rows of the path the piece's order wants: its own, and those that the encoder looks ahead at."""
    first = int(np.searchsorted(frame_pts, span.start_pts))
    return slice(first, min(len(frame_pts), first + span.frames + LOOKAHEAD_FRAMES))


def _span(frame_pts: NDArray[np.int64], first: int, stop: int, lead: int) -> Span:
    return Span(
        lead_pts=int(frame_pts[max(0, first - lead)]) if first else None,
        start_pts=int(frame_pts[first]),
        end_pts=int(frame_pts[stop]) if stop < len(frame_pts) else None,
        frames=stop - first,
    )


def _row_near(
    mark_sec: float, seconds: NDArray[np.float64], choices: Sequence[NDArray[np.int64]], reach_sec: float
) -> int:
    """The nearest row within reach of the first choice that has one, else the frame at the mark."""
    for rows in choices:
        away = np.abs(seconds[rows] - mark_sec)
        if len(rows) and away.min() <= reach_sec:
            return int(rows[away.argmin()])
    return int(np.searchsorted(seconds, mark_sec))
