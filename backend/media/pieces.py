"""Into which pieces a film is rendered, and what whoever renders one is told. No media is touched here."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from backend.media.facts import VideoFacts

# A shot that starts within this share of a piece's length from the even mark moves the boundary there.
REACH = 0.25
# Filters look at neighbours of a frame (bwdif at one on either side), so decoding begins a little earlier.
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
    frame_pts: NDArray[np.int64], shots: Sequence[tuple[int, int]], time_base: Fraction, piece_seconds: float
) -> list[int]:
    """Rows of `frame_pts` at which pieces begin, 0 first, and at last their number: pieces lie between neighbours.

    They are about `piece_seconds` long, all alike, but that a boundary moves to a shot's start where one is near: there
    an encoder begins anew anyway. `shots` are rows [start, stop).
    """
    seconds = (frame_pts - frame_pts[0]) * float(time_base)
    count = max(1, round(float(seconds[-1]) / piece_seconds))
    length_sec = float(seconds[-1]) / count
    starts = np.array(sorted(start for start, _ in shots if 0 < start < len(frame_pts)), np.int64)
    rows = [0]
    for number in range(1, count):
        row = _row_near(number * length_sec, seconds, starts, REACH * length_sec)
        if rows[-1] < row < len(frame_pts):  # a pause in the picture may hold several marks
            rows.append(row)
    return [*rows, len(frame_pts)]


def spans(frame_pts: NDArray[np.int64], boundaries: Sequence[int]) -> list[Span]:
    """One for each piece between the boundaries."""
    return [_span(frame_pts, first, stop) for first, stop in pairwise(boundaries)]


def path_rows(span: Span, frame_pts: NDArray[np.int64]) -> slice:
    """Which rows of the path the piece's order wants: its own, and those that the encoder looks ahead at."""
    first = int(np.searchsorted(frame_pts, span.start_pts))
    return slice(first, min(len(frame_pts), first + span.frames + LOOKAHEAD_FRAMES))


def _span(frame_pts: NDArray[np.int64], first: int, stop: int) -> Span:
    return Span(
        lead_pts=int(frame_pts[max(0, first - LEAD_FRAMES)]) if first else None,
        start_pts=int(frame_pts[first]),
        end_pts=int(frame_pts[stop]) if stop < len(frame_pts) else None,
        frames=stop - first,
    )


def _row_near(mark_sec: float, seconds: NDArray[np.float64], starts: NDArray[np.int64], reach_sec: float) -> int:
    """The nearest shot's start within reach, else the frame at the mark."""
    row = int(np.searchsorted(seconds, mark_sec))
    if len(starts):
        away: NDArray[Any] = np.abs(seconds[starts] - mark_sec)
        nearest = int(away.argmin())
        if away[nearest] <= reach_sec:
            return int(starts[nearest])
    return row
