"""Whom to follow where the speaker is wanted: the voice in the sound beside the motion of each mouth, over seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.vision.speaker_signals import GRID_SEC, Floats, Mouth, Signals
from backend.vision.speaker_turns import STEP_SEC, best_turns
from backend.vision.speech import Voice
from backend.vision.timeline import Timeline, seconds_from_start

# What a second counts in which a mouth moves as the sound does, one in which it alone moves, and one without a face.
_TOGETHER, _MOVES, _UNSEEN = 4.0, 2.0, -0.5
# A mouth that moves less surely than this is silent; what is left must be worth more than nobody is.
_MOVES_ENOUGH, _MOVES_MUCH, _NOBODY = 0.2, 0.6, 0.02
# Speech is heard where it is more probable than not.
_IS_SPEECH = 0.5


@dataclass(frozen=True)
class Turn:
    """The frames [start, stop) in which one person is followed; None: nobody is seen to speak."""

    start: int
    stop: int
    track_id: int | None


@dataclass(frozen=True)
class Spoken:
    """Who speaks, in order and without gaps. `speech_sec`: how long anybody is heard to; `lead_sec`: how much earlier
    mouths move than they are heard, None where they do not move as the sound does."""

    turns: list[Turn]
    speech_sec: float
    lead_sec: float | None

    def figures(self, frame_pts: NDArray[np.int64]) -> dict[str, Any]:
        """For the certificate: turns by their first frame's PTS; in how much of the film nobody is seen to speak."""
        unknown = sum(turn.stop - turn.start for turn in self.turns if turn.track_id is None)
        return {
            "turns": [{"first_pts": int(frame_pts[turn.start]), "track_id": turn.track_id} for turn in self.turns],
            "speech_seconds": round(self.speech_sec, 3),
            "unknown_pct": round(100 * unknown / max(1, len(frame_pts)), 2),
            "lead_seconds": None if self.lead_sec is None else round(self.lead_sec, 3),
        }


def who_speaks(mouths: Sequence[Mouth], voice: Voice, timeline: Timeline, shots: Sequence[tuple[int, int]]) -> Spoken:
    """Each of `shots` ([start, stop) in frames) is decided for itself. Where nobody is heard, nobody changes."""
    signals = Signals.of(mouths, voice, timeline)
    times_sec = seconds_from_start(timeline.frame_pts, timeline.time_base)
    turns: list[Turn] = []
    for start, stop in shots:
        end_sec = float(times_sec[stop]) if stop < len(times_sec) else float(times_sec[-1]) + GRID_SEC
        turns += _turns(signals, times_sec, start, stop, end_sec)
    return Spoken(turns, GRID_SEC * int((signals.speech > _IS_SPEECH).sum()), signals.lead_sec)


def _turns(signals: Signals, times_sec: Floats, start: int, stop: int, end_sec: float) -> list[Turn]:
    steps = np.arange(float(times_sec[start]), end_sec, STEP_SEC)
    ids, evidence, speech = _evidence(signals, steps, end_sec)
    choice = best_turns(evidence, speech)
    edges = [0, *(np.flatnonzero(np.diff(choice)) + 1).tolist()]
    frames = [start, *np.searchsorted(times_sec, steps[edges[1:]]).tolist(), stop]
    chosen = [int(choice[edge]) for edge in edges]
    return [
        Turn(int(first), int(last), ids[who - 1] if who else None)
        for who, first, last in zip(chosen, frames, frames[1:], strict=False)
    ]


def _evidence(signals: Signals, steps: Floats, end_sec: float) -> tuple[list[int], Floats, Floats]:
    """Who is seen in a shot that begins at the first of `steps` (n,) seconds; what speaks for nobody (the first column)
    and for each of them on every step; and how probably there is speech (n,)."""
    begin, end = (int(each) for each in np.searchsorted(signals.times_sec, [steps[0], end_sec]))
    end = max(end, begin + 1)
    speech, change = signals.speech[begin:end], signals.change[begin:end]
    seen = [mouth for mouth in signals.mouths if mouth.first < end and mouth.first + len(mouth.moves) > begin]
    moves, together = (np.full((len(seen), len(speech)), np.nan) for _ in range(2))
    for row, mouth in enumerate(seen):
        low, high = max(begin, mouth.first), min(end, mouth.first + len(mouth.moves))
        moves[row, low - begin : high - begin] = mouth.moves[low - mouth.first : high - mouth.first]
        together[row, low - begin : high - begin] = mouth.deviation[low - mouth.first : high - mouth.first]
    moves = np.minimum(moves, _MOVES_MUCH)  # where two mouths move, the one that moves more need not be heard
    told = _MOVES * (moves - _rivals(moves))
    if signals.lead_sec is not None:
        told += _TOGETHER * together * change
    told = np.where(np.isfinite(moves), told, _UNSEEN)
    nobody = np.full((1, len(speech)), _NOBODY)
    owner = np.clip(np.searchsorted(steps, signals.times_sec[begin:end], side="right") - 1, 0, len(steps) - 1)
    sums = [np.bincount(owner, row, len(steps)) * GRID_SEC for row in np.vstack([nobody, told]) * speech]
    heard = np.bincount(owner, speech, len(steps)) / np.maximum(np.bincount(owner, minlength=len(steps)), 1)
    return [mouth.track_id for mouth in seen], np.column_stack(sums), heard


def _rivals(moves: Floats) -> Floats:
    """How surely the mouth of anybody else moves, and at least as surely as that of somebody silent may."""
    others = np.full(moves.shape, _MOVES_ENOUGH)
    if len(moves) > 1:
        known = np.nan_to_num(moves)
        order = np.argsort(known, axis=0)
        first, second = (np.take_along_axis(known, order[-place][None], axis=0)[0] for place in (1, 2))
        is_first = np.arange(len(moves))[:, None] == order[-1][None]
        others = np.maximum(others, np.where(is_first, second, first))
    return others
