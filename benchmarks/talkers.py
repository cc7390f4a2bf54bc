"""Films of two people side by side of whom one speaks at a time, made of real talkers, with the truth of who speaks."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
import cv2
import numpy as np
from numpy.typing import NDArray

FPS = 25
PANE = (540, 960)  # width, height of each half
RATE_HZ = 48_000
FADE_FRAMES = 6

Spoken: TypeAlias = "list[tuple[float, float, int]]"
"""(start, stop, side) in seconds: who speaks when, 0 on the left and 1 on the right."""


@dataclass(frozen=True, eq=False)
class Talker:
    """A stretch of somebody speaking: pictures (n, height, width, 3) at FPS and the sound in sync with them."""

    pictures: NDArray[np.uint8]
    sound: NDArray[np.int16]

    @property
    def seconds(self) -> float:
        return len(self.pictures) / FPS

    def mirrored(self) -> Talker:
        return Talker(self.pictures[:, :, ::-1], self.sound)

    def looped(self) -> Talker:
        """Its last quarter of a second becomes the first, so that no cut is seen where it begins again."""
        pictures = self.pictures.copy()
        for step in range(FADE_FRAMES):
            share = (step + 1) / (FADE_FRAMES + 1)
            at = len(pictures) - FADE_FRAMES + step
            pictures[at] = cv2.addWeighted(pictures[at], 1 - share, pictures[step], share, 0)
        return Talker(pictures, self.sound)

    def with_drawn_mouth(self) -> Talker:
        """A mouth over the own one that opens as its sound is loud, a tenth of a second before it is heard."""
        opened = _loudness(self.sound, len(self.pictures), lead_sec=0.1)
        pictures = self.pictures.copy()
        for picture, face, wide in zip(pictures, _faces(pictures), opened, strict=True):
            x, y, side = face
            middle = (round(x + 0.5 * side), round(y + 0.78 * side))
            skin = picture[round(y + 0.6 * side), middle[0]].tolist()
            cv2.ellipse(picture, middle, (round(0.26 * side), round(0.14 * side)), 0, 0, 360, skin, -1, cv2.LINE_AA)
            lips = (round(0.17 * side), round((0.02 + 0.1 * wide) * side))
            cv2.ellipse(picture, middle, lips, 0, 0, 360, (50, 40, 110), -1, cv2.LINE_AA)
        return Talker(pictures, self.sound)


def talker(path: Path, start_sec: float, stop_sec: float, view: tuple[float, float, float, float]) -> Talker:
    """What lies between two times of the film's clock, in `view` (left, top, right, bottom as shares)."""
    times = np.arange(start_sec, stop_sec - 1e-6, 1 / FPS)
    with av.open(str(path)) as container:
        shown = [
            (frame.time, _pane(frame.to_ndarray(format="bgr24"), view))
            for frame in container.decode(video=0)
            if start_sec - 1 <= frame.time <= stop_sec + 1
        ]
    at = np.searchsorted([time for time, _ in shown], times + 0.5 / FPS, side="right") - 1
    pictures = np.stack([shown[max(0, int(place))][1] for place in at])
    return Talker(pictures, sound_of(path, start_sec, len(times) * RATE_HZ // FPS))


def _pane(picture: NDArray[np.uint8], view: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    left, top, right, bottom = (round(share * side) for share, side in zip(view, (width, height) * 2, strict=True))
    return np.asarray(cv2.resize(picture[top:bottom, left:right], PANE, interpolation=cv2.INTER_AREA), np.uint8)


def _faces(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """x, y, side (n, 3) of the one face in each."""
    finder = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"))
    rows = np.full((len(pictures), 3), np.nan)
    for row, picture in zip(rows, pictures, strict=True):
        small = cv2.cvtColor(picture[::2, ::2], cv2.COLOR_BGR2GRAY)
        found = finder.detectMultiScale(small, 1.1, 3, minSize=(40, 40))
        if len(found):
            row[:] = 2.0 * max(found, key=lambda each: each[2])[:3]
    known = np.isfinite(rows[:, 0])
    places = np.arange(len(rows))
    filled = [np.interp(places, places[known], column[known]) for column in rows.T]
    return np.column_stack([np.convolve(np.pad(column, 2, "edge"), np.ones(5) / 5, "valid") for column in filled])


def _loudness(sound: NDArray[np.int16], count: int, *, lead_sec: float) -> NDArray[np.float64]:
    """0 (silent) to 1 (as loud as it gets) at the time of each picture and a lead later."""
    levels = np.sqrt(np.square(sound[: len(sound) // 480 * 480].reshape(-1, 480).astype(np.float64)).mean(axis=1))
    smooth = np.convolve(levels, np.ones(5) / 5, "same") / max(1.0, float(np.percentile(levels, 95)))
    return np.clip(np.interp(np.arange(count) / FPS + lead_sec, (np.arange(len(levels)) + 0.5) / 100, smooth), 0, 1)


def sound_of(path: Path, start_sec: float, samples: int) -> NDArray[np.int16]:
    resampler = av.AudioResampler("s16", "mono", RATE_HZ)
    track = np.zeros(samples, np.int16)
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            begins = round((frame.time - start_sec) * RATE_HZ)
            frame.pts = None
            for part in resampler.resample(frame):
                values = part.to_ndarray().ravel()
                first, last = max(0, begins), min(samples, begins + len(values))
                if first < last:
                    track[first:last] = values[first - begins : last - begins]
                begins += len(values)
    return track


def turns(seconds: float, seed: int) -> Spoken:
    """In turns of 4 to 8 s."""
    chance, found, at, side = np.random.default_rng(seed), [], 0.0, 0
    while at < seconds:
        stop = min(seconds, at + float(chance.uniform(4, 8)))
        found.append((at, stop, side))
        at, side = stop, 1 - side
    return found


def side_by_side(
    path: Path,
    people: tuple[Talker, Talker],
    spoken: Spoken,
    *,
    silent_is_still: bool = False,
    sound: NDArray[np.int16] | None = None,
) -> None:
    """Both go on moving, each from another place of its stretch; the sound is the one of whoever's turn it is, or
    `sound`. `silent_is_still`: whoever is silent is a frozen picture."""
    count = round(spoken[-1][1] * FPS)
    side_of = np.zeros(count, np.int64)
    for start, stop, side in spoken:
        side_of[round(start * FPS) : round(stop * FPS)] = side
    places = np.zeros((count, 2), np.int64)
    at = [0, len(people[1].pictures) // 2]
    for frame in range(count):
        places[frame] = at
        for side, person in enumerate(people):
            if not silent_is_still or side_of[frame] == side:
                at[side] = (at[side] + 1) % len(person.pictures)
    step = RATE_HZ // FPS
    if sound is None:
        sound = np.concatenate(
            [people[s].sound[places[i, s] * step : (places[i, s] + 1) * step] for i, s in enumerate(side_of)]
        )
    _write(path, people, places, sound[: count * step])


def _write(path: Path, people: tuple[Talker, Talker], places: NDArray[np.int64], sound: NDArray[np.int16]) -> None:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "18"})
        video.width, video.height, video.pix_fmt = 2 * PANE[0], PANE[1], "yuv420p"
        audio = container.add_stream("aac", rate=RATE_HZ, layout="mono")
        for left, right in places:
            picture = np.hstack([people[0].pictures[left], people[1].pictures[right]])
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")))
        container.mux(video.encode(None))
        for start in range(0, len(sound), RATE_HZ):
            part = av.AudioFrame.from_ndarray(sound[None, start : start + RATE_HZ], format="s16", layout="mono")
            part.sample_rate, part.pts, part.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
            container.mux(audio.encode(part))
        container.mux(audio.encode(None))
