"""A large still photo of a person beside a smaller living one, from the file to the subject."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from backend.kinds.crop_params import CropParams
from backend.kinds.framing import solve_framing
from backend.settings import Settings
from backend.vision.detector import open_detector
from benchmarks.seams import Analysed, analysed
from tests.conftest import shared_file

WIDTH, HEIGHT, SECONDS = 1280, 720, 8


def film_with_a_photo(clip: Path, path: Path) -> Path:
    """The clip, small, at the right side of a grey picture whose left half is a photo of one person."""
    package = importlib.util.find_spec("ultralytics")  # not imported: that takes torch, and seconds
    assert package is not None and package.origin is not None
    photo = Image.open(Path(package.origin).parent / "assets" / "zidane.jpg").crop((720, 0, 1280, 720))
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


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Analysed:
    """The film, detected and tracked in one chunk."""
    folder = tmp_path_factory.mktemp("photo")
    film = film_with_a_photo(shared_file("media", "dancer.avi"), folder / "photo.mp4")
    settings = Settings(model_name=str(model), data_dir=folder, detector="yolo")
    return analysed(film, math.inf, open_detector(settings), settings, CropParams(aspect="9:16"))


@pytest.mark.parametrize("subject", ["main", "all"])
def test_the_window_follows_who_lives_and_not_the_photo(found: Analysed, subject: str) -> None:
    size = (found.facts.width, found.facts.height)
    params = CropParams(aspect="9:16", subject=subject)
    framing = solve_framing(found.artifacts, found.facts.time_base_fraction, size, params)
    assert len(framing.tracks) > 1  # the photo is found too
    middles = (framing.subject.boxes[:, 0] + framing.subject.boxes[:, 2]) / 2
    known = np.isfinite(middles)
    assert known.mean() > 0.7
    assert (middles[known] > 840).all()
    assert (framing.path.centres[:, 0] > 700).all()
