"""Looks find people again who were away, put right what a tracker confused, and fuse nobody in doubt."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from backend.vision.ground import Ground
from backend.vision.link import link
from backend.vision.looks_record import LOOKS_BYTES
from backend.vision.stitch import Track, interpolate
from backend.vision.timeline import Timeline

TIME_BASE, SAMPLE_TICKS, SIZE = Fraction(1, 1000), 100, (1920, 1080)
TIMELINE = Timeline(np.arange(0, 90_000, 50), TIME_BASE, SIZE)


def clothes(seed: int, samples: int) -> np.ndarray:
    """(samples, LOOKS_BYTES) of one person, whose looks vary a little."""
    own = np.random.default_rng(seed).integers(0, 120, LOOKS_BYTES)
    noise = np.random.default_rng((seed, samples)).normal(0, 4, (samples, LOOKS_BYTES))
    return np.clip(own + noise, 1, 255).astype(np.uint8)


def walk(number: int, first: int, last: int, x: float, px_per_sec: float, worn: int | None, top: float = 300) -> Track:
    """Samples from `first` to `last` ms of a person 100 x 300 px, at `x` at first, in clothes of that number."""
    pts = np.arange(first, last + 1, SAMPLE_TICKS)
    left = x + px_per_sec * (pts - first) / 1000
    boxes = np.column_stack([left, left * 0 + top, left + 100, left * 0 + top + 300])
    looks = None if worn is None else clothes(worn, len(pts))
    return Track(number, pts, np.clip(boxes, 0, [*SIZE, *SIZE]), np.full(len(pts), 0.8), looks=looks)


def linked(*tracks: Track, ground: Ground | None = None) -> list[Track]:
    return link(tracks, TIMELINE, conf=0.25, **({} if ground is None else {"ground": ground}))


def spans(tracks: list[Track]) -> list[tuple[int, int]]:
    return [(int(track.pts[0]), int(track.pts[-1])) for track in tracks]


def bystanders(*worn: int) -> list[Track]:
    """They stand there all along: the film tells by them how people differ."""
    return [walk(90 + n, 0, 60_000, 1_800 - 110 * n, 0, each, top=650) for n, each in enumerate(worn)]


def test_who_leaves_and_comes_back_twenty_seconds_later_in_the_same_clothes_is_the_same() -> None:
    away, back = walk(1, 0, 8_000, 700, -100, 1), walk(2, 28_000, 36_000, 0, 60, 1)
    assert (0, 36_000) in spans(linked(away, back, *bystanders(7, 8)))


def test_another_who_comes_in_there_is_another() -> None:
    away, other = walk(1, 0, 8_000, 700, -100, 1), walk(2, 28_000, 36_000, 0, 60, 2)
    assert {(0, 8_000), (28_000, 36_000)} <= set(spans(linked(away, other, *bystanders(7, 8))))


def test_without_looks_nobody_is_found_again_after_so_long() -> None:
    assert len(linked(walk(1, 0, 8_000, 700, -100, None), walk(2, 28_000, 36_000, 0, 60, None))) == 2


def test_of_two_who_come_in_together_in_the_same_clothes_neither_is_taken_for_who_left() -> None:
    away = walk(1, 0, 8_000, 700, -100, 1)
    both = walk(2, 28_000, 36_000, 0, 40, 1), walk(3, 28_000, 36_000, 1_000, -40, 1)
    assert (0, 8_000) in spans(linked(away, *both, *bystanders(7, 8)))


def test_in_uniform_nobody_is_found_again() -> None:
    away, back = walk(1, 0, 8_000, 700, -100, 7), walk(2, 28_000, 36_000, 0, 60, 7)
    assert {(0, 8_000), (28_000, 36_000)} <= set(spans(linked(away, back, *bystanders(*[7] * 8))))


def test_a_tracker_that_took_one_for_the_other_where_they_met_is_put_right() -> None:
    """Two walk towards each other and turn back; its tracks go straight on."""
    halves = [walk(1, 0, 4_900, 200, 100, 1), walk(2, 0, 4_900, 1_200, -100, 2)]
    back = [walk(1, 5_000, 10_000, 700, 100, 2), walk(2, 5_000, 10_000, 700, -100, 1)]
    tracks = [before.then(after) for before, after in zip(halves, back, strict=True)]
    people = [person for person in linked(*tracks, *bystanders(7, 8)) if person.pts[-1] == 10_000]
    assert spans(people) == [(0, 10_000)] * 2
    assert sorted((round(p.boxes[0, 0]), round(p.boxes[-1, 0])) for p in people) == [(200, 200), (1_200, 1_200)]


def test_two_who_meet_and_walk_on_keep_their_tracks() -> None:
    tracks = [walk(1, 0, 10_000, 200, 100, 1), walk(2, 0, 10_000, 1_200, -100, 2)]
    people = [person for person in linked(*tracks, *bystanders(7, 8)) if person.pts[-1] == 10_000]
    assert sorted((p.boxes[0, 0], p.boxes[-1, 0]) for p in people) == [(200, 1_200), (1_200, 200)]


def test_who_stands_hidden_while_the_camera_pans_is_the_same() -> None:
    """They stand on the ground, and the picture moves by a fifth of its width meanwhile."""
    tracks = walk(1, 0, 3_000, 1_000, 0, None), walk(2, 5_000, 8_000, 600, 0, None)
    pts = np.arange(0, 8_001, SAMPLE_TICKS)
    moves = [(0.0, 0.0, -400 / SIZE[0] / 20 if 3_000 < at <= 5_000 else 0.0, 0.0) for at in pts]
    assert spans(linked(*tracks, ground=Ground(pts.tolist(), moves, SIZE[0]))) == [(0, 8_000)]
    assert len(linked(*tracks)) == 2


def test_nobody_is_drawn_where_they_were_away() -> None:
    away, back = walk(1, 0, 8_000, 700, -100, 1), walk(2, 28_000, 36_000, 0, 60, 1)
    [person] = [each for each in linked(away, back, *bystanders(7, 8)) if len(each.pts) < 300]
    dense = interpolate(person, TIMELINE.frame_pts, TIMELINE.longest_gap)
    assert dense.pts[dense.pts <= 8_000].tolist() == list(range(0, 8_001, 50))
    assert not ((dense.pts > 8_000) & (dense.pts < 28_000)).any()


def test_the_order_of_the_tracks_does_not_matter() -> None:
    tracks = [walk(n, 9_000 * n, 9_000 * n + 5_000, 300, 30, n % 2) for n in range(6)] + bystanders(7, 8)
    assert spans(linked(*tracks)) == spans(linked(*tracks[::-1]))
