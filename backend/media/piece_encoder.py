"""Encodes the pictures of a piece so that they are what they would be in a film of one go, but refer to nothing
outside. Child process only.

A piece starts with an IDR picture, and its last picture is coded before anything that comes after it. What the encoder
looks ahead at is encoded too, and thrown away; so are the first pictures, which x264 gets twice: its choices follow
from those that it made a little earlier, and a stream that begins cold differs by up to 2 dB.
"""

from __future__ import annotations

import av
import numpy as np
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from backend.errors import EncodeFailed
from backend.media.cropper import Cropper
from backend.media.decode import Companion
from backend.media.encoder_names import X264, X265
from backend.media.film import writing_pictures
from backend.media.packet_file import write_packet
from backend.media.piece_file import PieceWriter
from backend.media.pieces import Span

# These take an order which kind of picture one is to be; NVENC does not, and does not look ahead either.
TAKES_ORDERS = frozenset({X264, X265})
# Enough to be within 0.03 dB, and no more than this of memory: large pictures are warmed up with fewer.
WARM_UP_FRAMES, WARM_UP_BYTES = 24, 128 * 2**20


class PieceSink:
    """Encodes the span's pictures, and keeps the companions as they are."""

    def __init__(self, span: Span, encoder: str, cropper: Cropper, writer: PieceWriter) -> None:
        self._span = span
        self._cropper = cropper
        self._writer = writer
        self._output = av.open(writer.video_file, "w", format="mp4")
        self._video: VideoStream | None = None
        self._rows: list[tuple[int, int, int]] = []
        self._pictures = 0
        self._last_pts = 0  # of the span's last picture, from its first one
        self._ended = False
        self._takes_orders = encoder in TAKES_ORDERS
        # Held back until there are enough of them; None once the encoder is warm.
        self._cold: list[VideoFrame] | None = [] if encoder == X264 and span.lead_pts is not None else None

    def zero_pts(self, first_pts: int) -> int:
        return self._span.start_pts

    def companion(self, packet: Packet[Companion]) -> None:
        write_packet(self._writer.companions, packet)

    def picture(self, picture: VideoFrame) -> None:
        self._pictures += 1
        if self._pictures == self._span.frames:
            assert picture.pts is not None  # the renderer set it
            self._last_pts = picture.pts
            if self._takes_orders and self._pictures > 1:
                picture.pict_type = PictureType.P  # a B picture could refer to the next piece
        if self._cold is None:
            self._encode(picture)
            return
        self._cold.append(picture)
        if len(self._cold) >= min(WARM_UP_FRAMES, max(2, WARM_UP_BYTES // _size_bytes(picture))):
            self._warm_up()

    def finish(self) -> NDArray[np.int64]:
        """Rows (PTS, DTS, duration) of what was written, on the source's clock."""
        self._warm_up()
        self._encode(None)
        self._output.close()
        rows = np.array(self._rows, np.int64).reshape(-1, 3)
        rows[:, :2] += self._span.start_pts
        return rows

    def _warm_up(self) -> None:
        """Encodes what is held back twice: first as if it were just before the piece, then as its beginning."""
        pictures, self._cold = self._cold or [], None
        if not pictures:
            return
        times = [picture.pts or 0 for picture in pictures]
        earlier = times[-1] - times[0] + (times[1] - times[0] if len(times) > 1 else 1)
        for picture, pts in zip(pictures, times, strict=True):
            ordered, picture.pict_type = picture.pict_type, PictureType.NONE
            picture.pts = pts - earlier
            self._encode(picture)
            picture.pts, picture.pict_type = pts, ordered
        pictures[0].pict_type = PictureType.I
        for picture in pictures:
            self._encode(picture)

    def _encode(self, picture: VideoFrame | None) -> None:
        with writing_pictures():
            if self._video is None:
                self._video = self._cropper.add_stream(self._output)
            for packet in self._video.encode(picture):
                self._keep(packet)

    def _keep(self, packet: Packet[VideoStream]) -> None:
        if packet.pts is None or packet.dts is None:
            raise EncodeFailed("The encoder gave a picture without a time.")
        if packet.pts < 0:
            return  # of the warm-up
        # Until the span's last picture is there, its time is not known, and nothing after it either.
        if self._pictures > self._span.frames and packet.pts > self._last_pts:
            self._ended = True
            return
        if self._ended or not (self._rows or packet.is_keyframe):
            raise EncodeFailed("The encoder coded a picture of the piece so that it refers to another piece.")
        self._rows.append((packet.pts, packet.dts, packet.duration or 0))
        self._output.mux(packet)


def _size_bytes(picture: VideoFrame) -> int:
    return sum(plane.buffer_size for plane in picture.planes)
