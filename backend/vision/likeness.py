"""Whether two tracks look like one person, as a log likelihood ratio learnt from the film itself,
with log distances as normal.

Two people who are in the picture at once are two; the ends of one unbroken track are one. What lies between them tells
how much looks say in this film: a lot where clothes differ, nothing among people in uniform.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.vision.looks_record import distances
from backend.vision.stitch import Track

Floats = NDArray[np.float64]

# Log distances between means of the same person, and of two, in films at large, their spread, and for how many pairs
# that counts.
_SAME, _OTHER, _SPREAD, _USUAL_PAIRS = -2.5, -1.25, 0.5, 6.0
_PAIRS_AT_ONCE = 20_000  # their looks are large
_MOST_PAIRS = 400  # that are looked at, of each sort
_LEAST = 0.01  # nobody looks the same to the last bit
# However alike: others who are not in the film wear the same; however different: light changes.
_HIGHEST, _LOWEST = 4.0, -6.0
_HALVES_MIN_SAMPLES = 10
# A sample behind another person counts for so much of one that stands alone; so many make looks half known.
_HIDDEN_WEIGHT, _HALF_KNOWN = 0.05, 2.0


@dataclass(frozen=True, eq=False)
class Looks:
    """Means (n, LOOKS_BYTES) over tracks, how well each is known (n,), 0 to 1, and which of them are meant (m,)."""

    mean: Floats
    known: Floats
    rows: NDArray[np.int64]

    def of(self, rows: NDArray[np.int64]) -> Looks:
        return replace(self, rows=rows)


@dataclass(frozen=True)
class Likeness:
    """Typical log distances of one person from themselves, and of two, and their spread."""

    same: float
    other: float
    spread: float

    def ratio(self, first: Looks, second: Looks) -> Floats:
        """How much likelier each pair is one person than two, as a logarithm; 0 where nothing is known."""
        apart = np.empty(len(first.rows))
        for start in range(0, len(apart), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            apart[part] = _log(distances(first.mean[first.rows[part]], second.mean[second.rows[part]]))
        told = (self.other - self.same) / self.spread**2 * ((self.same + self.other) / 2 - apart)
        return np.asarray(
            np.clip(told, _LOWEST, _HIGHEST) * np.minimum(first.known[first.rows], second.known[second.rows])
        )


def looks_of(tracks: Sequence[Track], hidden: Sequence[Floats], least: float) -> Looks:
    """`hidden`: how much of each sample lies behind others; from `least` on it tells little."""
    rows = [_mean(track, behind < least) for track, behind in zip(tracks, hidden, strict=True)]
    width = max((len(mean) for mean, _ in rows), default=0)
    means = np.array([mean if len(mean) else np.zeros(width) for mean, _ in rows]).reshape(len(rows), width)
    return Looks(means, np.array([known for _, known in rows]), np.arange(len(rows)))


def learnt(tracks: Sequence[Track], met: Sequence[Floats], hidden: Sequence[Floats], least: float) -> Likeness:
    """From the film's own tracks and their `overlaps`; with few, what holds at large. Medians, since some tracks are of
    two people."""
    looks = looks_of(tracks, hidden, least)
    same = _usual(_log(_halves(tracks, met, least)), _SAME)
    other = max(same, _usual(_log(_present_together(tracks, looks)), _OTHER))
    return Likeness(same, other, _SPREAD)


def _usual(found: Floats, at_large: float) -> float:
    """A median, with what holds at large as so many values more."""
    if not len(found):
        return at_large
    return float((np.median(found) * len(found) + at_large * _USUAL_PAIRS) / (len(found) + _USUAL_PAIRS))


def _log(apart: Floats) -> Floats:
    return np.asarray(np.log(apart + _LEAST))


def _mean(track: Track, alone: NDArray[np.bool_]) -> tuple[Floats, float]:
    if track.looks is None:
        return np.empty(0), 0.0
    weights = track.confidence * np.where(alone, 1.0, _HIDDEN_WEIGHT) * track.looks.any(axis=1)
    total = float(weights.sum())
    if total <= 0:
        return np.zeros(track.looks.shape[1]), 0.0
    return weights @ track.looks / total, total / (total + _HALF_KNOWN)


def _halves(tracks: Sequence[Track], met: Sequence[Floats], least: float) -> Floats:
    """Between the first and last third of tracks that met nobody on the way."""
    alone = [
        (track, own)
        for track, own in zip(tracks, met, strict=True)
        if track.looks is not None and len(own) >= _HALVES_MIN_SAMPLES and own.max() < least
    ][:_MOST_PAIRS]
    if not alone:
        return np.empty(0)
    thirds = [(track, own, len(own) // 3) for track, own in alone]
    first = looks_of([t.between(0, n) for t, _, n in thirds], [met[:n] for _, met, n in thirds], least)
    last = looks_of([t.between(len(m) - n, len(m)) for t, m, n in thirds], [m[-n:] for _, m, n in thirds], least)
    sure = np.minimum(first.known, last.known) > 0.4
    return distances(first.mean, last.mean)[sure]


def _present_together(tracks: Sequence[Track], looks: Looks) -> Floats:
    """Between tracks of which one begins while the other goes on."""
    order = np.argsort([int(track.pts[0]) for track in tracks], kind="stable")
    pairs: list[tuple[int, int]] = []
    present: list[int] = []
    for number in order.tolist():
        start = int(tracks[number].pts[0])
        present = [other for other in present if int(tracks[other].pts[-1]) > start]
        if looks.known[number] > 0.4:
            pairs += [(other, number) for other in present]
            present.append(number)
    if not pairs:
        return np.empty(0)
    every = max(1, len(pairs) // _MOST_PAIRS)
    first, second = np.array(pairs[::every]).T
    return distances(looks.mean[first], looks.mean[second])
