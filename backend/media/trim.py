"""Cuts a piece out of a file's sound, exact to the sample. Child process only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, BinaryIO

import av
import av.error
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from pydantic import BaseModel, ConfigDict

from backend.errors import InvalidParams, MediaTooLarge, MediaUndecodable
from backend.media.audio import DRIFT_SEC, silence
from backend.media.decode import container_named
from backend.media.film import origin_sec
from backend.media.probe_sound import chosen_sound, open_sound
from backend.media.sound_file import SoundFile, encoding_of

REPORT_EVERY_SEC = 10
# Whether a place can be sought whose samples are known to be the very ones that decoding from the start gives: the
# container tells times to the sample, and no sample depends on those before.
EXACT_CONTAINERS = ("wav", "w64", "aiff", "mov")
LOSSLESS = ("pcm_", "flac", "alac")
SEEK_BACK_SEC = 1
# As decoded: half a day of 48 kHz in stereo. Two packets whose times lie far apart would fill any disk.
MAX_SILENCE_BYTES = 8 * 2**30


class TrimOrder(BaseModel):
    """Seconds are exact fractions [numerator, denominator]. `duration_sec` None: to the end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start_sec: tuple[int, int]
    duration_sec: tuple[int, int] | None
    ending: str
    output_file: str


def trim(source: BinaryIO, order: TrimOrder, report: Callable[[float], None]) -> dict[str, Any]:
    """Writes `order.output_file`. Returns how many samples were cut out, their rate, and what was broken.

    Time counts as in a player: from the film's zero in a file with pictures, from the first sound in one without.
    Raises NotASound, NoAudioStream, MediaUndecodable, MediaTooLarge, EncodeFailed, and InvalidParams when the sound
    ends before the start.
    """
    start_sec = Fraction(*order.start_sec)
    for seeks in (True, False):
        source.seek(0)
        with open_sound(source) as container:
            stream = chosen_sound(container)
            if seeks and not (start_sec > SEEK_BACK_SEC and _can_seek(container, stream)):
                continue
            samples = Samples(container, stream)
            if seeks and not samples.seek(start_sec):
                continue
            return _cut(samples, stream, order, report)
    raise AssertionError("the last try begins at the start")


def _can_seek(container: InputContainer, stream: AudioStream) -> bool:
    is_video = bool(container.streams.video)  # whose first picture may decide where zero is
    return (
        container_named(container, *EXACT_CONTAINERS)
        and not is_video
        and stream.codec_context.name.startswith(LOSSLESS)
        and not stream.start_time
    )


