"""Who is followed where the speaker is wanted, on made signals."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.vision.speaker import Spoken, who_speaks
from backend.vision.speaker_signals import Mouth
from backend.vision.speaker_turns import STEP_SEC, best_turns
from backend.vision.speech import LEVEL_SEC, SPEECH_SEC, Voice
from backend.vision.timeline import Timeline

FPS, SECONDS = 25, 60
TIMELINE = Timeline(np.arange(FPS * SECONDS, dtype=np.int64), Fraction(1, FPS), (640, 360))
WHOLE = [(0, FPS * SECONDS)]
TURNS = [
    (0, 7, 1),
    (7, 12, 2),
    (12, 20, 1),
    (20, 25, 2),
    (25, 33, 1),
    (33, 40, 2),
    (40, 46, 1),
    (46, 53, 2),
    (53, 60, 1),
]
LEAD_SEC = 0.08
SILENT, LOUD = -65.0, -20.0


def syllables(seed: int) -> NDArray[np.float64]:
    """How wide a mouth is open (0 to 1), every 10 ms: some five syllables a second, as irregular as speech."""
    chance = np.random.default_rng(seed)
    opened, at = np.zeros(100 * SECONDS + 100), 0
    while at < len(opened) - 60:
        length = int(chance.integers(12, 35))
        opened[at : at + length] = np.sin(np.linspace(0, np.pi, length)) * chance.uniform(0.4, 1.0)
        at += length + int(chance.integers(0, 12))
    return opened


def mouth(track_id: int, opened: NDArray[np.float64], noise: float = 0.0005) -> Mouth:
    """As it moves between two frames, in face widths."""
    at = opened[np.arange(FPS * SECONDS) * 4]
    moved = 0.06 * np.abs(np.diff(at, prepend=at[:1]))
    shaken = np.abs(np.random.default_rng(track_id).normal(0, noise, len(moved)))
    return Mouth(track_id, TIMELINE.frame_pts, moved + shaken)


def voice(opened: NDArray[np.float64], speech: float = 1.0, lead_sec: float = LEAD_SEC) -> Voice:
    level_sec = LEVEL_SEC * (np.arange(int(SECONDS / LEVEL_SEC)) + 0.5)
    speech_sec = SPEECH_SEC * (np.arange(int(SECONDS / SPEECH_SEC)) + 0.5)
    heard = np.interp(level_sec - lead_sec, np.arange(len(opened)) / 100, opened)
    level_db = SILENT + (LOUD - SILENT) * heard**0.5
    return Voice(*(np.asarray(each, np.float64) for each in (level_sec, level_db, speech_sec, 0 * speech_sec + speech)))


def taking_turns(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is heard: of each its own turns."""
    heard = np.zeros_like(first)
    for start, stop, who in TURNS:
        heard[100 * start : 100 * stop] = (first, second)[who - 1][100 * start : 100 * stop]
    return heard


def share_on_speaker(spoken: Spoken) -> float:
    """Of the frames later than a second after each change."""
    followed = np.zeros(FPS * SECONDS, np.int64)
    for turn in spoken.turns:
        followed[turn.start : turn.stop] = turn.track_id or 0
    right = [followed[FPS * (start + 1) : FPS * stop] == who for start, stop, who in TURNS]
    return float(np.concatenate(right).mean())


def test_of_two_who_move_their_mouths_the_one_that_is_heard_is_followed() -> None:
    first, second = syllables(1), syllables(2)
    mouths = [mouth(1, first), mouth(2, second)]
    spoken = who_speaks(mouths, voice(taking_turns(first, second)), TIMELINE, WHOLE)
    assert spoken.lead_sec == pytest.approx(LEAD_SEC, abs=0.05)
    assert share_on_speaker(spoken) >= 0.9
    assert len(spoken.turns) == len(TURNS)


def test_of_two_the_one_whose_mouth_moves_is_followed() -> None:
    first, second = taking_turns(syllables(1), np.zeros(100 * SECONDS + 100)), syllables(2)
    second = second - taking_turns(second, np.zeros_like(second))
    for start, stop, who in TURNS:
        if who == 1:
            second[100 * start : 100 * stop] = 0
    spoken = who_speaks([mouth(1, first), mouth(2, second)], voice(first + second), TIMELINE, WHOLE)
    assert share_on_speaker(spoken) >= 0.9


@pytest.mark.parametrize("speech", [0.0, 0.02])
def test_music_and_silence_change_nobody(speech: float) -> None:
    first, second = syllables(1), syllables(2)
    spoken = who_speaks(
        [mouth(1, first), mouth(2, second)], voice(taking_turns(first, second), speech), TIMELINE, WHOLE
    )
    assert len(spoken.turns) == 1
    assert spoken.speech_sec == 0


def test_of_two_who_are_dubbed_nobody_is_taken_for_the_speaker() -> None:
    mouths = [mouth(1, syllables(1)), mouth(2, syllables(2))]
    films = [who_speaks(mouths, voice(syllables(seed)), TIMELINE, WHOLE) for seed in range(3, 15)]
    unknown = [film for film in films if film.lead_sec is None]
    assert len(unknown) >= 9  # by chance some sound fits some mouth
    assert all(turn.track_id is None for film in unknown for turn in film.turns)


