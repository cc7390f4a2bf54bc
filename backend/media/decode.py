"""Frames by PTS, with PyAV. Runs in the child process only: everything here reads hostile bytes."""

from __future__ import annotations

import heapq
import re
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
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from backend.errors import MediaUndecodable, NotAVideo, NoVideoStream, UnsupportedContainer
from backend.media.facts import Clock
from backend.media.hardware_decoder import CheckedDecoder
from backend.media.shape import note_pixel_aspect
from backend.media.timeline import Timeline

# Containers only. A playlist (HLS, ffconcat) would make FFmpeg open files and addresses of its author's choice.
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mxf,ivf"
UNREADABLE = "This is not a video file that can be read (MP4, MOV, MKV, WebM, AVI, TS and the like)."
NAMES_OTHERS = (
    "This is a list of other files or addresses (HLS, DASH, concat, SDP and the like), which are not opened: give the "
    "video itself."
)
_NAMES_OTHERS = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:#EXTM3U|#EXT-X-|ffconcat|v=0\s|\[playlist\]|\[reference\]|(?:<\?xml.{0,3000})?"
    rb"<(?:MPD|smil|SmoothStreamingMedia|asx))",
    re.DOTALL | re.IGNORECASE,
)
HEAD_BYTES = 4096
IO_BUFFER_BYTES = 64 * 1024
# How far before the wanted time to seek when an index lands too late; the last try reads from the start.
SEEK_BACK_SEC = (0, 1, 4, 16)
# A file may hold a few broken packets; one that holds nothing else is refused.
MAX_CONSECUTIVE_ERRORS = 512
# Two frames may claim one time, or the wrong order within this; further back is another clock (see timeline.py).
MISPLACED_SEC = Fraction(1, 10)
# Which decoders see the second, hidden picture that says what is transparent; FFmpeg's own do not.
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def open_container(file: BinaryIO) -> InputContainer:
    """Raises NotAVideo for anything that is not one of the known containers, UnsupportedContainer for what names
    others."""
    allowed = {"format_whitelist": CONTAINERS}
    try:
        container = av.open(file, "r", metadata_errors="ignore", buffer_size=IO_BUFFER_BYTES, container_options=allowed)
    except (av.error.FFmpegError, ValueError, EOFError) as error:
        if names_others(file):
            raise UnsupportedContainer(NAMES_OTHERS) from error
        raise NotAVideo(UNREADABLE) from error
    assert isinstance(container, InputContainer)  # opened for reading
    return container


def names_others(file: BinaryIO) -> bool:
    """Whether it begins as a text that names other files or addresses."""
    file.seek(0)
    return _NAMES_OTHERS.match(file.read(HEAD_BYTES)) is not None


