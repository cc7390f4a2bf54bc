"""Carries every sound track into the MP4: copied where MP4 can hold the codec, else encoded to AAC. Child only."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

COPIED_CODECS = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "alac", "flac"})
AAC_BITS_PER_CHANNEL = 96_000
AAC_FRAME_SAMPLES = 1024
AAC_RATES_HZ = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000)
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
# Sound that comes this much too early or too late is cut off or waited for in silence; less is the roundness of clocks.
DRIFT_SEC = Fraction(1, 20)
# What recorders make. At one sample a second a few kilobytes would be hours of sound to encode.
LEAST_RATE_HZ, MOST_RATE_HZ = 1000, 1_536_000
# A longer silence is left out of the track instead of being written.
LONGEST_SILENCE_SEC = 60


class CopiedTrack:
    """One sound track whose packets MP4 takes as they are. `broken` counts what could not be carried."""

    def __init__(self, source: AudioStream, output: OutputContainer, start_sec: Fraction) -> None:
        self.broken = 0
        self._output = output
        self._shift = _ticks(start_sec, source)
        self._stream = output.add_stream_from_template(source)
        self._last_dts: int | None = None
        _name_language(source, self._stream)

    def carry(self, packet: Packet[Any]) -> None:
        """Takes one packet, the empty one at the end too. What lies before the last one is left out: MP4 has no place
        for it."""
        if packet.dts is None or packet.pts is None:
            return
        packet.pts -= self._shift
        packet.dts -= self._shift
        if self._last_dts is not None and packet.dts <= self._last_dts:
            self.broken += 1
            return
        self._last_dts = packet.dts
        packet.stream = self._stream
        try:
            self._output.mux(packet)
        except av.error.FFmpegError:
            self.broken += 1

    def finish(self) -> None:
        """Nothing is held back."""


class EncodedTrack:
    """One sound track on its way to AAC, of the rate and the channels that it begins with: a broadcast may change both
    between two films. `broken` counts packets that could not be carried.

    Samples are counted from the first one on; the source's times are followed within DRIFT_SEC.
    """

    def __init__(self, source: AudioStream, output: OutputContainer, start_sec: Fraction) -> None:
        self.broken = 0
        self._output = output
        self._shift = _ticks(start_sec, source)
        self._stream = self._aac_stream(source, output)
        self._rate = self._stream.rate
        _name_language(source, self._stream)
        self._resampler: av.AudioResampler | None = None
        self._source_format: tuple[str, str, int] | None = None
        self._fifo = AudioFifo()
        self._next_sec: Fraction | None = None  # where the next sample of the source belongs
        self._next_sample = 0  # of the output

    def carry(self, packet: Packet[Any]) -> None:
        """Takes one packet, the empty one at the end too."""
        try:
            for frame in packet.decode():
                assert isinstance(frame, AudioFrame)  # the stream is a sound track
                self._place(frame)
        except av.error.FFmpegError:
            self.broken += 1

    def finish(self) -> None:
        """Writes what resampler and encoder still hold."""
        self._end_format()
        self._encode(AAC_FRAME_SAMPLES, to_the_end=True)
        self._output.mux(self._stream.encode(None))

    def _place(self, frame: AudioFrame) -> None:
        length_sec = Fraction(frame.samples, frame.sample_rate)
        own = None if frame.pts is None or not frame.time_base else (frame.pts - self._shift) * frame.time_base
        if self._next_sec is None:
            self._begin_at(own or Fraction(0))
        assert self._next_sec is not None  # set by _begin_at
        late_sec = Fraction(0) if own is None else own - self._next_sec
        if late_sec > LONGEST_SILENCE_SEC:
            self._end_format()
            self._encode(AAC_FRAME_SAMPLES, to_the_end=True)
            self._begin_at(self._next_sec + late_sec)
        elif late_sec > DRIFT_SEC:
            self._feed_silence(frame, late_sec)
        elif late_sec < -max(DRIFT_SEC, length_sec / 2):
            return  # it lies before what has been written: the end of a film that another one was joined to
        self._feed(frame)
        self._next_sec += length_sec

    def _begin_at(self, seconds: Fraction) -> None:
        self._next_sec = seconds
        self._next_sample = round(seconds * self._rate)

    def _feed(self, frame: AudioFrame) -> None:
        own_format = (frame.format.name, frame.layout.name, frame.sample_rate)
        if own_format != self._source_format:
            self._end_format()
            self._source_format = own_format
            self._resampler = av.AudioResampler(format="fltp", layout=self._stream.layout, rate=self._rate)
        assert self._resampler is not None  # made for this format
        frame.pts = None  # samples are counted
        self._buffer(self._resampler.resample(frame))
        self._encode(AAC_FRAME_SAMPLES)

    def _feed_silence(self, like: AudioFrame, seconds: Fraction) -> None:
        assert self._next_sec is not None  # only between two frames
        for frame in silence(like, round(seconds * like.sample_rate)):
            self._next_sec += Fraction(frame.samples, frame.sample_rate)
            self._feed(frame)

    def _end_format(self) -> None:
        """What the resampler holds back of the format that ends."""
        if self._resampler is not None:
            self._buffer(self._resampler.resample(None))
        self._resampler = self._source_format = None

    def _buffer(self, frames: list[AudioFrame]) -> None:
        for frame in frames:
            frame.pts, frame.time_base = None, Fraction(1, self._rate)  # one clock, whichever format they come from
            self._fifo.write(frame)

    def _encode(self, samples: int, *, to_the_end: bool = False) -> None:
        while self._fifo.samples >= samples or (to_the_end and self._fifo.samples):
            frame = self._fifo.read(min(samples, self._fifo.samples))
            assert frame is not None  # there are so many
            frame.pts, frame.time_base = self._next_sample, Fraction(1, self._rate)
            self._next_sample += frame.samples
            self._output.mux(self._stream.encode(frame))

    def _aac_stream(self, source: AudioStream, output: OutputContainer) -> AudioStream:
        rate = min((rate for rate in AAC_RATES_HZ if rate >= (source.rate or 0)), default=AAC_RATES_HZ[-1])
        stream = output.add_stream("aac", rate=rate, layout=_aac_layout(source, rate))
        stream.codec_context.bit_rate = AAC_BITS_PER_CHANNEL * stream.channels
        return stream


AudioTrack = CopiedTrack | EncodedTrack


def audio_track(source: AudioStream, output: OutputContainer, start_sec: Fraction) -> AudioTrack:
    return (CopiedTrack if _can_copy(source) else EncodedTrack)(source, output, start_sec)


def silence(like: AudioFrame, samples: int) -> Iterator[AudioFrame]:
    """Frames of the same format, a second long at most."""
    while samples > 0:
        part = min(samples, like.sample_rate)
        channels = len(like.layout.channels)
        shape = (channels, part) if like.format.is_planar else (1, part * channels)
        quiet = np.full(shape, 128 if like.format.name.startswith("u8") else 0, like.to_ndarray().dtype)
        frame = AudioFrame.from_ndarray(quiet, format=like.format.name, layout=like.layout.name)
        frame.sample_rate = like.sample_rate
        yield frame
        samples -= part


def _ticks(seconds: Fraction, source: AudioStream) -> int:
    return round(seconds / source.time_base) if source.time_base else 0


def _name_language(source: AudioStream, stream: AudioStream) -> None:
    if language := source.language:
        stream.metadata["language"] = language


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
    """The tracks that can be carried: those with a decoder and a believable rate. The others are named as left out."""
    found = [s for s in container.streams.audio if s.codec_context is not None and s.channels and s.time_base]
    return [stream for stream in found if LEAST_RATE_HZ <= (stream.rate or 0) <= MOST_RATE_HZ]


def _can_copy(source: AudioStream) -> bool:
    if source.codec_context.codec.canonical_name not in COPIED_CODECS:
        return False
    # AAC from a transport stream keeps its configuration in every packet; MP4 wants it once, in the header.
    return source.codec_context.codec.canonical_name != "aac" or bool(source.codec_context.extradata)
