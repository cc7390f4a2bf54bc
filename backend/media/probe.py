"""What a video is, from its header, its index and its first frame; where those do not say, from its packets. Child
process only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import av
import av.error
from av.container import InputContainer
from av.index import IndexEntry
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from backend.errors import MediaUndecodable
from backend.media.budget import check_frames
from backend.media.decode import FrameReader, believable_ratio, container_named, open_container, open_video
from backend.media.facts import Appearance, Clock, VideoFacts
from backend.media.look import appearance_of
from backend.media.orientation import orientation_of
from backend.media.scan import Scan, scan, thinned
from backend.media.shown import shown

# Boundaries need no finer choice, and an all-intra file of hours would list every frame.
MIN_KEYFRAME_GAP_SEC = 0.5
MAX_KEYFRAMES = 100_000
MAX_RATE = 1000
MAX_LISTED = 2**31
MAX_DURATION_PTS = 2**60
# A file without an index is read once, up to this size; beyond, its header is believed and its workers find out.
MAX_SCAN_BYTES = 4 * 2**30
# A stream may grow, as a call does whose network gets better: so many of its keyframes are looked at.
SIZES_LOOKED_AT = 6


@dataclass(frozen=True)
class _Index:
    """What the container lists: PTS of keyframes, and how many frames, when it lists each. `counted`: there are no
    more than so many."""

    keyframe_pts: list[int]
    frames: int | None
    counted: int | None


class Prober:
    """Opens the file anew for each look, so that none begins where another one stopped. Its blocks are cached."""

    def __init__(self, source: BinaryIO, *, max_pixels: int, threads: int, max_frames: int = MAX_LISTED) -> None:
        self._source = source
        self._max_frames = max_frames
        self._max_pixels = max_pixels
        self._threads = threads
        self.first: VideoFrame | None = None  # once the facts are known

    def facts(self) -> VideoFacts:
        """Decodes one frame, so that a file whose header lies is found out now. Raises MediaUndecodable, and
        MediaTooCostly for a table of more frames than there may be."""
        with self._opened() as (container, stream):
            check_frames(len(stream.index_entries), self._max_frames)
            clock = _clock(container, stream)
            first = _first_frame(FrameReader(container, stream, clock=clock))
            scanned = self._scanned() if self._needs_scan(container, stream) else None
        if scanned and scanned.clock_jumps:
            clock = "jumps"
            with self._opened() as (container, stream):
                first = _first_frame(FrameReader(container, stream, clock=clock))
        self.first = first
        with self._opened() as (container, stream):
            return self._facts(container, stream, first, clock, scanned)

    def _facts(
        self, container: InputContainer, stream: VideoStream, first: VideoFrame, clock: Clock, scanned: Scan | None
    ) -> VideoFacts:
        assert first.pts is not None and stream.time_base is not None  # both readers take no other
        ratio = believable_ratio(stream.sample_aspect_ratio) or Fraction(1)
        index = _index(container, stream, first)
        duration_pts = _duration_pts(container, stream, first.pts, scanned)
        if duration_pts is None and index.keyframe_pts and not scanned:
            duration_pts = self._tail_end(index.keyframe_pts[-1]) - first.pts
        keyframe_pts = scanned.keyframe_pts if scanned else index.keyframe_pts
        coded = self._largest(container, first, keyframe_pts) if clock == "pts" else (first.width, first.height)
        turn = orientation_of(first)
        width, height = upright_size(coded, ratio, turn.rotation)
        bounded = max(1, min(duration_pts, MAX_DURATION_PTS)) if duration_pts else None
        return VideoFacts(
            container=container.format.name,
            codec=stream.codec_context.name,
            coded_width=coded[0],
            coded_height=coded[1],
            width=width,
            height=height,
            rotation=turn.rotation,
            mirrored=turn.mirrored,
            sample_aspect_ratio=ratio.as_integer_ratio(),
            fps=_frame_rate(stream),
            time_base=(stream.time_base.numerator, stream.time_base.denominator),
            start_pts=first.pts,
            duration_pts=bounded,
            duration_seconds=float(bounded * stream.time_base) if bounded else None,
            clock=clock,
            seconds_cut_off=_cut_off_sec(container, scanned),
            frame_count=index.frames or (stream.frames if 0 < stream.frames < 2**40 else None),
            frames_listed=index.frames is not None,
            most_frames=index.counted if scanned is None else scanned.frames,
            has_audio=bool(container.streams.audio),
            audio_codecs=[audio.codec_context.name for audio in container.streams.audio if audio.codec_context][:64],
            appearance=_appearance_of(first),
            keyframe_pts=thinned(keyframe_pts, stream.time_base, MIN_KEYFRAME_GAP_SEC, MAX_KEYFRAMES),
        )

    @contextmanager
    def _opened(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        self._source.seek(0)
        with open_container(self._source) as container:
            yield container, open_video(container, max_pixels=self._max_pixels, threads=self._threads)

    def _needs_scan(self, container: InputContainer, stream: VideoStream) -> bool:
        """Where nothing lists the frames and no index says where to begin, only the packets themselves know."""
        is_listed = stream.frames > 0 and container_named(container, "mov", "avi", "mxf", "asf")
        has_cues = container_named(container, "matroska") and len(_index_entries(container, stream)) > 1
        return not is_listed and not has_cues and container.size <= MAX_SCAN_BYTES

    def _scanned(self) -> Scan:
        with self._opened() as (container, stream):
            return scan(container, stream)

    def _tail_end(self, last_keyframe_pts: int) -> int:
        """Where the last frame ends, read from the last keyframe on."""
        with self._opened() as (container, stream):
            try:
                container.seek(last_keyframe_pts, stream=stream, backward=True)
            except av.error.FFmpegError:
                return last_keyframe_pts + 1
            return scan(container, stream).end_pts or last_keyframe_pts + 1

    def _largest(self, container: InputContainer, first: VideoFrame, keyframe_pts: list[int]) -> tuple[int, int]:
        """Width and height of the largest coded picture, among the first and some keyframes. A table of samples (MP4)
        holds one size for nearly every film; a stream that is recorded as it comes may hold many."""
        size = (first.width, first.height)
        if container_named(container, "mov", "avi") or len(keyframe_pts) < 2:
            return size
        step = max(1, len(keyframe_pts) // SIZES_LOOKED_AT)
        for pts in [*keyframe_pts[step::step][:SIZES_LOOKED_AT], keyframe_pts[-1]]:
            with self._opened() as (again, stream):
                found = _first_at(again, stream, pts)
            if found is not None and found[0] * found[1] > size[0] * size[1]:
                size = found
        return size


def upright_size(coded: tuple[int, int], pixel_aspect: Fraction, rotation: int) -> tuple[int, int]:
    """Width and height in square pixels as a viewer sees them."""
    width = max(1, round(coded[0] * pixel_aspect))
    return (coded[1], width) if rotation in (90, -90) else (width, coded[1])


def _first_frame(reader: FrameReader) -> VideoFrame:
    first = next(reader.frames(), None)
    if first is None:
        raise MediaUndecodable("The file promises video, but no frame of it can be decoded.")
    return first


def _appearance_of(first: VideoFrame) -> Appearance:
    """Of the frame as rendering sees it, but that it may be interlaced as it is coded."""
    seen = appearance_of(next(iter(shown([first]))))
    return seen.model_copy(update={"interlaced": first.interlaced_frame})


def _first_at(container: InputContainer, stream: VideoStream, pts: int) -> tuple[int, int] | None:
    """The coded size of the frame that a seek finds."""
    try:
        container.seek(pts, stream=stream, backward=True)
        frame = next(FrameReader(container, stream).frames(), None)
    except (av.error.FFmpegError, MediaUndecodable):  # one damaged place; the film is judged when it is read
        return None
    return None if frame is None else (frame.width, frame.height)


def _clock(container: InputContainer, stream: VideoStream) -> Clock:
    """AVI says when packets are decoded. Where frames are shown in another order, that is no PTS."""
    return "dts" if container_named(container, "avi") and stream.codec_context.has_b_frames else "pts"


def _frame_rate(stream: VideoStream) -> tuple[int, int] | None:
    rate = stream.average_rate or stream.base_rate or stream.guessed_rate
    if not rate or not 0 < rate <= MAX_RATE:
        return None
    return rate.numerator, rate.denominator


def _duration_pts(container: InputContainer, stream: VideoStream, first_pts: int, scanned: Scan | None) -> int | None:
    """From the first frame to the end of the last; None where only the last packets know."""
    if scanned is not None:
        return None if scanned.end_pts is None else scanned.end_pts - first_pts
    if stream.duration and 0 < stream.duration < MAX_DURATION_PTS:
        return int(stream.duration)
    if container_named(container, "matroska") or not container.duration or not stream.time_base:
        return None
    # The container counts from its earliest stream; the video may begin later.
    start_sec = Fraction(container.start_time or 0, av.time_base)
    return round((start_sec + Fraction(container.duration, av.time_base)) / stream.time_base) - first_pts


def _cut_off_sec(container: InputContainer, scanned: Scan | None) -> float:
    """How much earlier everything ends than the header says. Some headers count from zero, some from the start."""
    if scanned is None or scanned.clock_jumps or not container.duration:
        return 0.0
    return max(0.0, container.duration / av.time_base - scanned.end_sec)


def _index(container: InputContainer, stream: VideoStream, first: VideoFrame) -> _Index:
    entries = _index_entries(container, stream)
    shown = [entry for entry in entries if not entry.is_discard]
    keyframes = [entry.timestamp for entry in shown if entry.is_keyframe]
    # An index lists decode times; the first keyframe shows how far its PTS lies behind.
    delay = first.pts - keyframes[0] if keyframes and first.pts is not None and first.key_frame else 0
    lists_each = container_named(container, "mov", "avi") and stream.frames > 0 and len(entries) > 1
    # A fragmented file lists its first fragment's at most, and promises none.
    is_whole = container_named(container, "mov") and 0 < stream.frames <= len(entries)
    return _Index(
        [pts + delay for pts in keyframes], len(shown) if lists_each else None, len(entries) if is_whole else None
    )


def _index_entries(container: InputContainer, stream: VideoStream) -> list[IndexEntry]:
    if container_named(container, "matroska"):  # reads its cues when it first seeks
        try:
            container.seek(0, stream=stream, backward=True)
        except av.error.FFmpegError:
            return []
    return list(stream.index_entries)
