"""Makes a film of its pieces: copies the pictures' packets, lays one decode order over all of them, and carries sound,
subtitles and chapters as rendering in one go does. The source is not read; nothing is encoded but sound that MP4 cannot
hold. Child process only.
"""

from __future__ import annotations

import hashlib
import mmap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import av
import av.error
import numpy as np
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from backend.errors import ArtifactCorrupt, NotAVideo, PiecesApart
from backend.media.decode import Companion, open_container
from backend.media.encoders import HEVC_TAG
from backend.media.film import Film, origin_sec, writing_pictures
from backend.media.head import opened_again
from backend.media.packet_file import end_of, read_packets
from backend.media.piece_file import Piece
from backend.media.render import check_whole
from backend.media.sieve import meets
from backend.media.stills import StillOrder

REPORT_EVERY_FRAMES = 1000
REFUSED = "The pieces' pictures cannot be written into one film."
Parameters: TypeAlias = "tuple[str, int, int, bytes]"  # codec, width, height, its headers


class PieceRef(BaseModel):
    """A piece's file here, and what it has to be."""

    model_config = ConfigDict(extra="forbid")

    file: str
    sha256: str
    frames: int


class JoinOrder(BaseModel):
    """The pieces in the order of the film. `stills`: those that rendering was to take, in the order they are wanted."""

    model_config = ConfigDict(extra="forbid")

    pieces: list[PieceRef] = Field(min_length=1)
    output_file: str
    stills: StillOrder | None = None


def join(order: JoinOrder, report: Callable[[int], None], memory: mmap.mmap | None) -> dict[str, Any]:
    """Writes `order.output_file`, and the stills into `memory`. Returns what `render` returns. `report` gets the frames
    done.

    Raises ArtifactCorrupt for a piece that is not what the order says, PiecesApart for pieces that do not belong
    together, MediaUndecodable when too many frames have no place in the film.
    """
    with ExitStack() as stack:
        pieces = [stack.enter_context(piece) for piece in _checked(order.pieces, report)]
        source = stack.enter_context(_source_of(pieces[0]))
        expected = sum(ref.frames for ref in order.pieces)
        counts = sum((Counter(piece.facts.counts) for piece in pieces), Counter())
        check_whole(expected, expected, counts["dropped_frames"])
        joined = _Joined(order.output_file, pieces, source)
        joined.write(report)
        return {
            "frames": expected,
            "encoder": pieces[0].facts.encoder,
            "stills": _hand_over_stills(order.stills, pieces, memory),
            **{name: counts[name] for name in pieces[0].facts.counts},
            **joined.film.counts(),
        }


def decode_times(pts: NDArray[np.int64], depth: int) -> NDArray[np.int64]:
    """DTS of packets whose PTS are given in decode order: strictly rising, none after its PTS. The n-th packet is
    decoded when the picture `depth` places before it is shown; the first few before anything is, as x264 does it.

    Raises PiecesApart where pictures are out of order by more than that.
    """
    shown = np.sort(pts)
    depth = min(depth, len(pts) - 1)
    dts = np.concatenate([shown[:depth] - (shown[depth] - shown[0]), shown[: len(shown) - depth]])
    if (np.diff(shown) <= 0).any() or (np.diff(dts) <= 0).any() or (dts > pts).any():
        raise PiecesApart("The pieces' pictures have no decode order. Render the film in one go.")
    return dts


class _Joined:
    """The film that the pieces make. Packets go through one by one."""

    def __init__(self, output_file: str, pieces: Sequence[Piece], source: InputContainer) -> None:
        self._pieces = pieces
        self._time_base = pieces[0].time_base
        first_pts = int(pieces[0].packets[:, 0].min())
        self._start_sec = origin_sec(source, first_pts * self._time_base)
        self._tables = _one_order(pieces, round(self._start_sec / self._time_base))
        self.film = Film(output_file, source, self._time_base)
        self._streams = {stream.index: stream for stream in self.film.companions}
        self._tick_secs = {index: float(stream.time_base or 0) for index, stream in self._streams.items()}

    def write(self, report: Callable[[int], None]) -> None:
        with writing_pictures(REFUSED), _pictures(self._pieces[0]) as (_, like):
            fps = Fraction(*self._pieces[0].facts.fps)
            video = self.film.begin(self._start_sec, lambda output: _copied_stream(output, like, fps))
            parameters = _parameters(like)
        done = 0
        for piece, table in zip(self._pieces, self._tables, strict=True):
            for _ in self._copied(piece, table, video, parameters):
                done += 1
                if done % REPORT_EVERY_FRAMES == 0:
                    report(done)
        for stream in self._streams.values():
            self.film.carry(end_of(stream))
        self.film.finish()

    def _copied(
        self, piece: Piece, table: NDArray[np.int64], video: VideoStream, parameters: Parameters
    ) -> Iterator[None]:
        """One step for each picture; sound and subtitles go in between, where their time is."""
        companions = read_packets(piece.companions(), self._streams)
        waiting = next(companions, None)
        until_secs = table[:, 1] * float(self._time_base) + float(self._start_sec)
        with _pictures(piece) as (packets, stream):
            if _parameters(stream) != parameters:
                raise PiecesApart("The pieces were not made by one encoder. Render the film in one go.")
            rows = zip(packets, table.tolist(), until_secs.tolist(), strict=True)
            for packet, (pts, dts, duration), until_sec in rows:
                while waiting is not None and self._is_due(waiting, until_sec):
                    self.film.carry(waiting)
                    waiting = next(companions, None)
                packet.stream, packet.time_base = video, self._time_base
                packet.pts, packet.dts, packet.duration = pts, dts, duration
                with writing_pictures(REFUSED):
                    self.film.mux([packet])
                yield
        while waiting is not None:
            self.film.carry(waiting)
            waiting = next(companions, None)

    def _is_due(self, packet: Packet[Companion], until_sec: float) -> bool:
        ticks = packet.pts if packet.dts is None else packet.dts
        return ticks is None or ticks * self._tick_secs[packet.stream_index] <= until_sec


