"""A large still photo of a person beside a smaller living one, from the file to the subject."""

from __future__ import annotations

import math
from pathlib import Path

import av
import numpy as np
import pytest
import ultralytics
from PIL import Image

from backend.kinds.crop_params import CropParams
from backend.settings import Settings
from backend.vision.detector import open_detector
from benchmarks.seams import framing_of
from tests.conftest import shared_file

WIDTH, HEIGHT, SECONDS = 1280, 720, 8


def film_with_a_photo(clip: Path, path: Path) -> Path:
    """The clip, small, at the right side of a grey picture whose left half is a photo of one person."""
    photo = Image.open(Path(ultralytics.__file__).parent / "assets" / "zidane.jpg").crop((720, 0, 1280, 720))
    canvas = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    canvas[:, :560] = np.asarray(photo)
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "20"})
        stream.width, stream.height = WIDTH, HEIGHT
        for number, frame in enumerate(source.decode(video=0)):
            if number == 25 * SECONDS:
                break
            small = frame.to_image().resize((420, 402))
            canvas[300:702, 840:1260] = np.asarray(small)
            target.mux(stream.encode(av.VideoFrame.from_ndarray(canvas, format="rgb24")))
        target.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("subject", ["main", "all"])
def test_the_window_follows_who_lives_and_not_the_photo(tmp_path: Path, model: Path, subject: str) -> None:
    film = film_with_a_photo(shared_file("media", "dancer.avi"), tmp_path / "photo.mp4")
    settings = Settings(model_name=str(model), data_dir=tmp_path, detector="yolo")
    params = CropParams(aspect="9:16", subject=subject)
    framing, _ = framing_of(film, math.inf, open_detector(settings), settings, params)
    assert len(framing.tracks) > 1  # the photo is found too
    middles = (framing.subject.boxes[:, 0] + framing.subject.boxes[:, 2]) / 2
    known = np.isfinite(middles)
    assert known.mean() > 0.7
    assert (middles[known] > 840).all()
    assert (framing.path.centres[:, 0] > 700).all()
