"""Tracks of public sequences with ground truth: chunks cost nothing, and linking beats one ByteTrack pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.settings import Settings
from backend.vision.detector import open_detector
from benchmarks.tracking import Film, Row, compare, watch
from tests.conftest import MODEL, shared_file

SEQUENCES = ("TUD-Campus", "TUD-Stadtmitte")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Film]:
    clips = [shared_file("media", "mot", name, f"{name}.mp4") for name in SEQUENCES]
    shared_file("models", MODEL.name)
    shared_file("tools", "mot_eval.py")
    data_dir: Path = tmp_path_factory.mktemp("data")
    detector = open_detector(Settings(model_name=str(MODEL), data_dir=data_dir, detector="yolo"))
    return [watch(clip, detector) for clip in clips]


def means(rows: list[Row]) -> dict[str, Row]:
    return {row.method: row for row in rows if row.sequence == "mean"}


@pytest.mark.parametrize("sample_fps", [None, 10.0], ids=["every frame", "10 frames a second"])
def test_chunks_cost_half_a_point_at_most_and_linking_gains_eight(films: list[Film], sample_fps: float | None) -> None:
    found = means(compare(films, sample_fps))
    plain = means(compare(films))["ByteTrack, defaults"]
    whole = found["ours, one pass"]
    assert whole.idf1 >= plain.idf1 + 8
    assert whole.mota >= plain.mota + 5
    for seconds in (1, 2, 4):
        chunked = found[f"ours, {seconds} s chunks"]
        assert chunked.idf1 >= whole.idf1 - 0.5, chunked
        assert chunked.mota >= whole.mota - 0.5, chunked
