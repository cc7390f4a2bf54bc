"""Looks tell people apart by their clothes, and not by size or a little light."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backend.vision.looks import looks_in
from backend.vision.looks_record import LOOKS_BYTES, distances, packed, packed_length, unpacked

SKIN, RED, BLUE, BLACK = (120, 150, 200), (40, 40, 190), (180, 70, 40), (25, 25, 25)


def street(*people: tuple[int, int, int, int], light: float = 1.0) -> np.ndarray:
    """A grey picture with a person in each box: a head, a jacket of the first or second colour, dark legs."""
    picture = np.full((400, 600, 3), 140, np.uint8)
    for number, (left, top, right, bottom) in enumerate(people):
        height = bottom - top
        picture[top : top + height // 5, left:right] = SKIN
        picture[top + height // 5 : top + height // 2, left:right] = RED if number % 2 == 0 else BLUE
        picture[top + height // 2 : bottom, left:right] = BLACK
    noise = np.random.default_rng(len(people)).normal(0, 4, picture.shape)
    return np.clip(picture * light + noise, 0, 255).astype(np.uint8)


def described(picture: np.ndarray, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    return looks_in(picture, np.array(boxes, np.float64).reshape(-1, 4)).astype(np.float64)


def test_clothes_tell_people_apart_and_size_does_not() -> None:
    boxes = (20, 50, 80, 250), (200, 60, 250, 220), (400, 100, 490, 390)
    red, blue, larger_red = described(street(*boxes), *boxes)
    assert distances(red, larger_red) < 0.1
    assert distances(red, blue) > 3 * distances(red, larger_red)


def test_a_little_less_light_is_no_other_person() -> None:
    boxes = (20, 50, 80, 250), (200, 60, 250, 220)
    [red, blue], [dim, _] = described(street(*boxes), *boxes), described(street(*boxes, light=0.85), *boxes)
    assert distances(red, dim) < 0.6 * distances(red, blue)


def test_a_box_outside_the_picture_is_not_known() -> None:
    assert not described(street(), (700, 0, 800, 100), (0, 500, 10, 600)).any()
    assert described(street(), (-50, -50, 20, 20)).any()
    assert looks_in(street(), np.zeros((0, 4))).shape == (0, LOOKS_BYTES)


@given(st.integers(0, 5))
def test_packing_keeps_every_byte(count: int) -> None:
    rows = np.random.default_rng(count).integers(0, 256, (count, LOOKS_BYTES)).astype(np.uint8)
    text = packed(rows)
    assert len(text) == packed_length(count)
    assert (unpacked(text) == rows).all()
