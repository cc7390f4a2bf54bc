"""Frames by PTS, with PyAV. Runs in the child process only: everything here reads hostile bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import BinaryIO, TypeAlias, cast

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.subtitles.stream import SubtitleStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from backend.errors import MediaUndecodable, NotAVideo, NoVideoStream

# Containers only. A playlist (HLS, ffconcat) would make FFmpeg open files and addresses of its author's choice.
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mxf,ivf"
UNREADABLE = "This is not a video file that can be read (MP4, MOV, MKV, WebM, AVI, TS and the like)."
IO_BUFFER_BYTES = 64 * 1024
# How far before the wanted time to seek when an index lands too late; the last try reads from the start.
SEEK_BACK_SEC = (0, 1, 4, 16)
# A file may hold a few broken packets; one that holds nothing else is refused.
MAX_CONSECUTIVE_ERRORS = 512


def open_container(file: BinaryIO) -> InputContainer:
    """Raises NotAVideo for anything that is not one of the known containers."""
    allowed = {"format_whitelist": CONTAINERS}
    try:
        container = av.open(file, "r", metadata_errors="ignore", buffer_size=IO_BUFFER_BYTES, container_options=allowed)
    except (av.error.FFmpegError, ValueError, EOFError) as error:
        raise NotAVideo(UNREADABLE) from error
    assert isinstance(container, InputContainer)  # opened for reading
    return container


def open_video(container: InputContainer, *, max_pixels: int, threads: int) -> VideoStream:
    """The video stream that a player would show: the first default one, else the first, pictures only when there is
    nothing else; never a cover. Raises NoVideoStream."""
    stream = min(_shown(container), key=_preference, default=None)
    if stream is None:
        raise NoVideoStream("The file has no video stream.")
    stream.codec_context.options = {"max_pixels": str(max_pixels)}
    stream.codec_context.thread_type = "AUTO"
    stream.codec_context.thread_count = threads
    return stream


def _shown(container: InputContainer) -> Iterator[VideoStream]:
    for stream in container.streams.video:
        is_cover = bool(stream.disposition & Disposition.attached_pic)
        if not is_cover and stream.codec_context is not None and stream.time_base is not None:
            yield stream


def _preference(stream: VideoStream) -> tuple[bool, bool, int]:
    """Thumbnails travel as tracks too: flagged as such, or as one frame among films."""
    is_still = bool(stream.disposition & (Disposition.still_image | Disposition.timed_thumbnails)) or stream.frames == 1
    return is_still, not stream.disposition & Disposition.default, stream.index


Companion: TypeAlias = "AudioStream | SubtitleStream"


class FrameReader:
    """Decodes one video stream. Frames come with strictly increasing PTS; others are dropped and counted.

    Packets of `companions` (sound, subtitles) go to `on_companion` on the way, so that the file is read once.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        *,
        companions: Sequence[Companion] = (),
        on_companion: Callable[[Packet[Companion]], None] = lambda packet: None,
    ) -> None:
        self.container = container
        self.stream = stream
        self._companions = companions
        self._on_companion = on_companion
        self.broken_packets = 0
        self.dropped_frames = 0

    @property
    def time_base(self) -> Fraction:
        assert self.stream.time_base is not None  # open_video chose a stream that has one
        return self.stream.time_base

    def frames(self) -> Iterator[VideoFrame]:
        """Every frame from where the container stands."""
        last_pts: int | None = None
        consecutive_errors = 0
        packets = self.container.demux(self.stream, *self._companions)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError:  # the container itself is cut short: what came before still counts
                self.broken_packets += 1
                return
            if packet.stream is not self.stream and packet.stream.index != self.stream.index:
                self._on_companion(cast("Packet[Companion]", packet))
                continue
            try:
                decoded = packet.decode()
            except av.error.FFmpegError as error:
                self.broken_packets += 1
                consecutive_errors += 1
                if consecutive_errors >= MAX_CONSECUTIVE_ERRORS:
                    raise MediaUndecodable("The video cannot be decoded: too many broken packets in a row.") from error
                continue
            for frame in decoded:
                assert isinstance(frame, VideoFrame)  # the stream is a video stream
                consecutive_errors = 0
                if frame.pts is None or (last_pts is not None and frame.pts <= last_pts):
                    self.dropped_frames += 1
                    continue
                last_pts = frame.pts
                yield frame

    def frames_from(self, start_pts: int | None) -> Iterator[VideoFrame]:
        """Every frame with PTS >= start_pts; from the beginning when it is None.

        A seek may land late (a sparse index, an open GOP), so the first frame shows whether it landed early enough;
        if not, the next try seeks further back, the last one to the start.
        """
        if start_pts is None:
            yield from self.frames()
            return
        for back_sec in SEEK_BACK_SEC:
            target = start_pts - round(Fraction(back_sec) / self.time_base)
            if not self._seek(target):
                continue
            frames = self.frames()
            first = next(frames, None)
            if first is not None and first.pts is not None and first.pts <= start_pts:
                if first.pts == start_pts:
                    yield first
                yield from (frame for frame in frames if frame.pts is not None and frame.pts >= start_pts)
                return
        self._seek_to_start()
        yield from (frame for frame in self.frames() if frame.pts is not None and frame.pts >= start_pts)

    def _seek(self, pts: int) -> bool:
        try:
            self.container.seek(pts, stream=self.stream, backward=True)
        except av.error.FFmpegError:
            return False
        return True

    def _seek_to_start(self) -> None:
        first_pts = self.stream.start_time or 0
        if not self._seek(first_pts - round(Fraction(1) / self.time_base)):
            self.container.seek(0)


def upright_rotation(frame_rotation: float) -> int:
    """Rotation in degrees counter-clockwise, one of -90, 0, 90, 180; damaged values count as 0."""
    rotation = round(frame_rotation)
    if rotation in (-90, 0, 90):
        return rotation
    return 180 if rotation in (180, -180) else 0
