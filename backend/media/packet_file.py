"""Packets of a source as they are, in a file: nothing is decoded, no time is rounded. Child process only.

Each is a fixed header, its side data (name, bytes), and its bytes. A container would round times (Matroska), refuse
codecs (MP4) or forget side data (NUT).
"""

from __future__ import annotations

import struct
from collections import Counter
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
    left_to_skip: Counter[int] = Counter()  # samples of each stream that an earlier packet says nobody hears
    time_bases = {index: stream.time_base for index, stream in streams.items()}  # asking for one makes a fraction
    while header := file.read(_HEADER.size):
        index, flags, pts, dts, duration, size, count = _unpacked(_HEADER, header)
        side_data = [_read_side_data(file) for _ in range(count)]
        packet = cast("Packet[Companion]", Packet(_exactly(file, size)))
        time_base = time_bases.get(index)
        if time_base is None:
            raise ArtifactCorrupt(f"The piece holds packets of stream {index}, which the source does not have.")
        packet.stream, packet.time_base = streams[index], time_base
        packet.pts, packet.dts = _time(pts), _time(dts)
        packet.duration = _time(duration)
        packet.is_keyframe, packet.is_corrupt = bool(flags & _KEYFRAME), bool(flags & _CORRUPT)
        for name, data in side_data:
            _attach(packet, name, data)
        if side_data or flags & _DISCARD or left_to_skip[index]:
            _keep_unheard(packet, bool(flags & _DISCARD), left_to_skip)
        yield packet


def end_of(stream: Companion) -> Packet[Companion]:
    """The empty packet that makes a decoder give what it holds back."""
    packet = cast("Packet[Companion]", Packet())
    packet.stream = stream
    return packet


def _keep_unheard(packet: Packet[Companion], is_discarded: bool, left_to_skip: Counter[int]) -> None:
    """An edit list's word that nobody hears this packet is a flag, which cannot be set from here. Decoders understand
    the same in samples; those that an earlier packet has announced are on their way out already."""
    stream = packet.stream
    if not isinstance(stream, AudioStream) or not packet.duration:
        return
    if packet.has_sidedata("skip_samples"):
        left_to_skip[stream.index] = _SKIP.unpack(bytes(packet.get_sidedata("skip_samples")))[0]
    samples = round(packet.duration * packet.time_base * stream.rate)
    if is_discarded and left_to_skip[stream.index] < samples:
        _attach(packet, "skip_samples", _SKIP.pack(samples, 0, 0, 0))
    left_to_skip[stream.index] = max(0, left_to_skip[stream.index] - samples)


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
