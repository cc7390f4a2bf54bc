"""A file of sound alone: container and codec by its ending. Child process only."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from backend.media.audio import AAC_BITS_PER_CHANNEL, AAC_RATES_HZ, LAYOUTS
from backend.media.film import writing_pictures

REFUSED = "The encoder refused the sound."
MP3_RATES_HZ = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
OPUS_RATE_HZ = 48_000
BITS_PER_CHANNEL = {"aac": AAC_BITS_PER_CHANNEL, "libmp3lame": 96_000, "libopus": 64_000}
# Samples that are whole numbers stay as they are, and so do those that were written as fractions. What a lossy codec
# makes fractions of was recorded in sixteen bits, and more players take those.
PCM = {"u8": "pcm_u8", "s16": "pcm_s16le", "s32": "pcm_s32le", "flt": "pcm_f32le", "dbl": "pcm_f64le"}
BLOCK_SAMPLES = 4096


@dataclass(frozen=True)
class Encoding:
    container: str
    codec: str
    sample_format: str
    rate: int
    layout: str


class SoundFile:
    """Takes frames of one format, rate and layout; writes as many samples, or, at another rate, as long a sound."""

    def __init__(self, path: str, encoding: Encoding) -> None:
        self._output = av.open(path, "w", format=encoding.container, options=_options(encoding))
        stream = self._output.add_stream(encoding.codec, rate=encoding.rate, layout=encoding.layout)
        assert isinstance(stream, AudioStream)  # a sound encoder's
        self._stream, context = stream, stream.codec_context
        context.format = av.AudioFormat(encoding.sample_format)
        if encoding.codec in BITS_PER_CHANNEL:
            context.bit_rate = BITS_PER_CHANNEL[encoding.codec] * stream.channels
        self._encoding = encoding
        self._resampler = av.AudioResampler(encoding.sample_format, encoding.layout, encoding.rate)
        self._fifo = AudioFifo()
        self._written = 0
        with writing_pictures(REFUSED):
            self._output.start_encoding()
        self._block = context.frame_size or BLOCK_SAMPLES

    def write(self, frame: AudioFrame) -> None:
        """Raises EncodeFailed, StorageError."""
        frame.pts = None  # samples are counted
        self._buffer(self._resampler.resample(frame))
        self._encode(self._block)

    def finish(self) -> None:
        """Raises as `write` does."""
        self._buffer(self._resampler.resample(None))
        self._encode(1)
        with writing_pictures(REFUSED):
            self._output.mux(self._stream.encode(None))
            self._output.close()

    def _buffer(self, frames: list[AudioFrame]) -> None:
        for frame in frames:
            frame.pts = None
            self._fifo.write(frame)

    def _encode(self, samples: int) -> None:
        """While the buffer holds so many."""
        while self._fifo.samples >= samples:
            frame = self._fifo.read(min(self._block, self._fifo.samples))
            assert frame is not None  # there are so many
            frame.pts, frame.time_base = self._written, Fraction(1, self._encoding.rate)
            self._written += frame.samples
            with writing_pictures(REFUSED):
                self._output.mux(self._stream.encode(frame))


def encoding_of(ending: str, source: AudioStream, first: AudioFrame) -> Encoding:
    """For sound like that of the source. `ending`: of kinds.audio_trim.SOUND_TYPES."""
    rate, layout = first.sample_rate, _layout(first)
    packed = first.format.packed.name
    match ending:
        case ".wav":
            is_pcm = source.codec_context.name.startswith("pcm_")
            kept = packed if packed in PCM and (is_pcm or packed not in ("flt", "dbl")) else "s16"
            return Encoding("wav", PCM[kept], kept, rate, layout)
        case ".flac":
            return Encoding("flac", "flac", "s32" if packed == "s32" else "s16", rate, layout)
        case ".m4a":
            return _fitting("ipod", "aac", "fltp", _at_least(rate, AAC_RATES_HZ), layout)
        case ".mp3":
            return _fitting("mp3", "libmp3lame", "fltp", _at_least(rate, MP3_RATES_HZ), layout)
        case ".ogg" | ".opus":
            return _fitting("ogg", "libopus", "flt", OPUS_RATE_HZ, layout)
        case unknown:
            raise ValueError(f"no encoding for {unknown!r}")


def _fitting(container: str, codec: str, sample_format: str, rate: int, layout: str) -> Encoding:
    """With the layout, or as stereo where the codec has none such."""
    trial = av.CodecContext.create(codec, "w")
    assert isinstance(trial, AudioCodecContext)
    trial.sample_rate, trial.layout, trial.format = rate, layout, sample_format
    try:
        trial.open()
    except (av.error.FFmpegError, ValueError):
        layout = "stereo"
    return Encoding(container, codec, sample_format, rate, layout)


def _layout(frame: AudioFrame) -> str:
    """The frame's own, by the number of its channels where it does not name them."""
    channels = len(frame.layout.channels)
    try:
        return av.AudioLayout(frame.layout.name).name
    except ValueError:
        return LAYOUTS.get(channels, "stereo")


def _at_least(rate: int, known: tuple[int, ...]) -> int:
    return min((each for each in known if each >= rate), default=known[-1])


def _options(encoding: Encoding) -> dict[str, str]:
    return {"wav": {"rf64": "auto"}, "ipod": {"movflags": "+faststart"}}.get(encoding.container, {})