def _checked(refs: Sequence[PieceRef], report: Callable[[int], None]) -> Iterator[Piece]:
    """Raises ArtifactCorrupt."""
    for number, ref in enumerate(refs):
        report(0)  # a sign of life: hashing gigabytes takes a while
        with Path(ref.file).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != ref.sha256:
                raise ArtifactCorrupt(f"Piece {number} of the film is not the one that was written.")
        piece = Piece(ref.file)
        yield piece
        if len(piece.packets) != ref.frames:
            raise ArtifactCorrupt(f"Piece {number} of the film has {len(piece.packets)} frames, not {ref.frames}.")


def _source_of(first: Piece) -> InputContainer:
    """The source as far as its head goes. Raises ArtifactCorrupt."""
    try:
        return open_container(opened_again(first.head(), first.facts.source_bytes))
    except NotAVideo as error:
        raise ArtifactCorrupt("The first piece does not hold the head of its source.") from error


def _one_order(pieces: Sequence[Piece], zero_pts: int) -> list[NDArray[np.int64]]:
    """For each piece rows (PTS, DTS, duration) on the film's clock. Raises PiecesApart."""
    if len({(piece.time_base, piece.facts.encoder) for piece in pieces}) != 1:
        raise PiecesApart("The pieces were made with different clocks or encoders. Render the film in one go.")
    for index in pieces[0].facts.edges:
        if not meets([piece.facts.edges[index] for piece in pieces if index in piece.facts.edges]):
            raise PiecesApart(f"The sound of stream {index} does not meet between pieces. Render the film in one go.")
    table = np.concatenate([piece.packets for piece in pieces])
    table[:, 0] -= zero_pts
    table[:, 1] = decode_times(table[:, 0], max(_depth(piece) for piece in pieces))
    ends = np.cumsum([len(piece.packets) for piece in pieces])
    parts = np.split(table, ends[:-1])
    if any(earlier[:, 0].max() >= later[:, 0].min() for earlier, later in pairwise(parts)):
        raise PiecesApart("The pieces are not in the order of the film, or overlap.")
    return parts


def _depth(piece: Piece) -> int:
    """How many pictures the encoder decodes before the first one is shown."""
    return int((piece.packets[:, 1] < piece.packets[:, 0].min()).sum())


@contextmanager
def _pictures(piece: Piece) -> Iterator[tuple[Iterator[Packet[VideoStream]], VideoStream]]:
    """Raises ArtifactCorrupt."""
    try:
        with av.open(piece.video(), "r", format="mp4", container_options={"ignore_editlist": "1"}) as container:
            stream = container.streams.video[0]
            yield (packet for packet in container.demux(stream) if packet.size), stream
    except (av.error.InvalidDataError, av.error.EOFError, IndexError) as error:
        raise ArtifactCorrupt("A piece of the film holds no pictures that can be read.") from error


def _copied_stream(output: OutputContainer, like: VideoStream, fps: Fraction) -> VideoStream:
    """As an encoder's own stream would be."""
    stream = output.add_stream_from_template(like, opaque=True)
    stream.codec_context.framerate = fps
    stream.codec_context.bit_rate = 0  # of the one piece; the muxer counts that of the film
    if like.codec_context.name == "hevc":
        stream.codec_context.codec_tag = HEVC_TAG
    return stream


def _parameters(stream: VideoStream) -> Parameters:
    context = stream.codec_context
    return context.name, context.width, context.height, bytes(context.extradata or b"")


def _hand_over_stills(order: StillOrder | None, pieces: Sequence[Piece], memory: mmap.mmap | None) -> int:
    """How many of the ordered stills the pieces have."""
    if order is None:
        return 0
    places = {pts: number for number, pts in enumerate(order.pts)}
    pictures = order.pictures_in(memory)
    taken = 0
    for piece in pieces:
        for pts, still in zip(piece.facts.stills_pts, piece.stills(), strict=True):
            if pts in places and still.shape == pictures.shape[1:]:
                pictures[places[pts]] = still
                taken += 1
    return taken
