"""Decodes the source once, cuts the window of every frame, encodes it and carries sound, subtitles and chapters; takes
stills on the way. Child process only.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Protocol, TypeAlias

from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from backend.errors import FrameMismatch, MediaUndecodable
from backend.media.belt import Belt
from backend.media.cropper import CropOrder, Cropper
from backend.media.decode import Companion, FrameReader
from backend.media.film import Film, origin_sec, writing_pictures
from backend.media.shown import shown
from backend.media.stills import Stills

REPORT_EVERY_FRAMES = 25
# More frames than this without a place in the film, and no less than this share of it, are a failure, not a detail.
LEFT_OUT_FRAMES, LEFT_OUT_SHARE = 3, 0.001

Item: TypeAlias = "VideoFrame | Packet[Companion]"


class Sink(Protocol):
    """Where pictures and the packets of companions go."""

    def zero_pts(self, first_pts: int) -> int:
        """What to take off the PTS of every picture; asked with the first one, in the cutting thread."""

    def picture(self, picture: VideoFrame) -> None: ...

    def companion(self, packet: Packet[Companion]) -> None: ...


class Renderer:
    """Three stages in three threads, each as fast as the slowest: decode, cut, encode and write."""

    def __init__(self, cropper: Cropper, sink: Sink) -> None:
        self._cropper = cropper
        self._sink = sink
        self._stopped = threading.Event()
        self._decoded: Belt[Item] = Belt(self._stopped)
        self._ready: Belt[Item] = Belt(self._stopped)

    def carry(self, packet: Packet[Companion]) -> None:
        """Call it in the thread that decodes, where the packet stands in the source."""
        self._decoded.put(packet)

    def run(self, frames: Callable[[], Iterator[VideoFrame]], report: Callable[[int], None]) -> int:
        """Returns how many frames there were."""
        self._decoded.feed(frames)
        self._ready.feed(self._cut_all)
        done = 0
        try:
            for item in self._ready:
                if not isinstance(item, VideoFrame):
                    self._sink.companion(item)
                    continue
                self._sink.picture(item)
                done += 1
                if done % REPORT_EVERY_FRAMES == 0:
                    report(done)
        finally:
            self._stopped.set()
            # Whoever called closes the file next; a decoder that still works on it would crash the process.
            self._decoded.join()
            self._ready.join()
        return done

    def _cut_all(self) -> Iterator[Item]:
        number, zero_pts = 0, 0
        for item in self._decoded:
            if isinstance(item, VideoFrame):
                assert item.pts is not None  # the reader gives no other
                if number == 0:
                    zero_pts = self._sink.zero_pts(item.pts)
                picture = self._cropper.crop(item, number)
                assert picture.pts is not None  # the cropper set it
                picture.pts -= zero_pts
                yield picture
                number += 1
            else:
                yield item


class WholeFilm:
    """A sink that encodes into the MP4."""

    def __init__(self, container: InputContainer, order: CropOrder, time_base: Fraction, cropper: Cropper) -> None:
        self.film = Film(order.output_file, container, time_base)
        self._container = container
        self._time_base = time_base
        self._cropper = cropper
        self._start_sec = Fraction(0)  # set by the cutting thread with the first picture
        self._video: VideoStream | None = None

    def zero_pts(self, first_pts: int) -> int:
        self._start_sec = origin_sec(self._container, first_pts * self._time_base)
        return round(self._start_sec / self._time_base)

    def picture(self, picture: VideoFrame | None) -> None:
        with writing_pictures():
            if self._video is None:
                self._video = self.film.begin(self._start_sec, self._cropper.add_stream)
            self.film.mux(self._video.encode(picture))

    def companion(self, packet: Packet[Companion]) -> None:
        self.film.carry(packet)

    @property
    def encoder(self) -> str | None:
        """The name of the one that makes the pictures; None before the first."""
        return self._video.codec_context.name if self._video else None

    def finish(self) -> None:
        self.picture(None)
        self.film.finish()


def render(
    container: InputContainer,
    stream: VideoStream,
    order: CropOrder,
    report: Callable[[int], None],
    memory: mmap.mmap | None = None,
) -> dict[str, Any]:
    """Writes `order.output_file`, and the ordered stills into `memory`. Returns the encoder, counts of frames and of
    what was broken. `report` gets the frames done.

    Raises FrameMismatch when the decoded frames are not those of the path, MediaUndecodable when too many have no place
    in the film, EncodeFailed when the encoder refuses.
    """
    assert stream.time_base is not None  # open_video chose a stream that has one
    stills = Stills(order.stills, order.coded_shape, order.stills.pictures_in(memory)) if order.stills else None
    cropper = Cropper(order, stream.time_base, stills)
    sink = WholeFilm(container, order, stream.time_base, cropper)
    renderer = Renderer(cropper, sink)
    reader = FrameReader(
        container,
        stream,
        clock=order.clock,
        in_hardware=order.in_hardware,
        companions=sink.film.companions,
        on_companion=renderer.carry,
    )
    frames = renderer.run(lambda: shown(reader.frames()), report)
    check_whole(frames, len(cropper.path_pts), reader.dropped_frames)
    sink.finish()
    return {
        "frames": frames,
        "stills": len(stills.taken_pts) if stills else 0,
        "encoder": sink.encoder,
        **reader.counts(),
        **sink.film.counts(),
    }


def check_whole(frames: int, expected: int, dropped: int) -> None:
    """Raises MediaUndecodable, FrameMismatch."""
    if dropped > max(LEFT_OUT_FRAMES, LEFT_OUT_SHARE * expected):
        raise MediaUndecodable(
            f"The times of {dropped} frames jump back, beside {frames} that do not: they have no place in the "
            "film. Write the video anew with continuous times, for example with ffmpeg -i in -c copy out.ts."
        )
    if frames != expected:
        raise FrameMismatch(f"Rendering met {frames} frames, the analysis {expected}.")
