"""Job kind `pose`: people's landmarks over a whole film, and what their motion says."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from backend.kinds import accounts, film
from backend.kinds.base import JSON_TYPE, Done, FileType, Kind, Onward, Phase, Whole
from backend.kinds.context import WholeContext
from backend.kinds.landmarks import FindLandmarks
from backend.kinds.output_type import OutputType
from backend.kinds.people import DetectionParams
from backend.kinds.pose_film import skeleton_film
from backend.kinds.pose_report import frames_to_show, report_html
from backend.kinds.pose_stills import take_stills
from backend.kinds.posed_film import PosedFilm, posed_film
from backend.kinds.preview import PREVIEW, join_previews
from backend.states import Stage
from backend.vision.pose.analysis import Analysis, analyse
from backend.vision.pose.artifacts import PoseArtifact, load_pose_artifact
from backend.vision.pose.findings import Finding, findings
from backend.vision.pose.results import write_results
from backend.vision.timeline import seconds_from_start

RESULTS: Final = "final_results.json"
REPORT: Final = "report.html"
FILM: Final = "skeleton.mp4"
REPORT_TYPE: Final = "text/html; charset=utf-8"
# Analysing takes seconds where rendering takes minutes.
ANALYSED_SHARE = 0.1


class PoseParams(DetectionParams):
    sample_fps: float = Field(10.0, gt=0, le=240, description="frames a second on which landmarks are found")
    render: bool = Field(False, description="a film with the skeletons drawn on it, too")
    crf: float = Field(20, ge=0, le=51, description="of that film")
    hdr: Literal["sdr", "keep"] = Field("sdr", description="`keep`: 10-bit and HDR sources stay so, as HEVC")
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower"] = "veryfast"


@dataclass(frozen=True)
class _Analysed:
    posed: PosedFilm
    analyses: list[Analysis]
    findings: list[Finding]


class AnalysePoses(Whole[PoseParams]):
    """Joins the chunks' people, measures, writes results and report; then renders the film where it is asked for."""

    weight = 4.0
    stage = Stage.AGGREGATING
    words = "joining the chunks and measuring"
    patience = 6.0  # as long as joining a long film's tracks may take without a word

    def work(self, context: WholeContext[PoseParams]) -> Done | Onward:
        """Raises MediaTruncated, ArtifactCorrupt, FrameMismatch, EncodeFailed."""
        artifacts = [load_pose_artifact(data, expected_sha256=sha256) for data, sha256 in context.earlier.artifacts()]
        previewed = join_previews(context, [artifact.chunk.frame_pts for artifact in artifacts])
        began = time.monotonic()
        analysed = _analysed(context, artifacts)
        warnings = [
            *accounts.decoded(context.facts, analysed.posed.timeline.frame_pts),
            *accounts.analysed([artifact.chunk for artifact in artifacts]),
            *previewed,
        ]
        results = context.folder / RESULTS
        _write(results, context, analysed, artifacts)
        report, missing = _report(context, analysed, artifacts)
        if missing:
            warnings.append(f"Frames of the report that were not found again in the source: {missing}.")
        done = Done(results, {RESULTS: results, REPORT: report}, warnings, {"analysis": time.monotonic() - began})
        return _with_film(context, analysed, artifacts, done) if context.params.render else done


class JoinSkeletons(film.JoinFilm):
    """The film is one of the files; the results of the step before are the job's."""

    def work(self, context: WholeContext[Any]) -> Done:
        joined = super().work(context)
        results = context.folder / RESULTS
        results.write_bytes(context.earlier.object(RESULTS))
        return replace(joined, output=results, files={**joined.files, FILM: joined.output})


def _analysed(context: WholeContext[PoseParams], artifacts: list[PoseArtifact]) -> _Analysed:
    params = context.params
    posed = posed_film(artifacts, context.facts, sample_fps=params.sample_fps, conf=params.conf)
    analyses = []
    for number, person in enumerate(posed.people, start=1):
        analyses.append(analyse(person))
        _report_share(context, 0.8 * number / len(posed.people))
    found = [finding for each in analyses for finding in findings(each)]
    return _Analysed(posed, analyses, found)


def _report_share(context: WholeContext[PoseParams], share: float) -> None:
    context.report(share * (ANALYSED_SHARE if context.params.render else 1.0))


def _write(
    results: Path, context: WholeContext[PoseParams], analysed: _Analysed, artifacts: list[PoseArtifact]
) -> None:
    facts, timeline = context.facts, analysed.posed.timeline
    head = {
        "job_id": context.job_id,
        "video": {
            "duration_seconds": facts.duration_seconds,
            "frames": len(timeline),
            "fps": facts.fps,
            "time_base": facts.time_base,
            "frame_size": timeline.frame_size,
        },
        "detector": artifacts[0].chunk.detector,
        "sample_fps": context.params.sample_fps,
    }
    sampled_pts = analysed.posed.sampled_pts
    write_results(
        results,
        head,
        (sampled_pts, seconds_from_start(sampled_pts, timeline.time_base)),
        analysed.analyses,
        analysed.findings,
    )


def _report(context: WholeContext[PoseParams], analysed: _Analysed, artifacts: list[PoseArtifact]) -> tuple[bytes, int]:
    """The page, and how many of its pictures are missing."""
    posed, facts = analysed.posed, context.facts
    wanted = frames_to_show(analysed.findings)
    stills = take_stills(context, wanted, lambda: _report_share(context, 0.8))
    head = {
        "Job": context.job_id,
        "Length": f"{facts.duration_seconds or 0.0:.1f} s",
        "Picture": f"{facts.width} by {facts.height} pixels",
        "Samples": f"{len(posed.sampled_pts)} frames, {context.params.sample_fps:g} a second",
        "Model": str(artifacts[0].chunk.detector.get("model")),
    }
    page = report_html(head, analysed.analyses, analysed.findings, stills, posed.timeline.frame_size)
    return page, len(wanted) - len(stills)


def _with_film(
    context: WholeContext[PoseParams], analysed: _Analysed, artifacts: list[PoseArtifact], done: Done
) -> Done | Onward:
    look = context.params.model_dump(include={"crf", "preset", "hdr"})
    # Chunks begin at keyframes where there are any.
    starts = [artifact.chunk.start_pts for artifact in artifacts]
    whole = skeleton_film(context, analysed.posed, look, starts)
    made = film.make(
        context, whole, done=ANALYSED_SHARE, files=done.files, warnings=done.warnings, seconds=done.seconds
    )
    if isinstance(made, Onward):
        return replace(made, objects={**made.objects, RESULTS: done.output.read_bytes()})
    return replace(made, output=done.output, files={**made.files, FILM: made.output})


_LANDMARKS = Phase[PoseParams]("landmarks", FindLandmarks(), AnalysePoses())
_RENDER = Phase[PoseParams]("render", film.RenderPieces(), JoinSkeletons())

POSE = Kind[PoseParams](
    name="pose",
    output=OutputType("_pose", {".json": JSON_TYPE}),
    params=PoseParams,
    phases=(_LANDMARKS, _RENDER),
    files={
        "results": FileType(RESULTS, JSON_TYPE),
        "report": FileType(REPORT, REPORT_TYPE, is_fetched=True),
        "preview": PREVIEW,
        "film": FileType(FILM, "video/mp4", is_fetched=True, asked_by="render"),
    },
    choose=lambda params: (_LANDMARKS, _RENDER) if params.render else (_LANDMARKS,),
)
