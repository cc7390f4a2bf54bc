"""Turns of speakers as the camera's shots."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from backend.errors import InvalidParams
from backend.kinds.crop import CROP
from backend.kinds.crop_params import CropParams
from backend.kinds.framing import Framing, framed
from backend.kinds.people import SPEECH_FPS
from backend.kinds.speaking import followed
from backend.kinds.stitched import Stitched
from backend.vision.holding_words import shortfalls
from backend.vision.speaker import Spoken, Turn
from backend.vision.stitch import Track
from backend.vision.timeline import Timeline

FRAMES, FPS, WIDTH = 300, 25, 1280
TIMELINE = Timeline(np.arange(FRAMES, dtype=np.int64), Fraction(1, FPS), (WIDTH, 720))
SPEAKER = CropParams(aspect="9:16", subject="speaker")


def person(track_id: int, x: float, height: float) -> Track:
    box = np.array([x, 700 - height, x + height / 2, 700])
    return Track(track_id, TIMELINE.frame_pts, np.tile(box, (FRAMES, 1)), np.ones(FRAMES))


def film(*turns: tuple[int, int, int | None], lead_sec: float | None = 0.1, speech_sec: float = 10.0) -> Stitched:
    """Of two people apart, the first one larger."""
    spoken = Spoken([Turn(*turn) for turn in turns], speech_sec, lead_sec)
    people = [person(1, 100, 500), person(2, 900, 400)]
    return Stitched(TIMELINE, people, [(0, FRAMES)], spoken)


def sides(framing: Framing) -> list[str]:
    middle = framing.path.x + framing.path.width / 2
    return ["left" if at < WIDTH / 2 else "right" for at in middle]


def test_the_window_cuts_to_whoever_speaks_on_the_frame_of_the_turn() -> None:
    framing = framed(film((0, 100, 1), (100, 200, 2), (200, 300, 1)), SPEAKER)
    assert sides(framing) == ["left"] * 100 + ["right"] * 100 + ["left"] * 100
    assert not framing.subject.passing.any()
    assert list(framing.path.shots) == [(0, 100), (100, 200), (200, 300)]


def test_the_certificate_tells_the_turns() -> None:
    proof = framed(film((0, 100, 1), (100, 300, None)), SPEAKER).certificate(0.85)
    assert proof["speaker"] == {
        "turns": [{"first_pts": 0, "track_id": 1}, {"first_pts": 100, "track_id": None}],
        "speech_seconds": 10.0,
        "unknown_pct": pytest.approx(66.67),
        "lead_seconds": 0.1,
    }
    assert "speaker" not in framed(film((0, 300, 1)), CropParams(aspect="9:16")).certificate(0.85)


def test_where_nobody_is_seen_to_speak_main_is_followed_without_a_needless_cut() -> None:
    whom = followed(film((0, 100, None), (100, 200, 1), (200, 300, None)), SPEAKER)
    assert (whom.shots, whom.shot_modes) == ([(0, 300)], {0: "track:1"})
    whom = followed(film((0, 100, None), (100, 300, 2)), SPEAKER)
    assert (whom.shots, whom.mode, whom.shot_modes) == ([(0, 100), (100, 300)], "main", {1: "track:2"})


def test_whoever_has_two_tracks_is_held_by_one_window_without_a_cut() -> None:
    one, other = person(1, 100, 500), person(2, 900, 400)
    halves = [one.between(0, 100), replace(one.between(100, FRAMES), id=3)]
    spoken = Spoken([Turn(0, 200, 1, (1, 3)), Turn(200, FRAMES, 2, (2,))], 10.0, 0.1)
    found = Stitched(TIMELINE, [*halves, other], [(0, FRAMES)], spoken)
    assert followed(found, SPEAKER).shot_modes == {0: "track:1,track:3", 1: "track:2"}
    framing = framed(found, SPEAKER)
    assert sides(framing) == ["left"] * 200 + ["right"] * 100 and np.ptp(framing.path.x[:200]) == 0
    unseen = replace(spoken, turns=[Turn(0, 200, 1, (1, 3)), Turn(200, FRAMES, None)])  # then 3 is the main person
    assert followed(replace(found, spoken=unseen), SPEAKER).shots == [(0, FRAMES)]


def test_a_turn_can_be_put_right() -> None:
    params = SPEAKER.model_copy(update={"shots": {1: "track:1"}})
    framing = framed(film((0, 100, 1), (100, 200, 2), (200, 300, 1)), params)
    assert set(sides(framing)) == {"left"}


@pytest.mark.parametrize(
    ("spoken", "words"),
    [
        (
            film((0, 300, None), speech_sec=0.0, lead_sec=None),
            "No speech is heard: the window follows the main person.",
        ),
        (film((0, 300, None)), "Nobody is seen to speak what is heard: the window follows the main person."),
        (film((0, 100, 1), (100, 300, None)), "In 67 % of the frames nobody is seen to speak: there the window"),
        (film((0, 300, 1), lead_sec=None), "The mouths do not move as the sound does (it may be dubbed)"),
    ],
)
def test_what_is_not_known_is_said(spoken: Stitched, words: str) -> None:
    told = shortfalls(framed(spoken, SPEAKER).certificate(0.85), "speaker", "crop")
    assert [sentence for sentence in told if sentence.startswith(words)]


def test_a_film_whose_speakers_are_known_says_nothing() -> None:
    proof = framed(film((0, 100, 1), (100, 300, 2)), SPEAKER).certificate(0.85)
    assert not [sentence for sentence in shortfalls(proof, "speaker", "crop") if "speak" in sentence]


def test_only_jobs_about_the_speaker_are_sampled_for_mouths() -> None:
    detect = CROP.phases[0].chunks
    assert detect is not None
    plain = {"sample_fps": 10.0, "conf": 0.25, "iou": 0.5}
    assert detect.made_of(CropParams()) == detect.made_of(CropParams(subject="all")) == plain
    assert detect.made_of(SPEAKER) == plain | {"sample_fps": SPEECH_FPS, "speech": "mouths/1"}


def test_the_speaker_is_no_choice_for_single_shots() -> None:
    with pytest.raises(InvalidParams):
        CROP.parse_params({"shots": {"1": "speaker"}})
