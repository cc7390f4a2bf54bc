"""The picture follows whom the `subject` parameter names, and does not flip between people."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from backend.errors import InvalidParams
from backend.vision.stitch import Track
from backend.vision.subject import Subject, choose_subject
from backend.vision.timeline import Timeline

SIZE = (1000, 500)
TIME_BASE = Fraction(1, 1000)
FRAMES = np.arange(0, 10_000, 40)


def person(track_id: int, spells: list[tuple[int, int]], x: float = 450.0, width: float = 100.0) -> Track:
    """Standing at x, sampled ten times a second during the spells (ms)."""
    pts = np.concatenate([np.arange(start, stop, 120) for start, stop in spells])
    return Track(track_id, pts, np.tile([x, 150.0, x + width, 150.0 + 2 * width], (len(pts), 1)), np.ones(len(pts)))


def choose(mode: str, *tracks: Track, frames: np.ndarray = FRAMES, **more: Any) -> Subject:
    return choose_subject(tracks, Timeline(frames, TIME_BASE, SIZE), mode, **more)


def owner_changes(subject: Subject) -> int:
    left = subject.boxes[np.isfinite(subject.boxes[:, 0]), 0]
    return int((np.diff(left) != 0).sum())


def test_main_is_who_is_longest_biggest_and_nearest_the_centre() -> None:
    star, extra = person(1, [(0, 10_000)]), person(2, [(0, 10_000)], x=20.0, width=60.0)
    subject = choose("main", extra, star)
    assert subject.track_ids == [1]
    assert (subject.boxes[:249, 0] == 450.0).all()


def test_main_does_not_change_hands_while_its_person_is_gone_for_less_than_a_second() -> None:
    star, extra = person(1, [(0, 4_000), (4_800, 10_000)]), person(2, [(0, 10_000)], x=100.0, width=60.0)
    assert owner_changes(choose("main", star, extra)) == 0


def test_main_passes_on_while_its_person_is_gone_for_longer() -> None:
    star, extra = person(1, [(0, 4_000), (7_000, 10_000)]), person(2, [(0, 10_000)], x=100.0, width=60.0)
    subject = choose("main", star, extra)
    assert subject.track_ids == [1, 2]
    assert owner_changes(subject) == 2
    assert subject.boxes[np.searchsorted(FRAMES, 5_500), 0] == 100.0


def test_main_ignores_flashes_of_its_person_amid_somebody_else() -> None:
    flashes = [(0, 3_000), *((start, start + 240) for start in range(4_500, 9_000, 1_500))]
    star, extra = person(1, flashes, width=140.0), person(2, [(0, 10_000)], x=100.0, width=40.0)
    assert owner_changes(choose("main", star, extra)) == 1


def test_all_is_the_union_of_everyone_who_matters() -> None:
    subject = choose("all", person(1, [(0, 10_000)], x=200.0), person(2, [(0, 5_000)], x=600.0))
    assert subject.boxes[10].tolist() == [200.0, 150.0, 700.0, 350.0]
    assert subject.boxes[200].tolist() == [200.0, 150.0, 300.0, 350.0]


def test_all_leaves_out_flickers_tiny_figures_and_passers_by_at_the_edge() -> None:
    star = person(1, [(0, 10_000)])
    flicker = person(2, [(2_000, 2_300)], x=700.0)
    tiny = person(3, [(0, 10_000)], x=800.0, width=8.0)
    passer_by = person(4, [(3_000, 3_800)], x=0.0)
    lingerer = person(5, [(3_000, 9_000)], x=0.0)
    assert choose("all", star, flicker, tiny, passer_by, lingerer).track_ids == [1, 5]


def test_a_named_track_is_followed_alone() -> None:
    subject = choose("track:2", person(1, [(0, 10_000)]), person(2, [(1_000, 2_000)], x=100.0))
    assert subject.track_ids == [2]
    assert np.isnan(subject.boxes[0]).all()
    assert subject.boxes[30, 0] == 100.0


def test_several_named_tracks_are_held_together() -> None:
    people = [person(1, [(0, 10_000)]), person(2, [(0, 10_000)], x=600.0), person(3, [(0, 10_000)], x=100.0)]
    subject = choose("track:1,track:2", *people)
    assert subject.track_ids == [1, 2]
    assert subject.boxes[30, [0, 2]].tolist() == [450.0, 700.0]


def test_a_cut_ends_a_box_and_begins_the_choice_anew() -> None:
    before, after = person(1, [(0, 4_990)], x=100.0), person(2, [(5_010, 10_000)], x=800.0)
    straddling = Track(3, np.array([4_900, 5_100]), np.array([[0.0, 0, 90, 90], [900.0, 0, 990, 90]]), np.ones(2))
    cut = int(np.searchsorted(FRAMES, 5_000))
    subject = choose("main", before, straddling, after, shots=[(0, cut), (cut, len(FRAMES))])
    assert set(subject.boxes[np.isfinite(subject.boxes[:, 0]), 0].round()) == {100.0, 800.0}
    assert not subject.passing.any()


def test_single_shots_may_have_their_own_subject() -> None:
    people = [person(1, [(0, 10_000)]), person(2, [(0, 10_000)], x=700.0, width=60.0)]
    cut = 125
    subject = choose("main", *people, shots=[(0, cut), (cut, len(FRAMES))], shot_modes={1: "track:2"})
    assert subject.boxes[10, 0] == 450.0 and subject.boxes[cut + 50, 0] == 700.0
    with pytest.raises(InvalidParams, match="no shot 2"):
        choose("main", *people, shots=[(0, cut), (cut, len(FRAMES))], shot_modes={2: "all"})


def test_the_picture_gets_time_to_pass_from_one_person_to_another() -> None:
    subject = choose("main", person(1, [(0, 5_000)], x=100.0), person(2, [(5_000, 10_000)], x=700.0))
    passing_sec = subject.passing.sum() * 0.04
    assert 1.5 < passing_sec < 3
    assert np.isnan(subject.boxes[subject.passing]).all()
    middle = np.flatnonzero(subject.passing).mean() * 0.04
    assert middle == pytest.approx(5.0, abs=0.3)


def test_main_lets_a_passer_by_pass() -> None:
    passer_by = person(1, [(3_000, 3_800)], x=0.0)
    assert choose("main", passer_by).track_ids == []


def test_an_unknown_track_names_those_that_exist() -> None:
    with pytest.raises(InvalidParams, match=r"no track 9 .* are: 1, 4"):
        choose("track:9", person(4, [(0, 1_000)]), person(1, [(0, 1_000)]))
    with pytest.raises(InvalidParams, match="none"):
        choose("track:1")


@pytest.mark.parametrize("mode", ["", "everyone", "track:", "track:x", "track:-1", "track:٣", "track"])
def test_other_modes_are_refused(mode: str) -> None:
    with pytest.raises(InvalidParams):
        choose(mode, person(1, [(0, 1_000)]))


@pytest.mark.parametrize("mode", ["all", "main", "track:1"])
def test_short_gaps_are_filled_and_long_ones_left_open(mode: str) -> None:
    subject = choose(mode, person(1, [(0, 2_000), (2_280, 4_000), (6_000, 10_000)]))
    known = np.isfinite(subject.boxes[:, 0])
    assert known[: np.searchsorted(FRAMES, 3_900)].all()
    assert not known[np.searchsorted(FRAMES, 4_000) : np.searchsorted(FRAMES, 6_000)].any()


@pytest.mark.parametrize("mode", ["all", "main", "track:1"])
def test_whoever_is_seen_soon_after_a_shots_start_was_there_from_its_start(mode: str) -> None:
    cut = 125
    shots = [(0, cut), (cut, len(FRAMES))]
    early, late = person(1, [(300, 4_700)], x=100.0), person(2, [(7_000, 8_000)], x=800.0)
    subject = choose(mode, early, late, shots=shots, shot_modes={1: "all"})
    assert (subject.boxes[:cut, 0] == 100.0).all()
    known = FRAMES[cut:][np.isfinite(subject.boxes[cut:, 0])]
    assert known[0] >= 7_000 and known[-1] <= 8_000  # two seconds are not soon


def standing_with_a_gap(gap_ms: int, before: float, after: float) -> Track:
    """Gone from 4 s on, for that long."""
    first, last = person(1, [(0, 4_000)], x=before), person(1, [(3_960 + gap_ms, 10_000)], x=after)
    both = [np.concatenate([getattr(first, name), getattr(last, name)]) for name in ("pts", "boxes", "confidence")]
    return Track(1, *both)


@pytest.mark.parametrize(
    ("gap_ms", "before", "after", "filled"),
    [
        (1_900, 450.0, 460.0, True),
        (2_500, 450.0, 460.0, False),
        (1_900, 450.0, 700.0, False),
        (1_400, 900.0, 905.0, True),  # cut off by the picture's side, and plainly there
        (1_900, 900.0, 905.0, False),
        (1_400, 900.0, 960.0, False),
    ],
)
def test_a_gap_is_filled_where_both_sides_say_that_somebody_is_there(
    gap_ms: int, before: float, after: float, filled: bool
) -> None:
    for mode in ("all", "main", "track:1"):
        subject = choose(mode, standing_with_a_gap(gap_ms, before, after))
        within = slice(*np.searchsorted(FRAMES, [4_000, 3_900 + gap_ms]))
        assert np.isfinite(subject.boxes[within]).all() == filled
        assert subject.somebody[within].all()


@pytest.mark.parametrize("mode", ["all", "main"])
def test_a_person_who_goes_by_two_names_is_bridged_too(mode: str) -> None:
    subject = choose(mode, person(1, [(0, 4_000)]), person(2, [(5_000, 10_000)], x=455.0))
    assert np.isfinite(subject.boxes).all() and not subject.passing.any()


def test_somebody_is_there_on_every_frame_of_a_track_whether_followed_or_not() -> None:
    subject = choose("track:1", person(1, [(0, 1_000)]), person(2, [(5_000, 6_000)], x=100.0))
    there = FRAMES[subject.somebody]
    assert ((there < 1_000) | ((there >= 5_000) & (there <= 6_000))).all() and len(there) > 45


# Photos of people.


def alive(track: Track, change: float) -> Track:
    """The track with a shape that changes all the time, by up to that share."""
    boxes = track.boxes.copy()
    boxes[:, 2] += change * (boxes[:, 2] - boxes[:, 0]) * np.sin(track.pts / 170)
    return Track(track.id, track.pts, boxes, track.confidence)


def photo(track_id: int, spells: list[tuple[int, int]], x: float, width: float) -> Track:
    """A still picture, with a detector's noise."""
    track = person(track_id, spells, x=x, width=width)
    noise = np.random.default_rng(1).normal(0, 0.003 * width, track.boxes.shape)
    return Track(track_id, track.pts, track.boxes + noise, track.confidence)