def container_named(container: InputContainer, *names: str) -> bool:
    """Whether its format is one of these. FFmpeg's own names: `mov` is MP4 too, `matroska` WebM."""
    return not set(names).isdisjoint(container.format.name.split(","))


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
    """Decodes one video stream. Frames come with strictly increasing PTS, on the clock that the probe chose:

    `pts`: their own. Frames that share a time, or lie a little before the last one, are moved one tick past it and
    counted; what lies further back is dropped and counted.
    `dts`: the container knows only when packets are decoded (AVI): the n-th frame is shown at the n-th of these times.
    `jumps`: laid on one timeline. The last two hold only for whoever reads from the beginning.

    Packets of `companions` (sound, subtitles) go to `on_companion` on the way, so that the file is read once.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        *,
        clock: Clock = "pts",
        in_hardware: bool = False,
        companions: Sequence[Companion] = (),
        on_companion: Callable[[Packet[Companion]], None] = lambda packet: None,
        on_seek: Callable[[], None] = lambda: None,
        is_early: Callable[[], bool] = lambda: True,
    ) -> None:
        """Where the reader seeks, `on_seek` says that the companions' packets begin anew, and `is_early` is asked, with
        the first frame, whether it went far enough back for them too. Raises HardwareDecoderUnfit, also later."""
        self.container = container
        self.stream = stream
        self._clock = clock
        self._companions = companions
        self._on_companion = on_companion
        self._on_seek = on_seek
        self._is_early = is_early
        self._decoder = CheckedDecoder(stream) if in_hardware else _decoder_of(stream)
        # Other containers name one shape of pixels for the whole film.
        self._pixels_may_change = container_named(container, "mpegts", "mpeg", "flv")
        self.broken_packets = 0
        self.dropped_frames = 0
        self.moved_frames = 0
        self.clock_jumps = 0

    @property
    def time_base(self) -> Fraction:
        assert self.stream.time_base is not None  # open_video chose a stream that has one
        return self.stream.time_base

    def counts(self) -> dict[str, int]:
        """What was met so far that is not as it should be."""
        return {
            "broken_packets": self.broken_packets,
            "dropped_frames": self.dropped_frames,
            "moved_frames": self.moved_frames,
            "clock_jumps": self.clock_jumps,
        }

    def frames(self) -> Iterator[VideoFrame]:
        """Every frame from where the container stands."""
        last_pts: int | None = None
        misplaced = round(MISPLACED_SEC / self.time_base)
        for frame in self._timed(self._packets()):
            jumps_back = last_pts is not None and frame.pts is not None and frame.pts < last_pts - misplaced
            if frame.pts is None or (jumps_back and self._clock == "pts"):
                self.dropped_frames += 1
                continue
            if last_pts is not None and frame.pts <= last_pts:
                frame.pts = last_pts + 1
                self.moved_frames += 1
            last_pts = frame.pts
            yield frame

    def read_on(self, until: Callable[[Packet[VideoStream]], bool]) -> None:
        """Goes on without decoding, for the companions' sake, to the first packet of the picture for which `until`
        holds, or to the end."""
        for packet in self._packets():
            if until(packet):
                return

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """Of the video, on one timeline; those of the companions are handed over on the way."""
        timeline = Timeline(self.stream.index) if self._clock == "jumps" else None
        for packet in self._demuxed():
            for laid in timeline.laid(packet) if timeline else (packet,):
                if laid.stream.index == self.stream.index:
                    yield cast("Packet[VideoStream]", laid)
                else:
                    self._on_companion(laid)
            self.clock_jumps = timeline.jumps if timeline else 0
        for late in timeline.rest() if timeline else ():
            self._on_companion(late)

    def _demuxed(self) -> Iterator[Packet[Companion]]:
        packets = self.container.demux(self.stream, *self._companions)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError:  # the container itself is cut short: what came before still counts
                self.broken_packets += 1
                return
            yield cast("Packet[Companion]", packet)

    def _timed(self, packets: Iterator[Packet[VideoStream]]) -> Iterator[VideoFrame]:
        """The decoded frames; on the clock `dts` with their times. Raises MediaUndecodable."""
        consecutive_errors = 0
        waiting: list[int] = []  # a heap: the decode times of packets whose frames are still to come
        for packet in packets:
            if self._clock == "dts" and packet.dts is not None and packet.size:
                heapq.heappush(waiting, packet.dts)
            try:
                decoded = self._decoder.decode(packet)
            except av.error.FFmpegError as error:
                self.broken_packets += 1
                consecutive_errors += 1
                if packet.dts in waiting:
                    waiting.remove(packet.dts)
                    heapq.heapify(waiting)
                if consecutive_errors >= MAX_CONSECUTIVE_ERRORS:
                    raise MediaUndecodable("The video cannot be decoded: too many broken packets in a row.") from error
                continue
            for frame in decoded:
                consecutive_errors = 0
                assert isinstance(frame, VideoFrame)  # the stream is a video stream
                if self._clock == "dts":
                    frame.pts = heapq.heappop(waiting) if waiting else None
                if self._pixels_may_change:
                    note_pixel_aspect(frame, believable_ratio(self._decoder.sample_aspect_ratio))
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
            if first is not None and first.pts is not None and first.pts <= start_pts and self._is_early():
                if first.pts == start_pts:
                    yield first
                yield from (frame for frame in frames if frame.pts is not None and frame.pts >= start_pts)
                return
        self._seek_to_start()
        yield from (frame for frame in self.frames() if frame.pts is not None and frame.pts >= start_pts)

    def _seek(self, pts: int) -> bool:
        self._on_seek()
        try:
            self.container.seek(pts, stream=self.stream, backward=True)
        except av.error.FFmpegError:
            return False
        if self._decoder is not self.stream.codec_context:  # which the container knows, and has emptied
            self._decoder.flush_buffers()
        return True

    def _seek_to_start(self) -> None:
        first_pts = self.stream.start_time or 0
        if not self._seek(first_pts - round(Fraction(1) / self.time_base)):
            self.container.seek(0)


def believable_ratio(value: Fraction | None) -> Fraction | None:
    """A sample aspect ratio; damaged headers hold absurd ones."""
    return value if value is not None and Fraction(1, 10) <= value <= 10 else None


def _decoder_of(stream: VideoStream) -> VideoCodecContext:
    """The stream's own, but for VP8 and VP9 with transparency."""
    own = stream.codec_context
    name = ALPHA_DECODERS.get(own.name)
    if name is None or stream.metadata.get("alpha_mode") != "1" or name not in av.codecs_available:
        return own
    decoder = av.CodecContext.create(name, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.options, decoder.thread_count = own.options, own.thread_count
    return decoder
