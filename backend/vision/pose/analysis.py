"""All that is measured of one person: angles, speeds, symmetry, phases, rhythm. No file and no picture is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.vision.pose.angles import joint_angles
from backend.vision.pose.cadence import Cadence, cadences, overall
from backend.vision.pose.person import Person
from backend.vision.pose.phases import Activity, activities, body_speed
from backend.vision.pose.skeleton import LEANS
from backend.vision.pose.speeds import smoothed
from backend.vision.pose.symmetry import Symmetry, symmetries

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Analysis:
    """Series are (n,), one number for each of the person's samples, NaN where nothing can be said.

    `angles` as measured, in degrees; `steady` without the detector's noise, `speeds` its change in degrees a second;
    `body_speed` in heights a second.
    """

    person: Person
    angles: Mapping[str, Floats]
    steady: Mapping[str, Floats]
    speeds: Mapping[str, Floats]
    body_speed: Floats
    phases: Sequence[Activity]
    symmetry: Sequence[Symmetry]
    cadences: Sequence[Cadence]

    @property
    def cadence(self) -> Cadence | None:
        return overall(self.cadences)

    @property
    def moving_sec(self) -> float:
        return sum(phase.seconds for phase in self.phases if phase.state == "moving")

    @property
    def still_sec(self) -> float:
        return sum(phase.seconds for phase in self.phases if phase.state == "still")


def analyse(person: Person) -> Analysis:
    angles = joint_angles(person.places)
    series = {name: smoothed(person.times_sec, _unwound(name, values)) for name, values in angles.items()}
    speed = body_speed(person)
    phases = activities(person, speed)
    return Analysis(
        person=person,
        angles=angles,
        steady={name: level for name, (level, _) in series.items()},
        speeds={name: change for name, (_, change) in series.items()},
        body_speed=speed,
        phases=phases,
        symmetry=symmetries(angles),
        cadences=cadences(person, angles, phases),
    )


def _unwound(name: str, values: Floats) -> Floats:
    """A lean that passes from 180 to -180 degrees is no turn of 360."""
    seen = np.isfinite(values)
    if name not in LEANS or not seen.any():
        return values
    unwound = values.copy()
    unwound[seen] = np.unwrap(values[seen], period=360.0)
    return unwound
