"""Time is an integer PTS in a stream's time base. Seconds are for people and for settings."""

from __future__ import annotations

from fractions import Fraction


def seconds(pts: int, time_base: Fraction) -> float:
    return float(pts * time_base)


def pts_at(seconds_from_zero: float, time_base: Fraction) -> int:
    """The PTS nearest to a time in seconds."""
    return round(Fraction(seconds_from_zero) / time_base)


class SampleGrid:
    """Picks about `sample_fps` frames a second: the first frame of each cell of a grid anchored at `origin_pts`.

    The grid is anchored in the stream, not in the chunk. A chunk that begins at the edge of a cell samples the frames
    that one pass would; where it begins elsewhere its first frame is taken all the same, by its worker and by the one
    that runs over it, so that both sample the same frames from there on.
    """

    def __init__(self, origin_pts: int, time_base: Fraction, sample_fps: float) -> None:
        self._origin_pts = origin_pts
        self._cells_per_tick = Fraction(sample_fps).limit_denominator(1000) * time_base
        self._last_cell: int | None = None

    def edge_from(self, pts: int) -> int:
        """The first PTS, from this one on, at which a cell begins: no frame of that cell lies before it."""
        cell = ((pts - 1 - self._origin_pts) * self._cells_per_tick).__floor__() + 1
        return self._origin_pts + (cell / self._cells_per_tick).__ceil__()

    def takes(self, pts: int, *, boundary: bool = False) -> bool:
        """Whether this frame is sampled. Call once for every frame, in order; `boundary` forces a sample."""
        cell = ((pts - self._origin_pts) * self._cells_per_tick).__floor__()
        taken = boundary or cell != self._last_cell
        self._last_cell = cell
        return taken
