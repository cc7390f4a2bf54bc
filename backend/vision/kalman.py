"""Where a box will be next: a Kalman filter with constant velocity over (centre x, centre y, width / height, height).

The filter of SORT's line of trackers, with the weights of DeepSORT (Wojke, Bewley and Paulus, ICIP 2017), which
ByteTrack kept: noise is in proportion to the box's height. A step is one frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_POSITION, _VELOCITY = 1 / 20, 1 / 160  # of the height
_STEP = np.eye(8) + np.eye(8, k=4)  # the first four of a state are measured, the others are their velocities


def measured(boxes: Array) -> Array:
    """(n, 4) boxes x1, y1, x2, y2 as the filter measures them."""
    size = boxes[:, 2:] - boxes[:, :2]
    centre = boxes[:, :2] + size / 2
    return np.column_stack([centre, size[:, 0] / size[:, 1], size[:, 1]])


def boxes_of(means: Array) -> Array:
    """The boxes (n, 4) of states (n, 8)."""
    size = np.column_stack([means[:, 2] * means[:, 3], means[:, 3]])
    return np.hstack([means[:, :2] - size / 2, means[:, :2] + size / 2])


def started(measurement: Array) -> tuple[Array, Array]:
    """The state (8,) and covariance (8, 8) of a box seen for the first time: nobody knows how it moves."""
    height = measurement[3]
    deviations = height * np.array([2, 2, 0, 2, 0, 0, 0, 0]) * _POSITION
    deviations += height * np.array([0, 0, 0, 0, 10, 10, 0, 10]) * _VELOCITY
    deviations[[2, 6]] = 1e-2, 1e-5  # of the aspect, which has no unit
    return np.concatenate([measurement, np.zeros(4)]), np.diag(deviations**2)


def predicted(means: Array, covariances: Array) -> tuple[Array, Array]:
    """States (n, 8) and covariances (n, 8, 8) a frame later."""
    height = means[:, 3:4]
    deviations = height * np.array([_POSITION] * 4 + [_VELOCITY] * 4)
    deviations[:, [2, 6]] = 1e-2, 1e-5
    noise = deviations[:, :, None] ** 2 * np.eye(8)
    return means @ _STEP.T, _STEP @ covariances @ _STEP.T + noise


def corrected(mean: Array, covariance: Array, measurement: Array) -> tuple[Array, Array]:
    """The state and covariance once the box has been seen where `measurement` says."""
    deviations = np.array([_POSITION * mean[3]] * 4)
    deviations[2] = 1e-1
    seen = covariance[:4, :4] + np.diag(deviations**2)
    gain = np.linalg.solve(seen, covariance[:, :4].T).T
    return mean + gain @ (measurement - mean[:4]), covariance - gain @ seen @ gain.T


def moved(mean: Array, factor: complex, shift: complex) -> Array:
    """The state (8,) as the picture shows it after its camera turned and zoomed by `factor` and shifted."""
    place = factor * complex(mean[0], mean[1]) + shift
    pace = factor * complex(mean[4], mean[5])
    size = abs(factor)
    return np.array([place.real, place.imag, mean[2], size * mean[3], pace.real, pace.imag, mean[6], size * mean[7]])
