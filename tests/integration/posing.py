"""Pose jobs in this process: planned, cut, analysed and joined by the product's own code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.jobs.looks import probe_source
from backend.kinds.base import Done, Onward
from backend.kinds.context import ChunkContext, WholeContext
from backend.kinds.landmarks import FindLandmarks
from backend.kinds.pose import POSE
from backend.kinds.tools import Tools
from backend.media.facts import VideoFacts
from backend.media.segments import divided
from backend.storage import open_source
from backend.storage.block_cache import BlockCache
from backend.storage.range_reader import RangeReader
from benchmarks.seams import Left


@dataclass
class Posed:
    facts: VideoFacts
    artifacts: list[bytes]
    made: Done | Onward
    folder: Path

    @property
    def results(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "final_results.json").read_bytes())
        return found

    @property
    def report(self) -> str:
        page = self.made.files["report.html"]
        assert isinstance(page, bytes)
        return page.decode()


def pose(path: Path, folder: Path, tools: Tools, chunk_seconds: float = 1e6, **params: Any) -> Posed:
    """Raises the job's FramefleetError."""
    source, cache = open_source(path.resolve().as_uri(), tools.settings), BlockCache()
    facts = probe_source(RangeReader(source, cache), tools.settings)
    parsed = POSE.parse_params(params)
    whole_sec = (facts.duration_seconds or 0) + 1
    pieces = divided(facts, min(chunk_seconds, whole_sec), sample_fps=parsed.samples_per_sec)
    artifacts = [
        FindLandmarks().work(
            ChunkContext(
                job_id="posing",
                chunk_index=piece.index,
                interval=(piece.start_pts, piece.end_pts),
                start_pts=None if piece.index == 0 else piece.start_pts,
                end_pts=None if piece is pieces[-1] else piece.end_pts,
                source={"etag": source.info.etag, "size": source.info.size_bytes},
                probed=facts,
                params=parsed,
                reader=RangeReader(source, cache),
                folder=folder,
                tools=tools,
                earlier=Left(),
                report=lambda share: None,
            )
        )
        for piece in pieces
    ]
    return joined(path, folder, tools, facts, artifacts, **params)


def joined(
    path: Path, folder: Path, tools: Tools, facts: VideoFacts, artifacts: Sequence[bytes], **params: Any
) -> Posed:
    """From what the chunks left."""
    folder.mkdir(exist_ok=True)
    source = open_source(path.resolve().as_uri(), tools.settings)
    made = POSE.phases[0].whole.work(
        WholeContext(
            job_id="posing",
            probed=facts,
            params=POSE.parse_params(params),
            earlier=Left(artifacts),
            open_reader=lambda: RangeReader(source),
            folder=folder,
            fleet=list,
            tools=tools,
            report=lambda share: None,
        )
    )
    return Posed(facts, list(artifacts), made, folder)
