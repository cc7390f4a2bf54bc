"""Two real talkers side by side, one of them still at a time, from the file to the window."""

from __future__ import annotations

from pathlib import Path

from backend.settings import Settings
from backend.vision.detector import open_detector
from benchmarks.speaker import Film, measure
from benchmarks.talkers import Spoken, side_by_side, talker
from tests.conftest import shared_file

SPOKEN: Spoken = [(0.0, 3.0, 0), (3.0, 6.0, 1)]


def test_the_window_cuts_to_whose_mouth_moves_while_a_voice_is_heard(tmp_path: Path, model: Path) -> None:
    person = talker(shared_file("media", "latentsync_demo1.mp4"), 0, 3.6, (0.0, 0.2, 1.0, 1.0))

    def make(path: Path, spoken: Spoken) -> None:
        side_by_side(path, (person, person.mirrored()), spoken, silent_is_still=True)

    settings = Settings(model_name=str(model), data_dir=tmp_path, detector="yolo")
    row = measure("two", Film(make, 0), tmp_path, open_detector(settings), settings, SPOKEN)
    assert row.on_speaker_pct is not None and row.on_speaker_pct >= 90
    assert (row.changes, row.wrong_a_minute) == (1, 0)
