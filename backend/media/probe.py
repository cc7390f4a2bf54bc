"""What a video is, from its header and its first frame. Runs in the child process only."""

from __future__ import annotations

from fractions import Fraction

import av
import av.error
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from backend.errors import MediaUndecodable
from backend.media.decode import FrameReader, upright_rotation
from backend.media.facts import VideoFacts

# Boundaries need no finer choice, and an all-intra file of hours would list every frame.
MIN_KEYFRAME_GAP_SEC = 0.5
MAX_KEYFRAMES = 100_000
MAX_RATE = 1000
MAX_DURATION_PTS = 2**60


def probe(container: InputContainer, stream: VideoStream) -> VideoFacts:
    """Decodes one frame, so that a file whose header lies is found out now. Raises MediaUndecodable."""
    reader = FrameReader(container, stream)
    keyframes_dts = _indexed_keyframes(stream)
    first_dts = keyframes_dts[0] if keyframes_dts else None
    first = next(reader.frames(), None)
    if first is None or first.pts is None:
        raise MediaUndecodable("The file promises video, but no frame of it can be decoded.")
    # An index lists decode times; the first keyframe shows how far its PTS lies behind.
    delay = first.pts - first_dts if first_dts is not None and first.key_frame else 0
    keyframe_pts = _thinned([dts + delay for dts in keyframes_dts], reader.time_base)
    rotation = upright_rotation(first.rotation)
    width, height = upright_size(first, stream.sample_aspect_ratio, rotation)
    duration_pts = _duration_pts(container, stream, first.pts) or _scanned_duration_pts(container, stream, first.pts)
    return VideoFacts(
        container=container.format.name,
        codec=stream.codec_context.name,
        coded_width=first.width,
        coded_height=first.height,
        width=width,
        height=height,
        rotation=rotation,
        sample_aspect_ratio=_ratio(stream.sample_aspect_ratio) or (1, 1),
        fps=_frame_rate(stream),
        time_base=(reader.time_base.numerator, reader.time_base.denominator),
        start_pts=first.pts,
        duration_pts=duration_pts,
        duration_seconds=float(duration_pts * reader.time_base) if duration_pts else None,
        frame_count=stream.frames if 0 < stream.frames < 2**40 else None,
        has_audio=bool(container.streams.audio),
        audio_codecs=[audio.codec_context.name for audio in container.streams.audio if audio.codec_context][:64],
        keyframe_pts=keyframe_pts,
    )


def upright_size(frame: VideoFrame, sample_aspect_ratio: Fraction | None, rotation: int) -> tuple[int, int]:
    """Width and height in square pixels as a viewer sees them."""
    ratio = _ratio(sample_aspect_ratio)
    width = max(1, round(frame.width * Fraction(*ratio))) if ratio else frame.width
    return (frame.height, width) if rotation in (90, -90) else (width, frame.height)


def _ratio(value: Fraction | None) -> tuple[int, int] | None:
    """A believable sample aspect ratio; damaged headers hold absurd ones."""
    if value is None or not Fraction(1, 10) <= value <= 10:
        return None
    return value.numerator, value.denominator


def _frame_rate(stream: VideoStream) -> tuple[int, int] | None:
    rate = stream.average_rate or stream.base_rate or stream.guessed_rate
    if not rate or not 0 < rate <= MAX_RATE:
        return None
    return rate.numerator, rate.denominator


def _duration_pts(container: InputContainer, stream: VideoStream, first_pts: int) -> int | None:
    if stream.duration and 0 < stream.duration < MAX_DURATION_PTS:
        return int(stream.duration)
    if container.duration and stream.time_base:
        # The container counts from its earliest stream; the video may begin later.
        start_sec = Fraction(container.start_time or 0, av.time_base)
        end_pts = round((start_sec + Fraction(container.duration, av.time_base)) / stream.time_base)
        return min(max(1, end_pts - first_pts), MAX_DURATION_PTS)
    return None


def _scanned_duration_pts(container: InputContainer, stream: VideoStream, first_pts: int) -> int | None:
    """Live recordings name no duration; their packets do. Reads the whole file once and decodes nothing."""
    last_pts = first_pts
    try:
        for packet in container.demux(stream):
            if packet.pts is not None:
                last_pts = max(last_pts, packet.pts + (packet.duration or 0))
    except av.error.FFmpegError:  # a torn end: what came before it is the video
        pass
    return min(last_pts - first_pts, MAX_DURATION_PTS) or None


def _indexed_keyframes(stream: VideoStream) -> list[int]:
    entries = stream.index_entries
    return [entry.timestamp for entry in entries if entry.is_keyframe and not entry.is_discard]


def _thinned(keyframe_pts: list[int], time_base: Fraction) -> list[int]:
    kept: list[int] = []
    gap = Fraction(MIN_KEYFRAME_GAP_SEC) / time_base
    for pts in keyframe_pts:
        if not kept or pts - kept[-1] >= gap:
            kept.append(pts)
    return kept[:MAX_KEYFRAMES]
