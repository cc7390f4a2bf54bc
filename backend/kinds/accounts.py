"""What a film lacks of its source: sentences for the job's warnings, or the error that it fails with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import MediaTruncated
from backend.media.facts import VideoFacts
from backend.vision.artifacts import ChunkArtifact

# Fewer frames than this share of those that the container lists: the file was cut off.
WHOLE_SHARE = 0.9
# A header's own word may be this far off before it is worth a sentence: in seconds, and as a share.
ROUND_SEC, ROUND_SHARE = 1.0, 0.02
LONG_GAP_SEC = 60.0


def decoded(facts: VideoFacts, frame_pts: NDArray[np.int64]) -> list[str]:
    """Warnings about what could be decoded, before it is rendered. Raises MediaTruncated when much of it is missing.

    Only a list of all frames proves that some are missing. A number in a header, or a rate times a duration, proves
    nothing: recordings of browsers and of screens have pauses.
    """
    frames = len(frame_pts)
    if not frames:
        raise MediaTruncated("The file is damaged or cut off: no frame of it can be decoded.")
    warnings = []
    if facts.frames_listed and facts.frame_count is not None and frames < facts.frame_count - 1:
        if frames < WHOLE_SHARE * facts.frame_count:
            raise MediaTruncated(
                f"The file is damaged or cut off: it promises {facts.frame_count} frames and holds {frames}."
            )
        warnings.append(f"The file promises {facts.frame_count} frames; {frames} could be decoded.")
    warnings += _early_end(facts, frame_pts)
    gaps_sec = np.diff(frame_pts) * float(facts.time_base_fraction)
    if len(gaps_sec) and gaps_sec.max() > LONG_GAP_SEC:
        at_sec = float((frame_pts[int(gaps_sec.argmax())] - frame_pts[0]) * facts.time_base_fraction)
        gap = f"{gaps_sec.max():.0f} s after {at_sec:.0f} s"
        warnings.append(f"The source has no picture for {gap}: the film stands still there.")
    return warnings


def analysed(artifacts: Sequence[ChunkArtifact]) -> list[str]:
    """A warning where the chunks were not all looked at with one detector, tracker and setting: workers of two releases
    share a job while one replaces the other."""
    ways = len({artifact.params_sha256 for artifact in artifacts})
    if ways <= 1:
        return []
    return [
        f"Parts of the video were analysed in different ways ({ways}), by workers of different versions or settings: "
        "people may be found unevenly. Once all workers are alike, submit it again for an even result."
    ]


def _early_end(facts: VideoFacts, frame_pts: NDArray[np.int64]) -> list[str]:
    """Where no list proves it, the end of the header's time is a hint."""
    if facts.frames_listed or facts.duration_seconds is None:
        return []
    held_sec = float((frame_pts[-1] - facts.start_pts) * facts.time_base_fraction)
    missing_sec = max(facts.seconds_cut_off, 0.0 if facts.reads_on else facts.duration_seconds - held_sec)
    promised_sec = facts.duration_seconds + facts.seconds_cut_off
    if missing_sec <= max(ROUND_SEC, ROUND_SHARE * promised_sec):
        return []
    how_much = f"The header promises {promised_sec:.1f} s; the file ends {missing_sec:.1f} s earlier."
    return [f"{how_much} It may have been cut off."]


def rendered(counts: Mapping[str, Any]) -> list[str]:
    """Warnings about what rendering met, from what the renderer counted. Raises MediaTruncated when much was broken."""
    broken, frames = int(counts["broken_packets"]), int(counts["frames"])
    if frames < WHOLE_SHARE * (frames + broken):
        raise MediaTruncated(f"The file is damaged: {broken} of its video packets cannot be decoded, {frames} can.")
    sentences = {
        "clock_jumps": "The recording's clock jumps (times: {n}): pictures and sound were laid on one timeline.",
        "dropped_frames": "Frames left out, since their times jump back: {n}.",
        "moved_frames": "Frames moved behind the one before, whose time they shared or preceded: {n}.",
        "broken_packets": "Video packets that were broken and left out: {n}.",
        "broken_audio_packets": "Sound packets left out, broken or earlier than those before: {n}.",
        "sound_left_out": "Sound tracks left out, since nothing here can decode them: {n}.",
        "text_left_out": "Subtitle tracks left out, since MP4 holds text only: {n}.",
    }
    return [sentence.format(n=int(counts[name])) for name, sentence in sentences.items() if int(counts[name])]
