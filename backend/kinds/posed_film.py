"""People and their landmarks over a whole film, from what the chunks of a pose job found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.kinds.stitched import joined
from backend.media.facts import VideoFacts
from backend.media.timebase import SampleGrid
from backend.vision.pose.artifacts import LandmarkIndex, Landmarks, PoseArtifact
from backend.vision.pose.person import Person
from backend.vision.stitch import Track
from backend.vision.timeline import Timeline


@dataclass(frozen=True, eq=False)
class PosedFilm:
    """`sampled_pts` (n,): the frames on which people were looked for, whoever is on them. `shots`: ranges of frames
    [start, stop) between hard cuts."""

    timeline: Timeline
    sampled_pts: NDArray[np.int64]
    shots: list[tuple[int, int]]
    people: list[Person]


def posed_film(artifacts: Sequence[PoseArtifact], facts: VideoFacts, *, sample_fps: float, conf: float) -> PosedFilm:
    """People with ids 1..n in order of first appearance, joined over seams, gaps and never over cuts, as crop does it.

    A chunk's first frame is sampled beside the grid, for its tracker; it is left out here, so that a film has the same
    samples however it was cut. Raises ArtifactCorrupt.
    """
    chunks = [artifact.chunk for artifact in artifacts]
    whole = joined(chunks, facts.time_base_fraction, (facts.width, facts.height), conf)
    sampled_pts = _on_grid(whole.timeline.frame_pts, facts, sample_fps)
    index = LandmarkIndex(artifacts)
    kept = (track.rows(np.isin(track.pts, sampled_pts)) for track in whole.tracks)
    seen = [track for track in kept if len(track.pts)]
    people = [_person(number, track, index.of(track), whole.timeline) for number, track in enumerate(seen, start=1)]
    return PosedFilm(whole.timeline, sampled_pts, whole.shots, people)


def _person(number: int, track: Track, landmarks: Landmarks, timeline: Timeline) -> Person:
    times_sec = (track.pts - timeline.frame_pts[0]) * float(timeline.time_base)
    return Person(number, track.pts, times_sec, track.boxes, track.confidence, landmarks)


def _on_grid(frame_pts: NDArray[np.int64], facts: VideoFacts, sample_fps: float) -> NDArray[np.int64]:
    """The frames that a film in one chunk samples."""
    grid = SampleGrid(facts.start_pts, facts.time_base_fraction, sample_fps)
    return np.array([pts for pts in frame_pts.tolist() if grid.takes(pts)], np.int64)
