"""The camera path of kind `crop`, before it is rendered."""

from __future__ import annotations

import numpy as np

from backend.kinds import accounts, with_poses
from backend.kinds.context import Earlier
from backend.kinds.crop_params import CropParams
from backend.kinds.framing import framed
from backend.kinds.path_preview import Gathered, PathPreview, SolvedPath
from backend.kinds.stitched import Stitched, artifacts_in, stitched
from backend.media.facts import VideoFacts
from backend.settings import Settings
from backend.vision.holding_words import shortfalls


class CropPreview(PathPreview[CropParams]):
    def gather(self, earlier: Earlier, facts: VideoFacts, params: CropParams, settings: Settings) -> Stitched:
        people = with_poses.people_of(earlier) if params.pose else earlier
        artifacts = artifacts_in(people, settings.max_frames)
        return stitched(artifacts, facts.time_base_fraction, (facts.width, facts.height), params.conf)

    def solve(
        self, gathered: Gathered, facts: VideoFacts, params: CropParams, around_sec: float | None = None
    ) -> SolvedPath:
        """Raises MediaTruncated, InvalidParams (an unknown track, a keyframe that cannot be met), PathUnsolved."""
        assert isinstance(gathered, Stitched)  # as this gathers them
        warnings = accounts.decoded(facts, gathered.timeline.frame_pts)
        framing = framed(gathered, params)
        path, proof = framing.path, None
        start, stop = 0, len(gathered.timeline)
        if around_sec is None:
            proof = framing.certificate(params.smooth_alpha)
            warnings += shortfalls(proof, params.subject, params.fill)
        else:
            start, stop = _shot_at(gathered, around_sec)
        part = slice(start, stop)
        return SolvedPath(
            frames=len(gathered.timeline),
            from_frame=start,
            x=path.x[part],
            y=path.y[part],
            width=path.width[part],
            height=path.height[part],
            shots=path.shots,
            output_size=path.output_size,
            subject_track_ids=framing.subject.track_ids,
            certificate=proof,
            warnings=warnings,
        )


def _shot_at(found: Stitched, at_sec: float) -> tuple[int, int]:
    row = int(np.abs(found.timeline.times_sec - at_sec).argmin())
    return next((start, stop) for start, stop in found.shots if row < stop)
