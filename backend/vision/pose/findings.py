"""What is worth a look: each finding with its rule in words, its numbers, and the frames that show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backend.vision.pose.analysis import Analysis
from backend.vision.pose.cadence import SURE_FROM
from backend.vision.pose.person import MIN_VISIBILITY
from backend.vision.pose.skeleton import JOINTS, NUMBER
from backend.vision.timeline import runs

Floats = NDArray[np.float64]

UNEVEN_PCT = 20.0
LEAN_DEG, LEAN_SEC = 25.0, 0.5
DEEP_BEND_DEG = 90.0
FAST_DEG_PER_SEC = 400.0
STILL_SEC = 3.0
UNSEEN_SHARE = 0.5
LEGS = tuple(NUMBER[f"{side}_{name}"] for side in ("left", "right") for name in ("knee", "ankle"))


@dataclass(frozen=True)
class Look:
    """A frame to look at, by its PTS and time, and what is there to see."""

    pts: int
    time_sec: float
    shows: str


@dataclass(frozen=True)
class Finding:
    """`name` is stable, for programs; `title`, `rule` and what the frames show are for people."""

    name: str
    severity: Literal["info", "notice"]
    person_id: int
    title: str
    rule: str
    numbers: Mapping[str, float]
    frames: tuple[Look, ...]


def findings(analysis: Analysis) -> list[Finding]:
    """Of one person, what matters most first."""
    found = [finding for rule in _RULES for finding in rule(analysis)]
    return sorted(found, key=lambda finding: finding.severity != "notice")


def _uneven_sides(of: Analysis) -> Iterator[Finding]:
    for each in of.symmetry:
        if each.difference_pct is None or each.difference_pct < UNEVEN_PCT:
            continue
        more = "left" if each.left_range_deg > each.right_range_deg else "right"
        series = of.steady[f"{more}_{each.joint}"]
        yield Finding(
            name="uneven_sides",
            severity="notice",
            person_id=of.person.id,
            title=f"The {more} {each.joint} moves through {_most(each.left_range_deg, each.right_range_deg)} degrees, "
            f"the other through {_least(each.left_range_deg, each.right_range_deg)}",
            rule=f"The ranges of the two sides (middle 90 % of the angles) differ by {UNEVEN_PCT:.0f} % or more of the "
            "larger one. A view from the side shows one of the sides less well.",
            numbers={
                "left_range_deg": each.left_range_deg,
                "right_range_deg": each.right_range_deg,
                "difference_pct": each.difference_pct,
                "samples": each.samples,
            },
            frames=_extremes(of, series, f"{more} {each.joint}"),
        )


def _leaning_trunk(of: Analysis) -> Iterator[Finding]:
    lean = of.steady["trunk_lean"]
    longest = _longest(of, np.nan_to_num(np.abs(lean)) >= LEAN_DEG)
    if longest is None or longest[2] < LEAN_SEC:
        return
    start, stop, seconds = longest
    at = start + int(np.nanargmax(np.abs(lean[start:stop])))
    yield Finding(
        name="leaning_trunk",
        severity="notice",
        person_id=of.person.id,
        title=f"The trunk leans by up to {abs(lean[at]):.0f} degrees to the {'right' if lean[at] > 0 else 'left'}",
        rule=f"The line from the hips to the shoulders is {LEAN_DEG:.0f} degrees or more off the vertical of the "
        f"picture for {LEAN_SEC:g} s or longer.",
        numbers={"lean_deg": float(lean[at]), "seconds": seconds},
        frames=(_look(of, at, f"trunk leaning by {lean[at]:.0f} degrees"),),
    )


def _deep_bend(of: Analysis) -> Iterator[Finding]:
    for side in ("left", "right"):
        knee = of.steady[f"{side}_knee"]
        if np.isfinite(knee).any() and np.nanmin(knee) <= DEEP_BEND_DEG:
            at = int(np.nanargmin(knee))
            yield Finding(
                name="deep_knee_bend",
                severity="info",
                person_id=of.person.id,
                title=f"The {side} knee bends to {knee[at]:.0f} degrees",
                rule=f"The angle at the knee, 180 degrees when straight, is {DEEP_BEND_DEG:.0f} degrees or less.",
                numbers={"knee_deg": float(knee[at])},
                frames=(_look(of, at, f"{side} knee at {knee[at]:.0f} degrees"),),
            )


def _fast_joint(of: Analysis) -> Iterator[Finding]:
    peaks = {name: np.abs(of.speeds[name]) for name in JOINTS if np.isfinite(of.speeds[name]).any()}
    if not peaks:
        return
    name = max(peaks, key=lambda each: float(np.nanmax(peaks[each])))
    at = int(np.nanargmax(peaks[name]))
    if peaks[name][at] < FAST_DEG_PER_SEC:
        return
    words = name.replace("_", " ")
    yield Finding(
        name="fast_joint",
        severity="info",
        person_id=of.person.id,
        title=f"The fastest joint is the {words}, at {peaks[name][at]:.0f} degrees a second",
        rule=f"The highest angular speed of all joints is {FAST_DEG_PER_SEC:.0f} degrees a second or more.",
        numbers={"speed_deg_per_sec": float(peaks[name][at])},
        frames=(_look(of, at, f"{words} at its fastest"),),
    )


def _rhythm(of: Analysis) -> Iterator[Finding]:
    cadence = of.cadence
    if cadence is None:
        return
    at = int(np.searchsorted(of.person.times_sec, cadence.start_sec))
    yield Finding(
        name="rhythm",
        severity="info",
        person_id=of.person.id,
        title=f"A rhythm of {cadence.per_minute:.0f} {cadence.counts} a minute",
        rule=f"One wave explains {SURE_FROM:.0%} or more of the variance of what swings ({cadence.of}) while the "
        "person moves.",
        numbers={"per_minute": cadence.per_minute, "sureness": cadence.sureness},
        frames=(_look(of, at, "the rhythm begins"),),
    )


def _long_rest(of: Analysis) -> Iterator[Finding]:
    rests = [phase for phase in of.phases if phase.state == "still"]
    longest = max(rests, key=lambda phase: phase.seconds, default=None)
    if longest is None or longest.seconds < STILL_SEC:
        return
    yield Finding(
        name="long_rest",
        severity="info",
        person_id=of.person.id,
        title=f"Still for {longest.seconds:.1f} s",
        rule=f"The body moves by less than a small share of its height a second for {STILL_SEC:g} s or longer.",
        numbers={"seconds": longest.seconds, "start_sec": longest.start_sec, "end_sec": longest.end_sec},
        frames=(_look(of, longest.start, "the rest begins"),),
    )


def _legs_unseen(of: Analysis) -> Iterator[Finding]:
    unseen = (of.person.landmarks[:, LEGS, 2] < MIN_VISIBILITY).any(axis=1)
    if unseen.mean() < UNSEEN_SHARE:
        return
    yield Finding(
        name="legs_unseen",
        severity="notice",
        person_id=of.person.id,
        title=f"The legs are not wholly seen in {unseen.mean():.0%} of the samples",
        rule=f"A knee or an ankle is less visible than {MIN_VISIBILITY:g} in {UNSEEN_SHARE:.0%} of the samples or "
        "more: angles, symmetry and rhythm of the legs are known for the rest only.",
        numbers={"unseen_pct": 100.0 * float(unseen.mean()), "samples": len(of.person)},
        frames=(_look(of, int(np.argmax(unseen)), "legs not wholly seen"),),
    )


_RULES: tuple[Callable[[Analysis], Iterator[Finding]], ...] = (
    _uneven_sides,
    _leaning_trunk,
    _legs_unseen,
    _rhythm,
    _deep_bend,
    _fast_joint,
    _long_rest,
)


def _look(of: Analysis, sample: int, shows: str) -> Look:
    return Look(int(of.person.pts[sample]), float(of.person.times_sec[sample]), shows)


def _extremes(of: Analysis, series: Floats, words: str) -> tuple[Look, ...]:
    if not np.isfinite(series).any():
        return ()
    low, high = int(np.nanargmin(series)), int(np.nanargmax(series))
    return tuple(_look(of, at, f"{words} at {series[at]:.0f} degrees") for at in (low, high))


def _longest(of: Analysis, holds: NDArray[np.bool_]) -> tuple[int, int, float] | None:
    """The longest stretch of samples, and its seconds."""
    times_sec = of.person.times_sec
    found = [(start, stop, float(times_sec[stop - 1] - times_sec[start])) for start, stop in runs(holds)]
    return max(found, key=lambda each: each[2], default=None)


def _most(one: float, other: float) -> str:
    return f"{max(one, other):.0f}"


def _least(one: float, other: float) -> str:
    return f"{min(one, other):.0f}"
