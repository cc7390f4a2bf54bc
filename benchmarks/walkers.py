"""Films of a street, made from a film in which one person after another stands alone: who is where is known exactly.

The people are cut out against the empty room, made smaller, and walk: they cross, turn round, stop, go behind a post,
leave and come back, and some look alike. Everything follows from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from backend.vision.detector import Detector

Picture = NDArray[np.uint8]

SIZE, PAIR_SIZE = (768, 576), (1280, 720)
HORIZON, NEAREST = 150.0, 560.0  # where feet are, far and near
FAR_PX, NEAR_PX = 55.0, 190.0  # how high people are there
_SPRITES = 24  # pictures of each person
_CLEAR = 26  # levels from the empty room that are somebody


class Sprite(NamedTuple):
    """A cut-out person: BGR and opacity in 0..1, as high as it was filmed."""

    colour: NDArray[np.float32]
    opacity: NDArray[np.float32]


Cast = list[list[Sprite]]  # each person's pictures


@dataclass(frozen=True)
class Street:
    """A made film. `boxes` (people, frames, 4), NaN where somebody is not there."""

    name: str
    fps: float
    pictures: list[Picture]
    boxes: NDArray[np.float64]


@dataclass
class _Walker:
    """`looks`: number of the cast; the rest in pixels of the ground and seconds."""

    looks: int
    place: NDArray[np.float64]
    goal: NDArray[np.float64]
    heights_per_sec: float
    away_sec: float = 0.0
    stands_sec: float = 0.0
    phase: float = 0.0
    faces: int = 1
    told: list[tuple[float, float, float, float] | None] = field(default_factory=list)


def cast_of(film: Path, detector: Detector) -> Cast:
    """The people of the film, each in some pictures, and each once more in other colours."""
    pictures = _decoded(film)
    boxes = [_alone(detector, picture) for picture in pictures]
    empty = [number for number, box in enumerate(boxes) if box is None]
    cast, run = [], list[int]()
    for number, box in enumerate([*boxes, None]):
        if box is not None and _is_whole(box, pictures[0]):
            run.append(number)
        elif box is None and run:
            if len(run) >= _SPRITES:
                chosen = [run[at] for at in np.linspace(0, len(run) - 1, _SPRITES).astype(int)]
                room = pictures[min(empty, key=lambda other: min(abs(other - run[0]), abs(other - run[-1])))]
                cast.append([_cut_out(pictures[at], room, boxes[at]) for at in chosen])
            run = []
    return cast + [[_recoloured(sprite) for sprite in sprites] for sprites in cast]


def street(
    cast: Cast, seed: int, *, fps: float = 10.0, seconds: float = 60.0, people: int = 8, pan: float = 0.0
) -> Street:
    """`pan`: how far the camera swings to both sides, in pixels."""
    rng = np.random.default_rng(seed)
    ground = _ground(rng)
    walkers = [_walker(rng, number % len(cast)) for number in range(people)]
    posts = sorted(rng.uniform(0.2, 0.8, 2) * SIZE[0])
    frames, pictures = round(fps * seconds), []
    for frame in range(frames):
        shift = pan * np.sin(2 * np.pi * frame / fps / 8.0)
        picture = _shifted(ground, shift)
        shown = []
        for walker in walkers:
            _step(walker, rng, 1.0 / fps)
            shown.append((walker.place[1], walker))
        shown.sort(key=lambda each: each[0])
        post_drawn = False
        for depth, walker in shown:
            if depth > 380 and not post_drawn:
                _draw_posts(picture, posts, shift)
                post_drawn = True
            walker.told.append(_draw(picture, cast[walker.looks], walker, shift))
        if not post_drawn:
            _draw_posts(picture, posts, shift)
        noise = rng.normal(0.0, 2.0, picture.shape).astype(np.float32)
        pictures.append(np.clip(picture + noise, 0, 255).astype(np.uint8))
    boxes = np.array([[told or (np.nan,) * 4 for told in walker.told] for walker in walkers])
    return Street(f"street {seed}", fps, pictures, boxes)


def two_apart(cast: Cast, seed: int, *, fps: float = 25.0, seconds: float = 12.0) -> Street:
    """Two people who stand and sway at either side of a wide picture, seen from head to foot; one steps nearer halfway
    for a while."""
    rng = np.random.default_rng(seed)
    width, height = PAIR_SIZE
    ground = _ground(rng, PAIR_SIZE)[:, 200 : 200 + width]
    looks = rng.choice(len(cast), 2, replace=False)
    walkers = [_Walker(int(number), np.zeros(2), np.zeros(2), 0.0) for number in looks]
    pictures = []
    for frame in range(round(fps * seconds)):
        at = frame / fps
        picture = ground.copy()
        step = 0.08 * np.clip(1.5 - abs(at - seconds / 2) / 2, 0, 1)
        for walker, side in zip(walkers, (0.17 + step, 0.83), strict=True):
            sway = 0.012 * np.sin(2 * np.pi * at / (3.1 + side) + seed)
            walker.place, walker.phase = np.array([(side + sway) * width, 0.97 * height]), 0.4 * at
            walker.told.append(_draw(picture, cast[walker.looks], walker, 0.0, 0.72 * height))
        pictures.append(np.clip(picture + rng.normal(0.0, 2.0, picture.shape), 0, 255).astype(np.uint8))
    boxes = np.array([[told or (np.nan,) * 4 for told in walker.told] for walker in walkers])
    return Street(f"two apart {seed}", fps, pictures, boxes)


def never_still(cast: Cast, seed: int, *, fps: float = 25.0, seconds: float = 20.0) -> Street:
    """One person, seen from head to foot, who paces up and down, sways and bends."""
    rng = np.random.default_rng(seed)
    width, height = PAIR_SIZE
    ground = _ground(rng, PAIR_SIZE)[:, 200 : 200 + width]
    walker = _Walker(int(rng.integers(len(cast))), np.zeros(2), np.zeros(2), 0.0)
    paces, sways = rng.uniform(0.0, 0.2), rng.uniform(0.0, 0.06)  # shares of the picture's width
    every_sec, sway_sec, bend_sec = rng.uniform(6.0, 14.0), rng.uniform(1.2, 3.0), rng.uniform(3.0, 9.0)
    pictures = []
    for frame in range(round(fps * seconds)):
        at = frame / fps
        picture = ground.copy()
        along = 2 / np.pi * np.arcsin(np.sin(2 * np.pi * at / every_sec))  # at one speed, and back
        place = 0.5 + paces * along + sways * np.sin(2 * np.pi * at / sway_sec)
        bend = 0.25 * max(0.0, np.sin(2 * np.pi * at / bend_sec)) ** 8
        walker.place, walker.phase = np.array([place * width, 0.95 * height]), 0.8 * at
        walker.told.append(_draw(picture, cast[walker.looks], walker, 0.0, (0.8 - bend) * height))
        pictures.append(np.clip(picture + rng.normal(0.0, 2.0, picture.shape), 0, 255).astype(np.uint8))
    boxes = np.array([[told or (np.nan,) * 4 for told in walker.told]])
    return Street(f"never still {seed}", fps, pictures, boxes)


def mot_rows(made: Street) -> NDArray[np.float64]:
    """The truth as gt.txt has it."""
    people, frames = np.nonzero(np.isfinite(made.boxes[..., 0]))
    boxes, ones = made.boxes[people, frames], np.ones(len(people))
    return np.column_stack([frames + 1, people + 1, boxes[:, :2], boxes[:, 2:] - boxes[:, :2], ones, ones, ones])


def write(made: Street, folder: Path) -> Path:
    """NAME/NAME.mp4 and NAME/gt.txt in the folder; returns the film."""
    place = folder / made.name.replace(" ", "-")
    place.mkdir()
    path = place / f"{place.name}.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=round(made.fps), options={"preset": "veryfast", "crf": "18"})
        stream.height, stream.width = made.pictures[0].shape[:2]
        for picture in made.pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    np.savetxt(place / "gt.txt", mot_rows(made), delimiter=",", fmt="%.2f")
    return path


def _decoded(film: Path) -> list[Picture]:
    with av.open(str(film)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def _alone(detector: Detector, picture: Picture) -> NDArray[np.float64] | None:
    [found] = detector.detect([picture], conf=0.5, iou=0.5)
    return found.boxes[int(found.confidence.argmax())] if len(found.boxes) else None


def _is_whole(box: NDArray[np.float64], picture: Picture) -> bool:
    """Somebody who stands upright, head and feet within the picture."""
    tall = (box[3] - box[1]) > 1.9 * (box[2] - box[0])
    return bool(tall and box[1] > 2 and box[3] < picture.shape[0] - 2)


def _cut_out(picture: Picture, room: Picture, box: NDArray[np.float64] | None) -> Sprite:
    assert box is not None
    margin = 6
    left, top = np.maximum(box[:2].astype(int) - margin, 0)
    right, bottom = np.minimum(box[2:].astype(int) + margin, [picture.shape[1], picture.shape[0]])
    here, there = picture[top:bottom, left:right], room[top:bottom, left:right]
    apart = cv2.GaussianBlur(np.abs(here.astype(np.float32) - there).max(axis=2), (0, 0), 1.2)
    mask = (apart > _CLEAR).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    count, labels, facts, _ = cv2.connectedComponentsWithStats(mask)
    if count > 1:
        mask = (labels == 1 + int(facts[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    opacity = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0)[part]
    return Sprite(here[part].astype(np.float32), opacity.astype(np.float32))


def _recoloured(sprite: Sprite) -> Sprite:
    """Warmer and lighter clothes, the same shape: another person."""
    hsv = cv2.cvtColor(sprite.colour.astype(np.uint8), cv2.COLOR_BGR2HSV).astype(np.float32)
    rows = np.linspace(0, 1, len(hsv))[:, None]
    clothes = np.clip((rows - 0.15) / 0.05, 0, 1) * np.clip((0.6 - rows) / 0.05, 0, 1)
    hsv[..., 0] = np.where(clothes > 0.5, 8.0, hsv[..., 0])
    hsv[..., 1] = np.clip(hsv[..., 1] + 110 * clothes, 0, 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + 60 * clothes, 0, 255)
    return Sprite(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR).astype(np.float32), sprite.opacity)


def _ground(rng: np.random.Generator, size: tuple[int, int] = SIZE) -> NDArray[np.float32]:
    """Pavement with stains and lines, a lawn and a wall: enough texture to see the camera move."""
    width, height = size[0] + 400, size[1]
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = (118, 122, 126)
    picture[: int(HORIZON) - 40] = (150, 140, 128)
    picture[int(HORIZON) - 40 : int(HORIZON)] = (70, 110, 80)
    for scale, strength in ((64, 14.0), (16, 9.0), (4, 6.0)):
        rough = rng.normal(0, strength, (height // scale + 1, width // scale + 1)).astype(np.float32)
        picture += cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    for _ in range(30):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        colour = tuple(float(value) for value in rng.uniform(60, 190, 3))
        cv2.rectangle(picture, (x, y), (x + int(rng.integers(8, 70)), y + int(rng.integers(4, 30))), colour, -1)
    return picture


def _shifted(ground: NDArray[np.float32], shift: float) -> NDArray[np.float32]:
    move = np.array([[1, 0, -200 - shift], [0, 1, 0]], np.float32)
    return np.asarray(cv2.warpAffine(ground, move, SIZE, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _draw_posts(picture: NDArray[np.float32], posts: list[float], shift: float) -> None:
    for at in posts:
        left = int(at - shift)
        cv2.rectangle(picture, (left, 60), (left + 14, 400), (60, 62, 66), -1)


def _walker(rng: np.random.Generator, looks: int) -> _Walker:
    place = np.array([rng.uniform(40, SIZE[0] - 40), rng.uniform(HORIZON + 40, NEAREST)])
    return _Walker(looks, place, _goal(rng), rng.uniform(0.5, 0.95))


def _goal(rng: np.random.Generator) -> NDArray[np.float64]:
    """Somewhere in the picture, or out of it at a side."""
    y = rng.uniform(HORIZON + 40, NEAREST)
    if rng.random() < 0.45:
        return np.array([-90.0 if rng.random() < 0.5 else SIZE[0] + 90.0, y])
    return np.array([rng.uniform(40, SIZE[0] - 40), y])


def height_at(y: float) -> float:
    return FAR_PX + (NEAR_PX - FAR_PX) * (y - HORIZON) / (NEAREST - HORIZON)


def _step(walker: _Walker, rng: np.random.Generator, seconds: float) -> None:
    if walker.away_sec > 0:
        walker.away_sec -= seconds
        if walker.away_sec <= 0:
            walker.goal = np.array([rng.uniform(150, SIZE[0] - 150), rng.uniform(HORIZON + 40, NEAREST)])
        return
    if walker.stands_sec > 0:
        walker.stands_sec -= seconds
        return
    to_goal = walker.goal - walker.place
    pace = walker.heights_per_sec * height_at(walker.place[1]) * seconds
    way = float(np.hypot(to_goal[0], 2 * to_goal[1]))  # the ground is foreshortened
    if way <= pace:
        outside = not 0 < walker.place[0] < SIZE[0]
        walker.away_sec = float(rng.uniform(0.5, 4.0)) if outside else 0.0
        walker.stands_sec = float(rng.uniform(1.0, 5.0)) if not outside and rng.random() < 0.4 else 0.0
        walker.goal = _goal(rng)
        return
    walker.place = walker.place + to_goal / way * pace
    walker.phase += 2.2 * seconds
    if abs(to_goal[0]) > 1:
        walker.faces = 1 if to_goal[0] > 0 else -1


def _draw(
    picture: NDArray[np.float32], sprites: list[Sprite], walker: _Walker, shift: float, high: float | None = None
) -> tuple[float, float, float, float] | None:
    """Draws somebody, `high` pixels or as high as people are there; returns the box, None outside the picture."""
    sprite = sprites[int(walker.phase * 3) % len(sprites)]
    height = (high or height_at(float(walker.place[1]))) * (1 + 0.015 * np.sin(2 * np.pi * walker.phase))
    scale = height / sprite.opacity.shape[0]
    size = (max(2, round(sprite.opacity.shape[1] * scale)), max(4, round(height)))
    colour = cv2.resize(sprite.colour, size, interpolation=cv2.INTER_AREA)[:, :: walker.faces]
    opacity = cv2.resize(sprite.opacity, size, interpolation=cv2.INTER_AREA)[:, :: walker.faces]
    left = round(float(walker.place[0]) - shift - size[0] / 2)
    top = round(float(walker.place[1])) - size[1]
    limit = picture.shape[1], picture.shape[0]
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + size[0], limit[0]), min(top + size[1], limit[1])
    if walker.away_sec > 0 or x2 - x1 < 0.3 * size[0] or y2 - y1 < 0.3 * size[1]:
        return None
    inside = (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
    part = picture[y1:y2, x1:x2]
    part += (colour[inside] - part) * opacity[inside][..., None]
    return float(x1), float(y1), float(x2), float(y2)
