"""Whose turn it is, as an editor cuts: not on every word, rather in a pause, never for less than 1.5 s."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STEP_SEC = 0.2
_SHORTEST_STEPS = 8  # 1.6 s
# What a turn must be better by, in the units of the evidence, which are about standard deviations times seconds.
_SWITCH_COST, _SWITCH_COST_IN_PAUSE = 2.0, 1.3
# What speaks for anybody in a shot must be worth so much more than nobody: some mouth always moves a little.
_FIRST_COST = 0.75


def best_turns(evidence: NDArray[np.float64], speech: NDArray[np.float64]) -> NDArray[np.int64]:
    """The choice (n,) for each step, of the columns of `evidence` (n, choices), the first of which is nobody: the
    sequence of turns that has most of it in sum, less what switches cost, which is less where `speech` (n,), a
    probability, is low, and what it costs to begin with somebody.

    Found exactly by dynamic programming (Viterbi) over the choice and how long it lasts. Where there is no time for two
    turns, one choice. Of equal ones the first.
    """
    steps, choices = evidence.shape
    begun = np.where(np.arange(choices) > 0, _FIRST_COST, 0.0)
    if choices == 1 or steps < 2 * _SHORTEST_STEPS:
        return np.full(steps, int((evidence.sum(axis=0) - begun).argmax()) if steps else 0, np.int64)
    costs = _SWITCH_COST_IN_PAUSE + (_SWITCH_COST - _SWITCH_COST_IN_PAUSE) * np.clip(speech, 0.0, 1.0)
    oldest = _SHORTEST_STEPS - 1
    # By how long a choice has lasted (in steps less one; the last row: that long or longer), and by choice.
    best = np.full((_SHORTEST_STEPS, choices), -np.inf)
    best[0] = evidence[0] - begun
    stayed = np.zeros((steps, choices), np.bool_)  # of the oldest: whether it was that before
    came_from = np.zeros((steps, choices), np.int64)
    for step in range(1, steps):
        ripe = best[oldest]
        before = np.empty_like(best)
        before[1:] = best[:-1]
        stayed[step] = ripe >= before[oldest]
        before[oldest] = np.maximum(ripe, before[oldest])
        came_from[step] = _best_other(ripe)
        before[0] = ripe[came_from[step]] - costs[step]
        best = before + evidence[step]
    return _traced(int(best[oldest].argmax()), stayed, came_from)


def _best_other(ripe: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each choice the best of the others."""
    first = int(ripe.argmax())
    others = ripe.copy()
    others[first] = -np.inf
    found = np.full(len(ripe), first, np.int64)
    found[first] = int(others.argmax())
    return found


def _traced(choice: int, stayed: NDArray[np.bool_], came_from: NDArray[np.int64]) -> NDArray[np.int64]:
    """The steps back from the end, where the choice has lasted."""
    found = np.empty(len(stayed), np.int64)
    step, age = len(stayed) - 1, _SHORTEST_STEPS - 1
    while step >= 0:
        found[step] = choice
        if age == _SHORTEST_STEPS - 1 and stayed[step, choice]:
            step -= 1
        elif age:
            step, age = step - 1, age - 1
        else:
            choice, age, step = int(came_from[step, choice]), _SHORTEST_STEPS - 1, step - 1
    return found
