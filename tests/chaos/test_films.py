"""A film that lacks a frame, shows one twice or shows it late is told from its source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.chaos.films import Frames, differences, frames_of, make_film


def test_each_fault_of_a_film_is_seen(tmp_path: Path) -> None:
    source = frames_of(make_film(tmp_path / "film.mp4", seconds=4))
    assert len(source.pts) == 48
    assert differences(source, frames_of(tmp_path / "film.mp4")) == []
    assert differences(source, Frames(source.pts[1:], source.seconds[1:], source.luma[1:]))
    assert differences(source, replace(source, luma=[*source.luma[:7], source.luma[6], *source.luma[8:]]))
    assert differences(source, replace(source, seconds=[seconds + 0.01 for seconds in source.seconds]))