class Samples:
    """The track's frames, one behind the other at the first one's rate, each with the number of its first sample from
    zero on. Gaps of more than DRIFT_SEC are silence; what lies before what came already is left out. `broken` counts
    packets that could not be decoded."""

    def __init__(self, container: InputContainer, stream: AudioStream) -> None:
        self.broken = 0
        self._container = container
        self._stream = stream
        self._frames = self._decoded()
        self._ahead: AudioFrame | None = None
        self._first: AudioFrame | None = None
        self._resampler: AudioResampler | None = None
        self._format: tuple[str, str, int] | None = None
        self._next = 0
        self._silent_bytes = 0

    @property
    def first(self) -> AudioFrame:
        """Raises MediaUndecodable."""
        if self._first is None:
            self._ahead = self._first = next(self._frames, None)
        if self._first is None:
            raise MediaUndecodable("The file promises sound, but none of it can be decoded.")
        return self._first

    def silence(self, samples: int) -> Iterator[AudioFrame]:
        """Raises MediaTooLarge when there is more of it in all than any recorder leaves."""
        first = self.first
        self._silent_bytes += samples * len(first.layout.channels) * first.format.bytes
        if self._silent_bytes > MAX_SILENCE_BYTES:
            raise MediaTooLarge(
                f"The times of the sound leave gaps of more than {MAX_SILENCE_BYTES >> 30} GiB of silence: name a "
                "piece that ends before them, or write the file anew without them."
            )
        return silence(first, samples)

    def seek(self, start_sec: Fraction) -> bool:
        """Whether frames now come from a little before that time, and each knows its own."""
        assert self._stream.time_base is not None
        target = int((start_sec - SEEK_BACK_SEC) / self._stream.time_base)
        try:
            self._container.seek(target, stream=self._stream, backward=True)
            first = self.first
        except (av.error.FFmpegError, MediaUndecodable):
            return False
        at_sec = _time(first)
        return at_sec is not None and at_sec <= start_sec

    def numbered(self, stop: int | None) -> Iterator[tuple[int, AudioFrame]]:
        """At least all that begin before `stop`."""
        first = self.first
        rate = first.sample_rate
        first_sec = _time(first) or Fraction(0)
        zero_sec = origin_sec(self._container, first_sec)
        self._next = round((first_sec - zero_sec) * rate)
        drift = round(DRIFT_SEC * rate)
        end = self._promised_end(zero_sec, rate)
        for frame, is_last in _with_last(self._all()):
            own_sec = _time(frame)
            late = 0 if own_sec is None else round((own_sec - zero_sec) * rate) - self._next
            if late < -max(drift, frame.samples // 2):
                continue
            if late > drift:
                needed = late if stop is None else min(late, max(0, stop - self._next))
                yield from self._placed(self.silence(needed))
            for number, whole in self._placed(self._alike(frame)):
                part = whole
                # The last packet of a lossy codec is filled up; MP4 says where the sound ends in it.
                if is_last and end is not None and 0 < number + whole.samples - end < whole.samples:
                    part = between(whole, 0, end - number) or whole
                yield number, part

    def _promised_end(self, zero_sec: Fraction, rate: int) -> int | None:
        stream = self._stream
        if not (container_named(self._container, "mov") and stream.duration and stream.time_base):
            return None
        end_sec = ((stream.start_time or 0) + stream.duration) * stream.time_base
        return round((end_sec - zero_sec) * rate)

    def _placed(self, frames: Iterator[AudioFrame]) -> Iterator[tuple[int, AudioFrame]]:
        for frame in frames:
            yield self._next, frame
            self._next += frame.samples

    def _all(self) -> Iterator[AudioFrame]:
        if self._ahead is not None:
            yield self._ahead
            self._ahead = None
        yield from self._frames

    def _alike(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        """As the first one is. A broadcast may change rate and channels between two programmes."""
        if _format_of(frame) == _format_of(self.first):
            yield frame
            return
        if _format_of(frame) != self._format:
            self._format = _format_of(frame)
            name, layout, rate = _format_of(self.first)
            self._resampler = AudioResampler(name, layout, rate)
        assert self._resampler is not None  # made for this format
        frame.pts = None
        yield from self._resampler.resample(frame)

    def _decoded(self) -> Iterator[AudioFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError:  # the container itself is cut short: what came before still counts
                self.broken += 1
                return
            try:
                for frame in packet.decode():
                    assert isinstance(frame, AudioFrame)  # the stream is a sound track
                    yield frame
            except av.error.FFmpegError:
                self.broken += 1


def _cut(samples: Samples, stream: AudioStream, order: TrimOrder, report: Callable[[float], None]) -> dict[str, Any]:
    first = samples.first
    rate = first.sample_rate
    start = round(Fraction(*order.start_sec) * rate)
    stop = None if order.duration_sec is None else start + round(Fraction(*order.duration_sec) * rate)
    file = SoundFile(order.output_file, encoding_of(order.ending, stream, first))
    end, written, told = 0, 0, 0
    for number, frame in samples.numbered(stop):
        end = number + frame.samples
        part = between(frame, start - number, None if stop is None else stop - number)
        if part is not None:
            # Sound that begins late begins late in the piece too.
            for quiet in samples.silence(number - start) if not written and number > start else ():
                written += quiet.samples
                file.write(quiet)
            written += part.samples
            file.write(part)
        if stop is not None and end >= stop:
            break
        if end - told > REPORT_EVERY_SEC * rate:
            told = end
            report(end / stop if stop else end / rate)
    if not written:
        raise InvalidParams(f"start_sec: the sound ends before, after {end / rate:.3f} s.")
    file.finish()
    return {"samples": written, "sample_rate": rate, "end_sec": end / rate, "broken_packets": samples.broken}


def between(frame: AudioFrame, start: int, stop: int | None) -> AudioFrame | None:
    """The frame's samples [start, stop), where it has any."""
    begin, end = max(0, start), frame.samples if stop is None else min(frame.samples, stop)
    if begin >= end:
        return None
    if (begin, end) == (0, frame.samples):
        return frame
    fifo = AudioFifo()
    frame.pts = None
    fifo.write(frame)
    if begin:
        fifo.read(begin)
    return fifo.read(end - begin)


def _with_last(frames: Iterator[AudioFrame]) -> Iterator[tuple[AudioFrame, bool]]:
    held = next(frames, None)
    for frame in frames:
        assert held is not None  # this one came behind it
        yield held, False
        held = frame
    if held is not None:
        yield held, True


def _time(frame: AudioFrame) -> Fraction | None:
    return None if frame.pts is None or not frame.time_base else frame.pts * frame.time_base


def _format_of(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate
