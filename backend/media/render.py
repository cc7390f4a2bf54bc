"""Decodes the source once, cuts the window of every frame, encodes it and carries sound, subtitles and chapters; takes
stills on the way. Child process only.
"""

from __future__ import annotations

import errno
import functools
import mmap
import queue
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Literal, TypeAlias

import av
import av.error
import cv2
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from backend.errors import EncodeFailed, FrameMismatch, MediaUndecodable, StorageError
from backend.media.audio import AudioTrack, audio_streams, audio_track
from backend.media.colour import Tags
from backend.media.decode import Companion, FrameReader, container_named
from backend.media.fill import Fill, filled, placement
from backend.media.look import Look, look_of
from backend.media.resample import Geometry, Window, cut, plane
from backend.media.shape import PictureOrder
from backend.media.shown import shown
from backend.media.stills import StillOrder, Stills
from backend.media.text import SubtitleTrack, carry_chapters, subtitle_streams

QUEUED_FRAMES = 8
REPORT_EVERY_FRAMES = 25
# More frames than this without a place in the film, and no less than this share of it, are a failure, not a detail.
LEFT_OUT_FRAMES, LEFT_OUT_SHARE = 3, 0.001
# MP4 and Matroska say where zero is. A first picture and sound this long after it is a recorder's clock, not a delay.
LONGEST_DELAY_SEC = 1


class RenderOrder(PictureOrder):
    """`path_file` is an .npy of float64 rows (pts, x, y, width, height), one for every frame of the source; pts counts
    from `origin_pts`, since a float holds whole numbers only up to 2^53."""

    path_file: str
    origin_pts: int = 0
    output_file: str
    output_width: int
    output_height: int
    upright_width: int
    upright_height: int
    fps: tuple[int, int]
    crf: float
    preset: str
    draw_timestamp: bool
    hdr: Literal["sdr", "keep"] = "sdr"
    fill: Fill = "crop"  # what is beside a window that has not the output's shape; `crop` stretches it
    stills: StillOrder | None = None


Item: TypeAlias = "VideoFrame | Packet[Companion]"
Handed: TypeAlias = "Item | Exception | None"  # an error, or None at the end


class Renderer:
    """Three stages in three threads, each as fast as the slowest: decode, cut, encode and write."""

    def __init__(
        self, container: InputContainer, stream: VideoStream, order: RenderOrder, memory: mmap.mmap | None
    ) -> None:
        self._order = order
        upright = (order.upright_width, order.upright_height)
        self._shape = order.coded_shape
        self._geometry = Geometry(*self._shape.size, *upright, order.rotation, order.mirrored)
        self._stills = Stills(order.stills, self._shape, memory) if order.stills and memory else None
        self._path = np.load(order.path_file, allow_pickle=False)
        self._start_sec = Fraction(0)  # set by the cutting thread with the first picture
        self._stopped = threading.Event()
        self._decoded: queue.Queue[Handed] = queue.Queue(QUEUED_FRAMES)
        self._ready: queue.Queue[Handed] = queue.Queue(QUEUED_FRAMES)
        self._container = container
        self._sound, self._text = audio_streams(container), subtitle_streams(container)
        put_packet = functools.partial(self._put, self._decoded)
        companions: list[Companion] = [*self._sound, *self._text]
        self.reader = FrameReader(container, stream, clock=order.clock, companions=companions, on_companion=put_packet)
        self.frames = 0
        self._look: Look | None = None  # set by the cutting thread before its first picture leaves it
        self._early: list[Packet[Companion]] = []  # what came before the first picture
        self._output = av.open(order.output_file, "w", format="mp4", options=_muxer_options(stream))
        self._video: VideoStream | None = None
        self._tracks: dict[int, AudioTrack | SubtitleTrack] = {}

    def run(self, report: Callable[[int], None]) -> dict[str, Any]:
        for stage, target in ((self._decode_all, self._decoded), (self._cut_all, self._ready)):
            threading.Thread(target=self._pump, args=(stage, target), daemon=True).start()
        try:
            for item in self._items(self._ready):
                if not isinstance(item, VideoFrame):
                    self._carry(item)
                    continue
                self._mux(item)
                self.frames += 1
                if self.frames % REPORT_EVERY_FRAMES == 0:
                    report(self.frames)
            self._finish()
        finally:
            self._stopped.set()
        return {
            "frames": self.frames,
            "stills": self._stills.taken if self._stills else 0,
            "broken_packets": self.reader.broken_packets,
            "dropped_frames": self.reader.dropped_frames,
            "moved_frames": self.reader.moved_frames,
            "clock_jumps": self.reader.clock_jumps,
            "sound_left_out": len(self._container.streams.audio) - len(self._sound),
            "text_left_out": len(self._container.streams.subtitles) - len(self._text),
            "broken_audio_packets": sum(track.broken for track in self._tracks.values()),
        }

    def _decode_all(self) -> Iterator[VideoFrame]:
        return shown(self.reader.frames())

    def _pump(self, stage: Callable[[], Iterator[Item]], target: queue.Queue[Handed]) -> None:
        """Runs one stage in its thread; its end, or its error, goes to the next stage."""
        try:
            for item in stage():
                self._put(target, item)
            self._put(target, None)
        except Exception as error:  # noqa: BLE001 - crosses to the consuming thread, which raises it
            self._put(target, error)

    def _put(self, target: queue.Queue[Handed], item: Handed) -> None:
        while not self._stopped.is_set():
            try:
                target.put(item, timeout=0.5)
                return
            except queue.Full:
                continue

    def _items(self, source: queue.Queue[Handed]) -> Iterator[Item]:
        while (item := source.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    def _cut_all(self) -> Iterator[Item]:
        number = 0
        for item in self._items(self._decoded):
            if isinstance(item, VideoFrame):
                yield self._cut(item, number)
                number += 1
            else:
                yield item

    def _cut(self, frame: VideoFrame, number: int) -> VideoFrame:
        assert frame.pts is not None  # the reader gives no other
        if number == 0:
            self._start_sec = _origin_sec(self._container, frame.pts * self.reader.time_base)
        if number >= len(self._path) or frame.pts - self._order.origin_pts != int(self._path[number, 0]):
            raise FrameMismatch(f"Rendering met frame {number} at PTS {frame.pts}; the analysis saw another one there.")
        if self._stills:
            self._stills.look_at(frame)
        window = Window(*(float(v) for v in self._path[number, 1:5]))
        picture = self._shown(frame, window)
        if self._order.draw_timestamp:
            _draw_timestamp(picture, frame)
        picture.pts = frame.pts - round(self._start_sec / self.reader.time_base)
        picture.time_base = self.reader.time_base
        picture.duration = frame.duration
        return picture

    def _shown(self, frame: VideoFrame, window: Window) -> VideoFrame:
        """What the window shows, of the output's size, as the encoder wants it."""
        order = self._order
        if self._look is None:
            self._look = look_of(frame, keep_hdr=order.hdr == "keep")
        size = (order.output_width, order.output_height)
        planar, tags = self._in_shape(frame, self._look)
        place = None if order.fill == "crop" else placement(window, size)
        if place is None:
            return self._look.finished(cut(planar, window, size, self._geometry), tags)
        picture = self._look.finished(cut(planar, place.window, place.size, self._geometry, halves=True), tags)
        kept = picture.format.name.endswith("10le")  # else it is SDR of limited range by now
        return filled(picture, place, size, order.fill, full=kept and tags.full_range)

    def _in_shape(self, frame: VideoFrame, look: Look) -> tuple[VideoFrame, Tags]:
        """The whole frame in the film's coded size, between bars where it has another shape."""
        area = self._shape.area_of(frame)
        if area is None:
            return look.planar(frame, self._shape.size)
        inner, tags = look.planar(frame, area.size)
        return filled(inner, area, self._shape.size, "pad", full=tags.full_range), tags

    def _carry(self, packet: Packet[Companion]) -> None:
        if self._video is None:
            self._early.append(packet)
        elif track := self._tracks.get(packet.stream.index):
            track.carry(packet)

    def _mux(self, picture: VideoFrame | None) -> None:
        try:
            if self._video is None:
                self._video = self._open()
            self._output.mux(self._video.encode(picture))
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
                raise StorageError("The temporary folder (TMPDIR) is full: make room there.") from error
            raise EncodeFailed("Every encoder refused the picture.") from error

    def _open(self) -> VideoStream:
        """Everything the MP4 will hold, known once the first picture is there."""
        order = self._order
        size = (order.output_width, order.output_height)
        assert self._look is not None  # the first picture is there
        encoder = self._look.encoder(size, order.crf, order.preset)
        video = encoder.add_stream(self._output, size, Fraction(*order.fps), self.reader.time_base)
        for sound in self._sound:
            self._tracks[sound.index] = audio_track(sound, self._output, self._start_sec)
        for text in self._text:
            self._tracks[text.index] = SubtitleTrack(text, self._output, self._start_sec)
        carry_chapters(self._container, self._output, self._start_sec)
        self._output.start_encoding()
        self._video = video
        early, self._early = self._early, []
        for packet in early:
            self._carry(packet)
        return video

    def _finish(self) -> None:
        dropped = self.reader.dropped_frames
        if dropped > max(LEFT_OUT_FRAMES, LEFT_OUT_SHARE * len(self._path)):
            raise MediaUndecodable(
                f"The times of {dropped} frames jump back, beside {self.frames} that do not: they have no place in the "
                "film. Write the video anew with continuous times, for example with ffmpeg -i in -c copy out.ts."
            )
        if self.frames != len(self._path):
            raise FrameMismatch(f"Rendering met {self.frames} frames, the analysis {len(self._path)}.")
        self._mux(None)
        for track in self._tracks.values():
            track.finish()
        self._output.close()


def render(
    container: InputContainer,
    stream: VideoStream,
    order: RenderOrder,
    report: Callable[[int], None],
    memory: mmap.mmap | None = None,
) -> dict[str, Any]:
    """Writes `order.output_file`, and the ordered stills into `memory`. Returns counts of frames and of what was
    broken. `report` gets the frames done.

    Raises FrameMismatch when the decoded frames are not those of the path, EncodeFailed when the encoder refuses.
    """
    return Renderer(container, stream, order, memory).run(report)


def _draw_timestamp(picture: VideoFrame, source: VideoFrame) -> None:
    milliseconds = round(float(source.time or 0) * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    text = f"{minutes // 60:02}:{minutes % 60:02}:{rest / 1000:06.3f}"
    luma = plane(picture, 0)
    canvas = np.ascontiguousarray(luma)
    scale = picture.height / 720
    unit = 1 if canvas.dtype == np.uint8 else 4  # ten bits hold four times the levels
    for shade, thickness in ((16 * unit, 4), (235 * unit, 1)):
        origin = (round(12 * scale), round(30 * scale))
        cv2.putText(
            canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale * 0.8, (shade,), max(1, round(thickness * scale))
        )
    luma[:] = canvas


def _origin_sec(container: InputContainer, first_sec: Fraction) -> Fraction:
    """What to take off every timestamp. MP4 and Matroska say where zero is, and it is kept; a recorder's clock counts
    from anywhere (26 hours, often), so there the earliest stream begins the film. Nothing may lie before the film's
    zero: MP4 would hide it."""
    start_sec = Fraction(container.start_time or 0, av.time_base)
    if start_sec < 0 or (container_named(container, "mov", "matroska") and start_sec <= LONGEST_DELAY_SEC):
        start_sec = Fraction(0)
    return min(start_sec, first_sec)


def _muxer_options(stream: VideoStream) -> dict[str, str]:
    """The index in front; edit lists counted in the video's own ticks, so that a late first frame keeps its time."""
    assert stream.time_base is not None  # open_video chose a stream that has one
    ticks_per_sec = stream.time_base.denominator
    return {
        "movflags": "+faststart",
        "movie_timescale": str(ticks_per_sec if 1000 <= ticks_per_sec < 2**31 else 90_000),
    }
