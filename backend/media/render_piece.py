"""Renders one piece of a film: its pictures encoded as a closed group, and the packets of sound and subtitles of its
time as they are. join.py makes a film of the pieces. Child process only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from backend.errors import EncodeFailed, FrameMismatch
from backend.media.audio import audio_streams
from backend.media.cropper import CropOrder, Cropper
from backend.media.decode import Companion, FrameReader, container_named
from backend.media.facts import Appearance
from backend.media.piece_encoder import TAKES_ORDERS, PieceSink
from backend.media.piece_file import PieceFacts, PieceWriter
from backend.media.pieces import Span
from backend.media.render import Renderer
from backend.media.shown import shown
from backend.media.sieve import Sieve, time_sec
from backend.media.stills import StillOrder, Stills
from backend.media.text import subtitle_streams

# A transport stream gives its sound in packets of several frames, whose times are exact from the second one on.
PARSED_MARGIN_SEC = Fraction(1, 2)
# Past its end a piece reads on for sound that stands late in the file. So much of the picture without any more of it
# means that there is none.
QUIET_SEC = 2


class PieceOrder(CropOrder):
    """`path_file` has the span's rows and, after them, those that the encoder looks ahead at: see pieces.path_rows. All
    pieces of a film have the same `encoder` and `appearance`."""

    span: Span
    encoder: str
    appearance: Appearance


class PieceFrames:
    """The frames of a span; its sound and subtitles go to `put` on the way."""

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        span: Span,
        rows: int,
        in_hardware: bool,
        put: Callable[[Packet[Companion]], None],
    ) -> None:
        """`rows`: how many frames from the span's start on are wanted; the last piece gives all there are."""
        self._span = span
        self._rows = rows
        companions: list[Companion] = [*audio_streams(container), *subtitle_streams(container)]
        assert stream.time_base is not None  # open_video chose a stream that has one
        margin_sec = PARSED_MARGIN_SEC if container_named(container, "mpegts") else Fraction(0)
        self._sieve = Sieve(span, stream.time_base, companions, put, margin_sec)
        self._reader = FrameReader(
            container,
            stream,
            in_hardware=in_hardware,
            companions=companions,
            on_companion=self._sieve.take,
            on_seek=self._sieve.restart,
            is_early=self._sieve.begins_early,
        )
        self._before: Counter[str] = Counter()  # counted before the span began; another piece counts it
        self.counts: dict[str, int] = {}
        self._heard = 0
        self._quiet_since_sec: Fraction | None = None

    def __iter__(self) -> Iterator[VideoFrame]:
        if self._span.lead_pts is None:
            self._sieve.settle()
        number = 0
        for frame in shown(self._reader.frames_from(self._span.lead_pts)):
            assert frame.pts is not None  # the reader gives no other
            self._sieve.settle()
            if frame.pts < self._span.start_pts:
                continue
            if number == 0 and self._span.lead_pts is not None:
                self._before = Counter(self._reader.counts())
            yield frame
            number += 1
            if number == self._span.frames:
                self._note_counts()
            if number >= self._rows and self._span.end_pts is not None:
                break
        if self._span.end_pts is None:
            self._note_counts()
        else:
            self._reader.read_on(until=self._has_all_sound)

    def edges(self) -> dict[int, Any]:
        return dict(self._sieve.edges())

    def _note_counts(self) -> None:
        self.counts = {name: count - self._before[name] for name, count in self._reader.counts().items()}

    def _has_all_sound(self, packet: Packet[VideoStream]) -> bool:
        now_sec = time_sec(packet)
        if self._sieve.is_past() or now_sec is None:
            return self._sieve.is_past()
        if self._quiet_since_sec is None or self._sieve.sound_on_its_way > self._heard:
            self._heard, self._quiet_since_sec = self._sieve.sound_on_its_way, now_sec
        return now_sec - self._quiet_since_sec > QUIET_SEC


def render_piece(
    container: InputContainer,
    stream: VideoStream,
    order: PieceOrder,
    report: Callable[[int], None],
    head: list[tuple[int, bytes]],
    source_bytes: int,
) -> dict[str, Any]:
    """Writes `order.output_file`, a piece: see piece_file.py. `head` is what opening the source read; the first piece
    keeps it. Returns the number of frames. `report` gets the frames done.

    Raises FrameMismatch when the decoded frames are not those of the path, EncodeFailed when the encoder refuses,
    EncoderUnavailable when it is not here.
    """
    assert stream.time_base is not None  # open_video chose a stream that has one
    span, stills = order.span, _stills(order)
    cropper = Cropper(order, stream.time_base, stills)
    rows = len(cropper.path_pts) if order.encoder in TAKES_ORDERS else span.frames
    with PieceWriter() as writer:
        sink = PieceSink(span, order.encoder, cropper, writer)
        renderer = Renderer(cropper, sink)
        frames = PieceFrames(container, stream, span, rows, order.in_hardware, renderer.carry)
        done = renderer.run(lambda: iter(frames), report)
        if done != rows:
            raise FrameMismatch(f"Rendering a piece met {done} frames, the analysis {rows}.")
        packets = sink.finish()
        if len(packets) != span.frames:
            raise EncodeFailed(f"The encoder made {len(packets)} pictures of {span.frames}.")
        facts = PieceFacts(
            encoder=order.encoder,
            time_base=stream.time_base.as_integer_ratio(),
            fps=order.fps,
            counts=frames.counts,
            edges=frames.edges(),
            stills_pts=stills.taken_pts,
            source_bytes=source_bytes,
            head=[],
        )
        taken = stills.pictures[: len(stills.taken_pts)]
        writer.finish(order.output_file, facts, packets, taken, head if span.lead_pts is None else [])
    return {"frames": span.frames}


def _stills(order: PieceOrder) -> Stills:
    """Those of the piece's own frames; every one of them comes by, in order."""
    wanted = (order.stills or StillOrder(pts=[], width=1, height=1)).within(order.span.start_pts, order.span.end_pts)
    wanted = wanted.model_copy(update={"pts": sorted(wanted.pts)})
    return Stills(wanted, order.coded_shape, wanted.pictures_in(None))
