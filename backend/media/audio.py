"""Carries every sound track into the MP4: copied where MP4 can hold the codec, else encoded to AAC. Child only."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import av.error
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

COPIED_CODECS = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "alac", "flac"})
AAC_BITS_PER_CHANNEL = 96_000
AAC_FRAME_SAMPLES = 1024
AAC_RATES_HZ = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000)
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}


class AudioTrack:
    """One sound track on its way from the source to the output. `broken` counts what could not be carried."""

    def __init__(self, source: AudioStream, output: OutputContainer, start_sec: Fraction) -> None:
        self.source = source
        self.broken = 0
        self._output = output
        self._shift = round(start_sec / source.time_base) if source.time_base else 0
        self._copies = _can_copy(source)
        self._stream = output.add_stream_from_template(source) if self._copies else self._aac_stream(output)
        if language := source.language:
            self._stream.metadata["language"] = language
        if not self._copies:
            self._resampler = av.AudioResampler(
                format="fltp", layout=self._stream.layout, rate=self._stream.rate, frame_size=AAC_FRAME_SAMPLES
            )

    def carry(self, packet: Packet[Any]) -> None:
        """Takes one packet, the empty one at the end too."""
        try:
            if self._copies:
                self._copy(packet)
            else:
                self._encode(packet)
        except av.error.FFmpegError:
            self.broken += 1

    def finish(self) -> None:
        """Writes what the encoder still holds."""
        if self._copies:
            return
        for frame in self._resampler.resample(None):
            self._output.mux(self._stream.encode(frame))
        self._output.mux(self._stream.encode(None))

    def _copy(self, packet: Packet[AudioStream]) -> None:
        if packet.dts is None or packet.pts is None:
            return
        packet.pts -= self._shift
        packet.dts -= self._shift
        packet.stream = self._stream
        self._output.mux(packet)

    def _encode(self, packet: Packet[AudioStream]) -> None:
        for frame in packet.decode():
            if frame.pts is not None:
                frame.pts -= self._shift
            for resampled in self._resampler.resample(frame):
                self._output.mux(self._stream.encode(resampled))

    def _aac_stream(self, output: OutputContainer) -> AudioStream:
        rate = min((rate for rate in AAC_RATES_HZ if rate >= (self.source.rate or 0)), default=AAC_RATES_HZ[-1])
        stream = output.add_stream("aac", rate=rate, layout=_aac_layout(self.source, rate))
        stream.codec_context.bit_rate = AAC_BITS_PER_CHANNEL * stream.channels
        return stream


def _aac_layout(source: AudioStream, rate: int) -> str:
    """The source's own channels where AAC has them, by their number where it does not name them, else stereo."""
    for layout in (source.layout.name, LAYOUTS.get(source.channels)):
        if layout is None:
            continue
        try:
            trial = av.CodecContext.create("aac", "w")
            assert isinstance(trial, AudioCodecContext)
            trial.sample_rate, trial.layout, trial.format = rate, layout, "fltp"
            trial.open()
        except (av.error.FFmpegError, ValueError):
            continue
        return layout
    return "stereo"


def audio_streams(container: InputContainer) -> list[AudioStream]:
    """The tracks that can be carried: those with a decoder and a believable rate."""
    return [s for s in container.streams.audio if s.codec_context is not None and s.rate and s.channels and s.time_base]


def _can_copy(source: AudioStream) -> bool:
    if source.codec_context.codec.canonical_name not in COPIED_CODECS:
        return False
    # AAC from a transport stream keeps its configuration in every packet; MP4 wants it once, in the header.
    return source.codec_context.codec.canonical_name != "aac" or bool(source.codec_context.extradata)
