"""What the chunks found, over the whole video: its frames, who and what is in it, its shots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from backend.kinds.context import Earlier, WholeContext
from backend.kinds.params import Params
from backend.media.budget import check_frames
from backend.vision.artifacts import ChunkArtifact, load_artifact
from backend.vision.evidence import ground_of, with_looks
from backend.vision.link import link
from backend.vision.mouth_tracks import mouths_of
from backend.vision.pose.artifacts import PoseArtifact
from backend.vision.pose.heads import with_heads
from backend.vision.seats import seats
from backend.vision.smooth import smoothed
from backend.vision.speaker import Spoken, who_speaks
from backend.vision.speech import joined as joined_voice
from backend.vision.stitch import Track, stitch
from backend.vision.timeline import Timeline


@dataclass(frozen=True, eq=False)
class Stitched:
    """`shots` are ranges of frames [start, stop) between hard cuts."""

    timeline: Timeline
    tracks: list[Track]
    shots: list[tuple[int, int]]
    spoken: Spoken | None = None  # where the chunks tell of speech

    @property
    def size_bytes(self) -> int:
        """In memory, roughly."""
        tracks = sum(track.pts.nbytes + track.boxes.nbytes + track.confidence.nbytes for track in self.tracks)
        return self.timeline.frame_pts.nbytes + tracks


def artifacts_of(context: WholeContext[Params]) -> list[ChunkArtifact]:
    """What the chunks found, in order. Raises ArtifactCorrupt, ObjectNotFound, and MediaTooCostly before there is more
    of it than a job may have."""
    return artifacts_in(context.earlier, context.settings.max_frames)


def artifacts_in(earlier: Earlier, max_frames: int) -> list[ChunkArtifact]:
    """As `artifacts_of`."""
    artifacts, frames = [], 0
    for data, sha256 in earlier.artifacts():
        artifacts.append(load_artifact(data, expected_sha256=sha256))
        frames += len(artifacts[-1].frame_pts)
        check_frames(frames, max_frames)
    return artifacts


def stitched(
    artifacts: Sequence[ChunkArtifact],
    time_base: Fraction,
    frame_size: tuple[int, int],
    conf: float,
    poses: Iterable[PoseArtifact] = (),
) -> Stitched:
    """Tracks joined over seams and gaps, smoothed, with ids from 1, and with heads where the chunks have `poses` too.
    Raises ArtifactCorrupt."""
    whole = joined(artifacts, time_base, frame_size, conf)
    whole = replace(whole, tracks=with_heads(smoothed(whole.tracks, whole.timeline), poses))
    return replace(whole, spoken=_spoken(whole, artifacts))


def joined(
    artifacts: Sequence[ChunkArtifact], time_base: Fraction, frame_size: tuple[int, int], conf: float
) -> Stitched:
    """The same without smoothing: every box is still the detection that it was. Raises ArtifactCorrupt."""
    frame_pts = np.concatenate([np.array(artifact.frame_pts, np.int64) for artifact in artifacts])
    timeline = Timeline(frame_pts, time_base, frame_size)
    cuts_pts = _cuts_pts(artifacts)
    tracks = with_looks(stitch(artifacts), artifacts)
    linked = link(tracks, timeline, conf=conf, cuts_pts=cuts_pts, ground=ground_of(artifacts))
    return Stitched(timeline, linked, _shots(cuts_pts, frame_pts))


def _spoken(whole: Stitched, artifacts: Sequence[ChunkArtifact]) -> Spoken | None:
    if all(artifact.mouths is None for artifact in artifacts):
        return None
    timeline = whole.timeline
    records = [artifact.voice for artifact in artifacts if artifact.voice is not None]
    voice = joined_voice(records, int(timeline.frame_pts[0]), timeline.time_base)
    places = seats(whole.tracks, timeline, whole.shots)
    return who_speaks(mouths_of(whole.tracks, artifacts), voice, timeline, whole.shots, places)


def _cuts_pts(artifacts: Sequence[ChunkArtifact]) -> list[int]:
    """First frames of the shots after the first. A cut near a seam is seen by both of its workers."""
    return sorted({pts for artifact in artifacts for pts in artifact.cuts_pts})


def _shots(cuts_pts: Sequence[int], frame_pts: NDArray[np.int64]) -> list[tuple[int, int]]:
    edges = [0, *np.searchsorted(frame_pts, np.array(cuts_pts, np.int64)).tolist(), len(frame_pts)]
    return [(start, stop) for start, stop in pairwise(edges) if stop > start]
