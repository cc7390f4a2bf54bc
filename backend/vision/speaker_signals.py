"""What mouths and voice have in common, on one grid over the film.

A mouth moves most where the level of its sound changes. What is compared is how far a mouth moves and how fast the
level changes, each against its own last seconds. How much earlier a mouth moves than it is heard is measured for the
film: speakers differ (Chandrasekaran et al., The natural statistics of audiovisual speech, PLoS Comput Biol 2009),
and so do recordings. Where no such time fits better than chance, the sound is not of these mouths: a film that was
dubbed, a commentator who is not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.vision.speech import LEVEL_SEC, Voice
from backend.vision.timeline import Timeline

Floats = NDArray[np.float64]

GRID_SEC = 0.04
# Against how long a stretch a signal is measured.
_WINDOW_SEC = 3.0
# How loud it is, is a power of the amplitude: of decibels the quietest would count most. Its change is taken over twice
# this, smoothed a little.
_LOUDNESS_POWER, _CHANGE_SEC, _SMOOTH_SEC = 0.3, 0.03, 0.02
# A mouth that is seen less often than this tells nothing in between.
_LONGEST_GAP_SEC = 0.3
# Motion in face widths a second: below the one it is noise, from the other on a mouth moves.
_NOISE_PER_SEC, _MOVING_PER_SEC = 0.02, 0.06
_MOVING_SEC, _MOVING_SOFTNESS = 1.0, 0.35
# Differences of logarithms, and of loudness, below these are noise, however steadily they come.
_LEAST_SPREAD, _LEAST_SPREAD_LOUDNESS = 0.15, 0.002
_MOST_DEVIATION = 2.5
# How much earlier a mouth may move than it is heard, and what is tried for what chance gives.
_LEADS_SEC = np.arange(-0.2, 0.321, GRID_SEC)
_CHANCE_SEC = np.concatenate([-np.arange(0.6, 2.41, 0.08), np.arange(0.6, 2.41, 0.08)])
# Standard deviations of chance by which the best of them must stand out, and of how long a stretch one person is taken
# to be the speaker.
_LEAST_SIGNIFICANCE = 2.5
_BLOCK_SEC = 2.0
# Syllables come every 0.2 s or so: of several that fit, the likelier one.
_USUAL_LEAD_SEC, _USUAL_LEAD_SPREAD_SEC = 0.06, 0.12


@dataclass(frozen=True, eq=False)
class Mouth:
    """The motion of one person's mouth: at `pts` (n,), in face widths since the sample before; NaN where no face is
    seen."""

    track_id: int
    pts: NDArray[np.int64]
    motion: Floats


@dataclass(frozen=True, eq=False)
class Motion:
    """One mouth on the grid from `first` on (n,): its motion, measured against its own last seconds, and how surely it
    moves at all (0 to 1). NaN where none is seen."""

    track_id: int
    first: int
    deviation: Floats
    moves: Floats


@dataclass(frozen=True, eq=False)
class Signals:
    """On the grid `times_sec` (n,): who is seen to move the mouth, and how probably somebody speaks. `lead_sec`: how
    much earlier the mouths move than they are heard; None where sound and mouths have nothing in common."""

    times_sec: Floats
    mouths: list[Motion]
    speech: Floats
    lead_sec: float | None
    change: Floats  # of the level when what is moved at this time is heard, as `deviation`

    @classmethod
    def of(cls, mouths: Sequence[Mouth], voice: Voice, timeline: Timeline) -> Signals:
        times_sec = np.arange(0.0, float(timeline.times_sec[-1]) + GRID_SEC, GRID_SEC)
        on_grid = [each for each in (_on_grid(mouth, timeline, times_sec) for mouth in mouths) if each]
        speech = voice.speech_at(times_sec)
        lead_sec = _lead_sec(on_grid, voice, times_sec, speech)
        return cls(times_sec, on_grid, speech, lead_sec, _change(voice, times_sec + (lead_sec or 0.0)))


def _on_grid(mouth: Mouth, timeline: Timeline, times_sec: Floats) -> Motion | None:
    at_sec = (mouth.pts - int(timeline.frame_pts[0])).astype(np.float64) * float(timeline.time_base)
    gap_sec = np.diff(at_sec, prepend=at_sec[:1] - GRID_SEC)
    seen = np.isfinite(mouth.motion) & (gap_sec < _LONGEST_GAP_SEC)
    if seen.sum() < 2:
        return None
    # What moved since the sample before moved in the middle between both, on average.
    middle_sec = (at_sec - gap_sec / 2)[seen]
    value = np.log(mouth.motion[seen] / gap_sec[seen] + _NOISE_PER_SEC)
    first, last = (int(each) for each in np.searchsorted(times_sec, middle_sec[[0, -1]]))
    if last <= first:
        return None
    grid = times_sec[first:last]
    after = np.clip(np.searchsorted(middle_sec, grid), 1, len(middle_sec) - 1)
    known = middle_sec[after] - middle_sec[after - 1] <= _LONGEST_GAP_SEC
    found = np.interp(grid, middle_sec, value)
    above = _mean(found, known, _MOVING_SEC) - np.log(_MOVING_PER_SEC + _NOISE_PER_SEC)
    moves = 1 / (1 + np.exp(-above / _MOVING_SOFTNESS))
    deviation = _deviation(found, known, _LEAST_SPREAD)
    return Motion(mouth.track_id, first, np.where(known, deviation, np.nan), np.where(known, moves, np.nan))


def _change(voice: Voice, times_sec: Floats) -> Floats:
    """How fast the level changes, either way, against the seconds around."""
    from scipy.ndimage import gaussian_filter1d  # slow to import

    if not voice:
        return np.zeros(len(times_sec))
    loudness = 10 ** (_LOUDNESS_POWER * voice.level_db / 20)
    smooth = gaussian_filter1d(loudness, _SMOOTH_SEC / LEVEL_SEC)
    before, after = (np.interp(times_sec + step, voice.level_sec, smooth) for step in (-_CHANGE_SEC, _CHANGE_SEC))
    change = np.abs(after - before)
    return _deviation(change, np.ones(len(change), np.bool_), _LEAST_SPREAD_LOUDNESS)


def _lead_sec(mouths: Sequence[Motion], voice: Voice, times_sec: Floats, speech: Floats) -> float | None:
    """The one with which most of what is heard is seen, where it stands out of what chance gives."""
    if not voice or not mouths:
        return None
    shared = [_shared(mouths, _change(voice, times_sec + lead) * speech) for lead in _LEADS_SEC]
    chance = [_shared(mouths, _change(voice, times_sec + lead) * speech) for lead in _CHANCE_SEC]
    above = np.asarray(shared) - np.mean(chance)
    usual = np.exp(-0.5 * np.square((_LEADS_SEC - _USUAL_LEAD_SEC) / _USUAL_LEAD_SPREAD_SEC))
    best = int(np.argmax(above * usual))
    is_plain = above[best] > max(_LEAST_SIGNIFICANCE * float(np.std(chance)), 1e-9)
    return float(_LEADS_SEC[best]) if is_plain else None


def _shared(mouths: Sequence[Motion], change: Floats) -> float:
    """How far mouths move as `change` does (the mean product), of whoever does so most in each stretch."""
    size = round(_BLOCK_SEC / GRID_SEC)
    best = np.zeros(len(change) // size + 1)
    for mouth in mouths:
        at = np.arange(mouth.first, mouth.first + len(mouth.deviation))
        product = np.nan_to_num(mouth.deviation) * change[at]
        own = np.bincount(at // size, product, len(best)) / size
        best = np.maximum(best, own)
    return float(best.mean())


def _deviation(values: Floats, known: NDArray[np.bool_], least_spread: float) -> Floats:
    """From the mean of the seconds around, in their standard deviations; nought where nothing is known."""
    off = np.where(known, values - _mean(values, known, _WINDOW_SEC), 0.0)
    spread = np.sqrt(np.maximum(_mean(off**2, known, _WINDOW_SEC), 0.0))
    return np.asarray(np.clip(off / np.maximum(spread, least_spread), -_MOST_DEVIATION, _MOST_DEVIATION))


def _mean(values: Floats, known: NDArray[np.bool_], seconds: float) -> Floats:
    """Of the known values around each."""
    from scipy.ndimage import uniform_filter1d  # slow to import

    size = max(1, round(seconds / GRID_SEC))
    weight = uniform_filter1d(known.astype(np.float64), size, mode="constant")
    total = uniform_filter1d(np.where(known, values, 0.0), size, mode="constant")
    return np.asarray(total / np.maximum(weight, 1e-9))
