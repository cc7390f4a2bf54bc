"""Whom to follow where the speaker is wanted: the voice in the sound beside the motion of each mouth, over seconds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
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
# A mouth plainly moves alone that moves so much more surely than all others. What mouth and sound then share as a rule,
# and for how long that is believed.
_PLAINLY_ALONE, _USUAL_SHARED, _TRUSTED_SEC = 0.3, 0.15, 8.0
# Speech is heard where it is more probable than not.
_IS_SPEECH = 0.5


@dataclass(frozen=True)
class Turn:
    """The frames [start, stop) in which one person is followed; None: nobody is seen to speak. `track_ids`: theirs and
    those of other tracks at the same place in that time (see seats.py)."""

    start: int
    stop: int
    track_id: int | None
    track_ids: tuple[int, ...] = ()


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


def who_speaks(
    mouths: Sequence[Mouth],
    voice: Voice,
    timeline: Timeline,
    shots: Sequence[tuple[int, int]],
    places: Sequence[tuple[int, ...]] = (),
) -> Spoken:
    """Each of `shots` ([start, stop) in frames) is decided for itself. Where nobody is heard, nobody changes. `places`:
    ids of tracks that are at one place one after another."""
    signals = Signals.of(mouths, voice, timeline)
    times_sec = seconds_from_start(timeline.frame_pts, timeline.time_base)
    place_of = {track_id: place for place in places for track_id in place}
    ends_sec = [*times_sec[[start for start, _ in shots[1:]]].tolist(), float(times_sec[-1]) + GRID_SEC]
    seen = [
        _Seen.of(signals, float(times_sec[start]), end_sec, place_of)
        for (start, _), end_sec in zip(shots, ends_sec, strict=True)
    ]
    trust = _trust(seen)
    turns: list[Turn] = []
    for (start, stop), shot, end_sec in zip(shots, seen, ends_sec, strict=True):
        turns += _turns(shot, trust, times_sec, start, stop, end_sec)
    return Spoken(turns, GRID_SEC * int((signals.speech > _IS_SPEECH).sum()), signals.lead_sec)


@dataclass(frozen=True, eq=False)
class _Seen:
    """Who is seen in a shot, by the tracks at each place. On the grid `times_sec` (n,): how probably there is speech
    (n,); of each of the people (people, n) how much surer the mouth moves than anybody else's, and how far it moves as
    the sound does; NaN where no face is seen."""

    people: list[tuple[int, ...]]
    spans: dict[int, tuple[int, int]]  # of each track on the grid
    times_sec: Floats
    speech: Floats
    alone: Floats
    together: Floats

    @classmethod
    def of(cls, signals: Signals, start_sec: float, end_sec: float, place_of: Mapping[int, tuple[int, ...]]) -> _Seen:
        begin, end = (int(each) for each in np.searchsorted(signals.times_sec, [start_sec, end_sec]))
        end = max(end, begin + 1)
        seen = [mouth for mouth in signals.mouths if mouth.first < end and mouth.first + len(mouth.moves) > begin]
        people = list(dict.fromkeys(place_of.get(mouth.track_id, (mouth.track_id,)) for mouth in seen))
        moves, deviation = (np.full((len(people), end - begin), np.nan) for _ in range(2))
        spans = {}
        for mouth in seen:
            row = people.index(place_of.get(mouth.track_id, (mouth.track_id,)))
            low, high = max(begin, mouth.first), min(end, mouth.first + len(mouth.moves))
            spans[mouth.track_id] = (low - begin, high - begin)
            here, own = slice(low - begin, high - begin), slice(low - mouth.first, high - mouth.first)
            moves[row, here] = np.fmax(moves[row, here], mouth.moves[own])
            deviation[row, here] = np.fmax(deviation[row, here], mouth.deviation[own])
        moves = np.minimum(moves, _MOVES_MUCH)  # where two mouths move, the one that moves more need not be heard
        together = deviation * signals.change[begin:end] if signals.lead_sec is not None else 0.0 * moves
        here = slice(begin, end)
        return cls(people, spans, signals.times_sec[here], signals.speech[here], moves - _rivals(moves), together)

    def longest_in(self, person: tuple[int, ...], start_sec: float, stop_sec: float) -> int:
        """Of a person's tracks the one that is seen longest in that time."""
        start, stop = np.searchsorted(self.times_sec, [start_sec, stop_sec])
        seen = {track_id: self.spans[track_id] for track_id in person if track_id in self.spans}
        return max(seen, key=lambda track_id: min(seen[track_id][1], stop) - max(seen[track_id][0], start))


def _trust(seen: Sequence[_Seen]) -> dict[tuple[int, ...], float]:
    """From 0 to 1, how far what is heard can be expected to be seen in each mouth: less where it is seen not to be
    while this mouth alone moves, as that of somebody who is dubbed."""
    heard_sec: defaultdict[tuple[int, ...], float] = defaultdict(float)
    shared: defaultdict[tuple[int, ...], float] = defaultdict(float)
    for shot in seen:
        counts = (shot.alone > _PLAINLY_ALONE) * shot.speech * GRID_SEC
        for person, own, together in zip(shot.people, counts, shot.together, strict=True):
            heard_sec[person] += float(own.sum())
            shared[person] += float(np.nansum(own * together))
    usual = _USUAL_SHARED * _TRUSTED_SEC
    return {
        person: float(np.clip((shared[person] + usual) / (_USUAL_SHARED * (seconds + _TRUSTED_SEC)), 0.0, 1.0))
        for person, seconds in heard_sec.items()
    }


def _turns(
    shot: _Seen, trust: Mapping[tuple[int, ...], float], times_sec: Floats, start: int, stop: int, end_sec: float
) -> list[Turn]:
    steps = np.arange(float(times_sec[start]), end_sec, STEP_SEC)
    evidence, speech = _evidence(shot, trust, steps)
    choice = best_turns(evidence, speech)
    edges = [0, *(np.flatnonzero(np.diff(choice)) + 1).tolist()]
    frames = [start, *np.searchsorted(times_sec, steps[edges[1:]]).tolist(), stop]
    begins_sec = [*steps[edges].tolist(), end_sec]
    turns = []
    for number, (first, last) in enumerate(pairwise(frames)):
        person = shot.people[choice[edges[number]] - 1] if choice[edges[number]] else ()
        known = shot.longest_in(person, *begins_sec[number : number + 2]) if person else None
        turns.append(Turn(int(first), int(last), known, person))
    return turns


def _evidence(shot: _Seen, trust: Mapping[tuple[int, ...], float], steps: Floats) -> tuple[Floats, Floats]:
    """What speaks for nobody (the first column) and for each of the people on every step (n,), and how probably there
    is speech (n,)."""
    trusted = np.array([trust[person] for person in shot.people]).reshape(-1, 1)
    told = _MOVES * shot.alone + _TOGETHER * trusted * shot.together
    told = np.where(np.isfinite(shot.alone), told, _UNSEEN)
    nobody = np.full((1, len(shot.speech)), _NOBODY)
    owner = np.clip(np.searchsorted(steps, shot.times_sec, side="right") - 1, 0, len(steps) - 1)
    sums = [np.bincount(owner, row, len(steps)) * GRID_SEC for row in np.vstack([nobody, told]) * shot.speech]
    heard = np.bincount(owner, shot.speech, len(steps)) / np.maximum(np.bincount(owner, minlength=len(steps)), 1)
    return np.column_stack(sums), heard


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