def test_whoever_is_not_seen_to_speak_is_nobody() -> None:
    unseen = Mouth(1, TIMELINE.frame_pts, np.full(FPS * SECONDS, np.nan))
    spoken = who_speaks([unseen], voice(syllables(1)), TIMELINE, WHOLE)
    assert [turn.track_id for turn in spoken.turns] == [None]


def test_a_film_without_sound_has_no_speaker() -> None:
    silent = Voice(*[np.zeros(0)] * 4)
    spoken = who_speaks([mouth(1, syllables(1))], silent, TIMELINE, WHOLE)
    assert [turn.track_id for turn in spoken.turns] == [None]
    assert spoken.speech_sec == 0


def test_two_tracks_at_one_place_one_after_another_are_followed_as_one() -> None:
    first, second = syllables(1), syllables(2)
    whole, split = mouth(1, first), 5 * FPS
    parts = [Mouth(1, whole.pts[:split], whole.motion[:split]), Mouth(3, whole.pts[split:], whole.motion[split:])]
    heard = voice(taking_turns(first, second))
    spoken = who_speaks([*parts, mouth(2, second)], heard, TIMELINE, WHOLE, [(1, 3), (2,)])
    assert len(spoken.turns) == len(TURNS)
    assert {turn.track_ids for turn in spoken.turns} == {(1, 3), (2,)}
    assert [turn.track_id for turn in spoken.turns[:3]] == [1, 2, 3]  # who is there longest
    apart = who_speaks([*parts, mouth(2, second)], heard, TIMELINE, WHOLE)
    assert apart.turns[0].stop < spoken.turns[0].stop


def test_what_is_not_to_be_seen_in_a_mouth_does_not_count_against_it() -> None:
    """One who is dubbed beside one who is not, each still while the other speaks: the sound fits the one mouth only."""
    first, dubbed = syllables(1), syllables(2)
    mouths = [mouth(1, taking_turns(first, 0 * first)), mouth(2, taking_turns(0 * first, dubbed))]
    spoken = who_speaks(mouths, voice(taking_turns(first, syllables(7))), TIMELINE, WHOLE)
    assert spoken.lead_sec is not None
    assert share_on_speaker(spoken) >= 0.95


def test_turns_cover_every_shot_and_end_with_it() -> None:
    first, second = syllables(1), syllables(2)
    shots = [(0, 13), (13, 400), (400, 402), (402, FPS * SECONDS)]
    mouths = [mouth(1, first), mouth(2, second)]
    turns = who_speaks(mouths, voice(taking_turns(first, second)), TIMELINE, shots).turns
    assert [turn.stop for turn in turns[:-1]] == [turn.start for turn in turns[1:]]
    assert (turns[0].start, turns[-1].stop) == (0, FPS * SECONDS)
    assert {start for start, _ in shots} <= {turn.start for turn in turns}


# The turns themselves.


def test_no_turn_is_shorter_than_a_second_and_a_half() -> None:
    chance = np.random.default_rng(0)
    evidence = np.repeat(chance.normal(0, 5, (100, 3)), 3, axis=0)  # somebody else every 0.6 s
    choice = best_turns(evidence, np.ones(300))
    edges = np.flatnonzero(np.diff(choice, prepend=-1, append=-1))
    assert len(edges) > 5
    assert np.diff(edges).min() * STEP_SEC >= 1.5


def test_a_change_waits_for_the_pause() -> None:
    evidence = np.zeros((60, 2))
    evidence[:20, 0] = evidence[40:, 1] = 1.0  # in between nothing speaks for either
    speech = np.ones(60)
    speech[30:33] = 0.0
    assert np.flatnonzero(np.diff(best_turns(evidence, speech))).tolist()[0] + 1 in (30, 31, 32)


def test_a_shot_in_which_some_mouth_moves_a_little_is_nobodys() -> None:
    evidence = np.column_stack([np.full(11, 0.004), np.full(11, 0.07)])  # 2 s, as in a listening audience
    assert not best_turns(evidence, np.ones(11)).any()
    assert best_turns(3 * evidence, np.ones(11)).all()


def brute_force(evidence: NDArray[np.float64], costs: float, shortest: int) -> float:
    """The best sum of all sequences whose turns are long enough."""
    best = -np.inf
    steps, choices = evidence.shape
    for code in range(choices**steps):
        row = np.array([code // choices**step % choices for step in range(steps)])
        edges = np.flatnonzero(np.diff(row, prepend=-1, append=-1))
        if np.diff(edges).min() >= shortest:
            best = max(
                best, evidence[np.arange(steps), row].sum() - costs * (len(edges) - 2) - 0.75 * float(row[0] > 0)
            )
    return float(best)


def test_turns_are_the_best_there_are() -> None:
    for seed in range(2):
        evidence = np.random.default_rng(seed).normal(0, 1, (17, 2))
        choice = best_turns(evidence, np.ones(17))
        edges = np.flatnonzero(np.diff(choice, prepend=-1, append=-1))
        got = evidence[np.arange(17), choice].sum() - 2.0 * (len(edges) - 2) - 0.75 * float(choice[0] > 0)
        assert np.diff(edges).min() >= 8
        assert got == pytest.approx(brute_force(evidence, 2.0, 8))