@pytest.mark.parametrize("mode", ["main", "all"])
def test_who_lives_is_followed_and_not_the_larger_photo_beside(mode: str) -> None:
    picture, talker = photo(1, [(0, 10_000)], 350.0, 170.0), alive(person(2, [(0, 10_000)], x=700.0, width=60.0), 0.05)
    assert choose(mode, picture, talker).track_ids == [2]
    assert choose("track:1", picture, talker).track_ids == [1]


def test_who_lives_under_two_names_is_followed_too() -> None:
    pieces = [
        alive(person(2, [(0, 4_000)], x=700.0, width=60.0), 0.1),
        alive(person(3, [(6_000, 10_000)], x=650.0), 0.1),
    ]
    assert choose("main", photo(1, [(0, 10_000)], 350.0, 170.0), *pieces).track_ids == [2, 3]


@pytest.mark.parametrize(
    "others",
    [
        [],
        [photo(2, [(0, 10_000)], 700.0, 100.0)],
        [alive(person(2, [(2_000, 5_000)], x=700.0, width=100.0), 0.2)],
        [alive(person(2, [(0, 10_000)], x=700.0, width=25.0), 0.2)],
    ],
    ids=["alone", "beside another still one", "beside a visitor", "before a tiny figure in the distance"],
)
def test_whoever_sits_as_still_as_a_photo_stays_the_subject(others: list[Track]) -> None:
    assert choose("main", photo(1, [(0, 10_000)], 350.0, 170.0), *others).track_ids == [1]


def test_a_talker_who_hardly_moves_stays_the_subject_though_somebody_walks_behind() -> None:
    talker, walker = alive(person(1, [(0, 10_000)], x=350.0, width=170.0), 0.03), alive(person(2, [(0, 10_000)]), 0.3)
    assert choose("main", talker, walker).track_ids == [1]


def test_boxes_are_cut_at_the_pictures_edge() -> None:
    boxes = choose("all", person(1, [(0, 10_000)], x=-50.0)).boxes[:249]
    assert boxes[:, 0].min() == 0.0 and boxes[:, 2].max() == 50.0


@pytest.mark.parametrize("mode", ["all", "main"])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_videos_of_hardly_any_frames(mode: str, count: int) -> None:
    frames = FRAMES[:count]
    tracks = [Track(1, frames, np.tile([10.0, 10, 50, 90], (count, 1)), np.ones(count))]
    subject = choose(mode, *tracks, frames=frames)
    assert subject.boxes.shape == (count, 4)
    assert np.isfinite(subject.boxes).all()


def test_nobody_gives_open_boxes() -> None:
    for mode in ("all", "main"):
        subject = choose(mode)
        assert subject.track_ids == [] and np.isnan(subject.boxes).all()
