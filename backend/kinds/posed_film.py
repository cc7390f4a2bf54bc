"""People and their landmarks over a whole film, from what the chunks of a pose job found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.media.facts import VideoFacts
from backend.media.timebase import SampleGrid
from backend.vision.link import link
from backend.vision.pose.artifacts import LandmarkIndex, PoseArtifact
from backend.vision.pose.person import Person
from backend.vision.stitch import stitch
from backend.vision.timeline import Timeline


@dataclass(frozen=True, eq=False)
class PosedFilm:
    """`sampled_pts` (n,): the frames on which people were looked for, whoever is on them. `cuts_pts`: the first frames
    of the shots after the first."""

    timeline: Timeline
    sampled_pts: NDArray[np.int64]
    cuts_pts: list[int]
    people: list[Person]


def posed_film(artifacts: Sequence[PoseArtifact], facts: VideoFacts, *, sample_fps: float, conf: float) -> PosedFilm:
    """People with ids 1..n in order of first appearance, joined over seams, gaps and never over cuts, as crop does it.

    A chunk's first frame is sampled beside the grid, for its tracker; it is left out here, so that a film has the same
    samples however it was cut. Raises ArtifactCorrupt.
    """
    chunks = [artifact.chunk for artifact in artifacts]
    frame_pts = np.concatenate([np.array(chunk.frame_pts, np.int64) for chunk in chunks])
    timeline = Timeline(frame_pts, facts.time_base_fraction, (facts.width, facts.height))
    sampled_pts = _on_grid(frame_pts, facts, sample_fps)
    cuts_pts = sorted({pts for chunk in chunks for pts in chunk.cuts_pts})
    index = LandmarkIndex(artifacts)
    tracks = link(stitch(chunks), timeline, conf=conf, cuts_pts=cuts_pts)
    people: list[Person] = []
    for track in tracks:
        kept = track.rows(np.isin(track.pts, sampled_pts))
        if len(kept.pts):
            times_sec = (kept.pts - frame_pts[0]) * float(timeline.time_base)
            people.append(Person(len(people) + 1, kept.pts, times_sec, kept.boxes, kept.confidence, index.of(kept)))
    return PosedFilm(timeline, sampled_pts, cuts_pts, people)


def _on_grid(frame_pts: NDArray[np.int64], facts: VideoFacts, sample_fps: float) -> NDArray[np.int64]:
    """The frames that a film in one chunk samples."""
    grid = SampleGrid(facts.start_pts, facts.time_base_fraction, sample_fps)
    return np.array([pts for pts in frame_pts.tolist() if grid.takes(pts)], np.int64)
