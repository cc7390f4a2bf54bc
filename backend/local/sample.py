"""Makes a clip to try the system on: a pan and zoom over two photos with people, a tone as sound."""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from backend.errors import FramefleetError

WIDTH, HEIGHT, FPS, SECONDS = 1280, 720, 25, 40
TONE_HZ, SOUND_RATE_HZ, SOUND_BLOCK = 440, 48_000, 1024
# Each photo, and where the view begins and ends on it: centre x, centre y, view width, as shares of the photo's size.
SHOTS = (
    ("bus.jpg", (0.42, 0.58, 0.80), (0.57, 0.61, 0.86)),
    ("zidane.jpg", (0.62, 0.52, 0.72), (0.44, 0.54, 0.86)),
)


class SampleUnavailable(FramefleetError):
    code = "sample_unavailable"


def make_sample(path: Path, seconds: int = SECONDS) -> Path:
    """Writes the clip: 1280 × 720, 25 frames/s, H.264 with an AAC tone. Raises SampleUnavailable."""
    photos = [_photo(name) for name, _, _ in SHOTS]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with av.open(str(part), "w", format="mp4") as output:
        video = output.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "23"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.gop_size = 2 * FPS
        sound = output.add_stream("aac", rate=SOUND_RATE_HZ, layout="mono")
        for number in range(FPS * seconds):
            frame = av.VideoFrame.from_ndarray(_view(photos, number / (FPS * seconds)), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            output.mux(video.encode(frame))
        for start in range(0, SOUND_RATE_HZ * seconds, SOUND_BLOCK):
            output.mux(sound.encode(_tone(start, min(SOUND_BLOCK, SOUND_RATE_HZ * seconds - start))))
        output.mux(video.encode(None))
        output.mux(sound.encode(None))
    part.replace(path)
    return path


def _photo(name: str) -> NDArray[np.uint8]:
    spec = importlib.util.find_spec("ultralytics")  # finds it without importing it
    folders = spec.submodule_search_locations if spec else None
    photo = cv2.imread(str(Path(folders[0]) / "assets" / name)) if folders else None
    if photo is None:
        raise SampleUnavailable("The sample's photos come with the package ultralytics-opencv-headless: install it.")
    return np.asarray(photo, np.uint8)


def _view(photos: list[NDArray[np.uint8]], share: float) -> NDArray[np.uint8]:
    """What the imagined camera sees after this share of the clip, (720, 1280, 3) BGR."""
    shot = min(int(share * len(SHOTS)), len(SHOTS) - 1)
    _, begin, end = SHOTS[shot]
    t = share * len(SHOTS) - shot
    ease = t * t * (3 - 2 * t)
    x, y, size = ((1 - ease) * a + ease * b for a, b in zip(begin, end, strict=True))
    height, width = photos[shot].shape[:2]
    scale = size * width / WIDTH
    matrix = np.array([[scale, 0, x * width - scale * WIDTH / 2], [0, scale, y * height - scale * HEIGHT / 2]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    view = cv2.warpAffine(photos[shot], matrix, (WIDTH, HEIGHT), flags=flags)
    return np.asarray(view, np.uint8)


def _tone(start: int, count: int) -> av.AudioFrame:
    wave = 0.1 * np.sin(2 * np.pi * TONE_HZ * np.arange(start, start + count) / SOUND_RATE_HZ)
    frame = av.AudioFrame.from_ndarray(wave.astype(np.float32).reshape(1, -1), format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE_HZ, start, Fraction(1, SOUND_RATE_HZ)
    return frame
