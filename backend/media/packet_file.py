"""Packets of a source as they are, in a file: nothing is decoded, no time is rounded. Child process only.

Each is a fixed header, its side data (name, bytes), and its bytes. A container would round times (Matroska), refuse
codecs (MP4) or forget side data (NUT).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import IO, Any, cast, get_args

from av.audio.stream import AudioStream
from av.packet import Packet, PacketSideData, PktSideDataT
from av.packet import packet_sidedata_type_from_literal as side_data_number

from backend.errors import ArtifactCorrupt
from backend.media.decode import Companion

# Stream, flags, PTS, DTS, duration, size, number of side data.
_HEADER = struct.Struct("<HBqqqIB")
_SIDE_DATA = struct.Struct("<BI")
_NONE = -(2**63)
_KEYFRAME, _CORRUPT, _DISCARD = 1, 2, 4
_KNOWN_SIDE_DATA = frozenset(get_args(PktSideDataT))
# AV_PKT_DATA_SKIP_SAMPLES: samples to skip at the start, at the end, reasons.
_SKIP = struct.Struct("<IIBB")


def write_packet(file: IO[bytes], packet: Packet[Any]) -> None:
    side_data = list(packet.iter_sidedata())
    flags = _KEYFRAME * packet.is_keyframe | _CORRUPT * packet.is_corrupt | _DISCARD * packet.is_discard
    times = (_NONE if time is None else time for time in (packet.pts, packet.dts, packet.duration))
    file.write(_HEADER.pack(packet.stream.index, flags, *times, packet.size, len(side_data)))
    for data in side_data:
        name = data.data_type.encode()
        file.write(_SIDE_DATA.pack(len(name), data.data_size) + name + bytes(data))
    file.write(bytes(packet))


def read_packets(file: IO[bytes], streams: Mapping[int, Companion]) -> Iterator[Packet[Companion]]:
    """In the order in which they were written, of those streams. Raises ArtifactCorrupt."""
    while header := file.read(_HEADER.size):
        index, flags, pts, dts, duration, size, count = _unpacked(_HEADER, header)
        side_data = [_read_side_data(file) for _ in range(count)]
        packet = cast("Packet[Companion]", Packet(_exactly(file, size)))
        stream = streams.get(index)
        if stream is None or stream.time_base is None:
            raise ArtifactCorrupt(f"The piece holds packets of stream {index}, which the source does not have.")
        packet.stream, packet.time_base = stream, stream.time_base
        packet.pts, packet.dts = _time(pts), _time(dts)
        packet.duration = _time(duration)
        packet.is_keyframe, packet.is_corrupt = bool(flags & _KEYFRAME), bool(flags & _CORRUPT)
        for name, data in side_data:
            _attach(packet, name, data)
        if flags & _DISCARD:
            _skip_all(packet)
        yield packet


def end_of(stream: Companion) -> Packet[Companion]:
    """The empty packet that makes a decoder give what it holds back."""
    packet = cast("Packet[Companion]", Packet())
    packet.stream = stream
    return packet


def _skip_all(packet: Packet[Companion]) -> None:
    """An edit list's word that nobody hears this packet. Its flag cannot be set from here; samples say the same."""
    stream = packet.stream
    if isinstance(stream, AudioStream) and packet.duration and not packet.has_sidedata("skip_samples"):
        samples = round(packet.duration * packet.time_base * stream.rate)
        _attach(packet, "skip_samples", _SKIP.pack(samples, 0, 0, 0))


def _attach(packet: Packet[Companion], name: str, data: bytes) -> None:
    if name not in _KNOWN_SIDE_DATA or not data:
        return
    number = side_data_number(cast(PktSideDataT, name))
    side_data: PacketSideData = cast(Any, PacketSideData)(number, len(data))  # its stub does not say how one is made
    side_data.update(data)
    packet.set_sidedata(side_data, move=True)


def _read_side_data(file: IO[bytes]) -> tuple[str, bytes]:
    name_bytes, size = _unpacked(_SIDE_DATA, file.read(_SIDE_DATA.size))
    return _exactly(file, name_bytes).decode("ascii", "replace"), _exactly(file, size)


def _unpacked(layout: struct.Struct, data: bytes) -> tuple[Any, ...]:
    if len(data) != layout.size:
        raise ArtifactCorrupt("The piece's packets end in the middle of one.")
    return layout.unpack(data)


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise ArtifactCorrupt("The piece's packets end in the middle of one.")
    return data


def _time(value: int) -> int | None:
    return None if value == _NONE else value
