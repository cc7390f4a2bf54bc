"""Makes a clip to try the system on: a photo of a street that slides and grows over its own blurred picture, a tone."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FPS, SECONDS = 1280, 720, 25, 40
TONE_HZ, SOUND_RATE_HZ, SOUND_BLOCK = 440, 48_000, 1024
# `bus.jpg` of the package Ultralytics (AGPL-3.0), 810 x 1080: two people stand side by side, whole.
PHOTO = Path(__file__).with_name("street.jpg")
# Each shot's begin and end: where the middle of the two is in the film, as a share of its width; the photo's scale.
SHOTS = (((0.19, 1.06), (0.80, 1.06)), ((0.72, 1.18), (0.26, 1.06)))
PHOTO_WIDTH_PX = 715  # of it: to the right of that is somebody cut in half
FADE_PX = 64  # of the film, in which the photo's sides fade into what is behind; so does an arm that reaches in
MIDDLE_PX = (205, 655)  # of the two, in the photo
MIDDLE_HEIGHT = 0.53  # where that is in the film, as a share of its height
BLUR_SIGMA_PX = 40


def make_sample(path: Path, seconds: int = SECONDS) -> Path:
    """Writes the clip: 1280 × 720, 25 frames/s, H.264 with an AAC tone."""
    photo = np.asarray(cv2.imread(str(PHOTO)), np.uint8)[:, :PHOTO_WIDTH_PX]
    behind = _behind(photo)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with av.open(str(part), "w", format="mp4") as output:
        video = output.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "23"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.gop_size = 2 * FPS
        sound = output.add_stream("aac", rate=SOUND_RATE_HZ, layout="mono")
        for number in range(FPS * seconds):
            frame = av.VideoFrame.from_ndarray(_view(photo, behind, number / (FPS * seconds)), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            output.mux(video.encode(frame))
        for start in range(0, SOUND_RATE_HZ * seconds, SOUND_BLOCK):
            output.mux(sound.encode(_tone(start, min(SOUND_BLOCK, SOUND_RATE_HZ * seconds - start))))
        output.mux(video.encode(None))
        output.mux(sound.encode(None))
    part.replace(path)
    return path


def _behind(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo as wide as the film and out of focus, (720, 1280, 3): colours, but nobody."""
    wide = cv2.resize(photo, (WIDTH, round(WIDTH * photo.shape[0] / photo.shape[1])), interpolation=cv2.INTER_AREA)
    top = (wide.shape[0] - HEIGHT) // 2
    return np.asarray(cv2.GaussianBlur(wide[top : top + HEIGHT], (0, 0), BLUR_SIGMA_PX), np.uint8)


def _view(photo: NDArray[np.uint8], behind: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """What is seen after this share of the clip, (720, 1280, 3) BGR."""
    shot = min(int(share * len(SHOTS)), len(SHOTS) - 1)
    begin, end = SHOTS[shot]
    t = share * len(SHOTS) - shot
    ease = t * t * (3 - 2 * t)
    x, scale = ((1 - ease) * a + ease * b for a, b in zip(begin, end, strict=True))
    move = [x * WIDTH - scale * MIDDLE_PX[0], MIDDLE_HEIGHT * HEIGHT - scale * MIDDLE_PX[1]]
    matrix = np.array([[scale, 0, move[0]], [0, scale, move[1]]])
    view = cv2.warpAffine(
        photo, matrix, (WIDTH, HEIGHT), dst=behind.copy(), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT
    )
    # The columns around the photo; OpenCV draws a little past its last pixel.
    left, right = math.floor(move[0]), math.ceil(move[0] + scale * (photo.shape[1] - 1)) + 1
    _fade(view, behind, left, np.linspace(0, 1, FADE_PX))
    _fade(view, behind, right + 1 - FADE_PX, np.linspace(1, 0, FADE_PX))
    return np.asarray(view, np.uint8)


def _fade(view: NDArray[Any], behind: NDArray[np.uint8], start: int, seen: NDArray[np.float64]) -> None:
    """Mixes what is behind into the view's columns from `start` on, of which the photo keeps the share `seen`."""
    first, stop = (min(max(column, 0), WIDTH) for column in (start, start + len(seen)))
    weight = seen[first - start : stop - start, None]
    view[:, first:stop] = weight * view[:, first:stop] + (1 - weight) * behind[:, first:stop]


def _tone(start: int, count: int) -> av.AudioFrame:
    wave = 0.1 * np.sin(2 * np.pi * TONE_HZ * np.arange(start, start + count) / SOUND_RATE_HZ)
    frame = av.AudioFrame.from_ndarray(wave.astype(np.float32).reshape(1, -1), format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE_HZ, start, Fraction(1, SOUND_RATE_HZ)
    return frame
