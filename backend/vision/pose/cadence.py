"""The rhythm of a person's motion: steps or repetitions a minute, from the spectrum of what swings most regularly.

The Lomb-Scargle periodogram (Lomb 1976, Scargle 1982; with a floating mean, Zechmeister and Kürster 2009) takes samples
at any times, so that nothing is interpolated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backend.vision.pose.person import Person
from backend.vision.pose.phases import Activity

Floats = NDArray[np.float64]

LONGEST_WINDOW_SEC = 30.0
LOWEST_HZ, HIGHEST_HZ = 0.2, 4.0
MIN_CYCLES = 3.0  # in a window; fewer are no rhythm
MIN_SAMPLES = 12
SURE_FROM = 0.6
_FINENESS = 10  # frequencies that are tried, for each that the window's length tells apart
_HARMONIC_GAIN = 0.15  # a wave of half the frequency must explain so much more to be the rhythm
_MIN_SWING = {"degrees": 5.0, "heights": 0.02}  # standard deviation


@dataclass(frozen=True)
class Cadence:
    """`sureness`: the share of the motion's variance that the rhythm explains, 0 to 1. `counts`: left and right in turn
    are steps, two in each cycle."""

    start_sec: float
    end_sec: float
    per_minute: float
    counts: Literal["steps", "repetitions"]
    of: str  # what swings
    sureness: float


@dataclass(frozen=True, eq=False)
class _Signal:
    name: str
    values: Floats
    unit: Literal["degrees", "heights"]
    counts: Literal["steps", "repetitions"]


def cadences(person: Person, angles: Mapping[str, Floats], phases: Sequence[Activity]) -> list[Cadence]:
    """Of each time in which the person moves, in windows of at most half a minute; none where nothing is regular."""
    signals = _signals(person, angles)
    found = []
    for phase in phases:
        if phase.state == "moving":
            found += [cadence for window in _windows(person, phase) if (cadence := _of_window(person, signals, window))]
    return found


def overall(found: Sequence[Cadence]) -> Cadence | None:
    """The one rhythm of most of the time: the median of the windows that count the same, weighed by their time."""
    sure = [cadence for cadence in found if cadence.sureness >= SURE_FROM]
    if not sure:
        return None
    time_of = {unit: sum(_seconds(each) for each in sure if each.counts == unit) for unit in ("steps", "repetitions")}
    alike = sorted((each for each in sure if each.counts == max(time_of, key=time_of.__getitem__)), key=_rate)
    weights = np.cumsum([_seconds(each) for each in alike])
    return alike[int(np.searchsorted(weights, weights[-1] / 2))]


def _seconds(cadence: Cadence) -> float:
    return cadence.end_sec - cadence.start_sec


def _rate(cadence: Cadence) -> float:
    return cadence.per_minute


def _signals(person: Person, angles: Mapping[str, Floats]) -> list[_Signal]:
    apart = (person.place_of("left_ankle") - person.place_of("right_ankle")) / person.height_px
    steps = [
        _Signal("ankles, left against right, across", apart[:, 0], "heights", "steps"),
        _Signal("ankles, left against right, up and down", apart[:, 1], "heights", "steps"),
        _Signal("knees, left against right", angles["left_knee"] - angles["right_knee"], "degrees", "steps"),
    ]
    both = [
        _Signal(f"both {joint}s", (angles[f"left_{joint}"] + angles[f"right_{joint}"]) / 2, "degrees", "repetitions")
        for joint in ("knee", "hip", "shoulder", "elbow")
    ]
    single = [
        _Signal(name.replace("_", " "), angles[name], "degrees", "repetitions")
        for joint in ("shoulder", "elbow")
        for name in (f"left_{joint}", f"right_{joint}")
    ]
    return [*steps, *both, *single]


def _windows(person: Person, phase: Activity) -> list[slice]:
    """Equal parts of the phase, none longer than a window may be."""
    count = max(1, int(np.ceil(phase.seconds / LONGEST_WINDOW_SEC)))
    edges_sec = np.linspace(phase.start_sec, phase.end_sec, count + 1)[1:-1]
    inner = phase.start + np.searchsorted(person.times_sec[phase.start : phase.stop], edges_sec)
    edges = [phase.start, *inner.tolist(), phase.stop]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _of_window(person: Person, signals: Sequence[_Signal], window: slice) -> Cadence | None:
    times_sec = person.times_sec[window]
    best: Cadence | None = None
    for signal in signals:
        peak = _peak(times_sec, signal.values[window], _MIN_SWING[signal.unit])
        if peak is not None and (best is None or peak[1] > best.sureness):
            per_minute = 60.0 * peak[0] * (2 if signal.counts == "steps" else 1)
            ends_sec = (float(times_sec[0]), float(times_sec[-1]))
            best = Cadence(*ends_sec, per_minute, signal.counts, signal.name, peak[1])
    return best


def _peak(times_sec: Floats, values: Floats, min_swing: float) -> tuple[float, float] | None:
    """Frequency in Hz and the share of variance that it explains."""
    from scipy.signal import lombscargle  # slow to import, and only aggregators look for rhythms

    seen = np.isfinite(values)
    # What is seen for half of the time only says little about all of it.
    if seen.sum() < max(MIN_SAMPLES, len(values) / 2) or values[seen].std() < min_swing:
        return None
    since_sec, swing = times_sec[seen] - times_sec[seen][0], values[seen] - values[seen].mean()
    duration_sec = float(since_sec[-1])
    highest_hz = min(HIGHEST_HZ, 0.45 / float(np.median(np.diff(since_sec))))
    lowest_hz = max(LOWEST_HZ, MIN_CYCLES / duration_sec)
    if lowest_hz >= highest_hz:
        return None
    tried_hz = np.arange(lowest_hz, highest_hz, 1.0 / (_FINENESS * duration_sec))
    power = lombscargle(since_sec, swing, 2 * np.pi * tried_hz, normalize=True, floating_mean=True)
    at = int(np.argmax(power))
    peak_hz, sureness = _refined(tried_hz, np.asarray(power), at), float(min(1.0, power[at]))
    if peak_hz / 2 >= lowest_hz:
        with_half = _explained(since_sec, swing, peak_hz / 2)
        if with_half > sureness + _HARMONIC_GAIN:
            return peak_hz / 2, with_half
    return peak_hz, sureness


def _refined(tried_hz: Floats, power: Floats, at: int) -> float:
    """The top of the parabola through the peak and its neighbours."""
    if not 0 < at < len(power) - 1:
        return float(tried_hz[at])
    low, top, high = power[at - 1 : at + 2]
    bend = low - 2 * top + high
    return float(tried_hz[at] + (0.5 * (low - high) / bend if bend < 0 else 0.0) * (tried_hz[1] - tried_hz[0]))


def _explained(since_sec: Floats, swing: Floats, hz: float) -> float:
    """The share of variance that a wave of this frequency and its second harmonic explain."""
    turns = 2 * np.pi * hz * since_sec
    waves = np.column_stack([np.ones_like(turns), *(f(n * turns) for n in (1, 2) for f in (np.sin, np.cos))])
    rest = swing - waves @ np.linalg.lstsq(waves, swing)[0]
    return float(1.0 - rest.var() / swing.var())
