"""A stretch of a film's sound as plain samples, on the clock of its pictures. Child process only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from pydantic import BaseModel, ConfigDict, Field

from backend.media.decode import open_container
from backend.media.probe_sound import chosen_sound

# A packet that lies further before the stretch than this is not decoded for it.
_SEEK_BACK_SEC = 0.5
_REPORT_EVERY_SEC = 10.0
_SILENCE = np.zeros(2**16, np.int16)


class VoiceOrder(BaseModel):
    """Seconds on the container's clock. `stop_sec` None: to the end. `longest_sec` bounds what is written."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    start_sec: float
    stop_sec: float | None
    longest_sec: float = Field(gt=0)
    rate_hz: int
    output_file: str


def write_voice(source: BinaryIO, order: VoiceOrder, report: Callable[[float], None]) -> dict[str, int]:
    """Writes the sound as mono 16-bit samples to `order.output_file`, from `start_sec` on, silence where there is none.
    Returns how many there are, and how many packets were broken.

    Raises NotAVideo, NoAudioStream.
    """
    with open_container(source) as container:
        stream = chosen_sound(container)
        target = Samples(order)
        resampler, form = _resampler(order), None
        reader = _Decoded(container, stream, order)
        told_sec = order.start_sec
        for frame, at_sec in reader:
            now = (frame.format.name, frame.layout.name, frame.sample_rate)
            if form not in (None, now):
                resampler = _resampler(order)
            form = now
            frame.pts = None  # places are counted here
            target.place(at_sec, [part.to_ndarray().ravel() for part in resampler.resample(frame)])
            if target.is_full:
                break
            if at_sec > told_sec + _REPORT_EVERY_SEC:
                told_sec = at_sec
                report(at_sec - order.start_sec)
        return {"samples": target.finish(), "broken_packets": reader.broken}


def _resampler(order: VoiceOrder) -> AudioResampler:
    return AudioResampler("s16", "mono", order.rate_hz)


class _Decoded:
    """The track's frames that reach into the stretch, with their time; `broken` counts packets without any."""

    def __init__(self, container: InputContainer, stream: AudioStream, order: VoiceOrder) -> None:
        self.broken = 0
        self._container = container
        self._stream = stream
        self._order = order

    def __iter__(self) -> Iterator[tuple[AudioFrame, float]]:
        stream, order = self._stream, self._order
        assert stream.time_base is not None  # `chosen_sound` takes no other
        base = float(stream.time_base)
        with contextlib.suppress(av.error.FFmpegError, OverflowError):  # from the start, then
            self._container.seek(int((order.start_sec - _SEEK_BACK_SEC) / base), stream=stream, backward=True)
        for packet in self._packets():
            if packet.pts is not None and order.stop_sec is not None and packet.pts * base > order.stop_sec:
                return
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                self.broken += 1
                continue
            for frame in frames:
                assert isinstance(frame, AudioFrame)  # the stream is a sound track
                if frame.pts is not None and frame.time_base is not None:
                    yield frame, float(frame.pts * frame.time_base)

    def _packets(self) -> Iterator[Packet[Any]]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                yield next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError:  # the container itself is cut short
                self.broken += 1
                return


class Samples:
    """A file of samples that are laid at their times: what comes twice is written once, gaps are silence."""

    def __init__(self, order: VoiceOrder) -> None:
        seconds = order.longest_sec if order.stop_sec is None else order.stop_sec - order.start_sec
        self._most = int(min(seconds, order.longest_sec) * order.rate_hz)
        self._order = order
        self._written = 0
        self._file = Path(order.output_file).open("wb")  # noqa: SIM115 - closed by `finish`

    @property
    def is_full(self) -> bool:
        return self._written >= self._most

    def place(self, at_sec: float, parts: list[np.ndarray]) -> None:
        samples = np.concatenate([_SILENCE[:0], *parts])
        begin = round((at_sec - self._order.start_sec) * self._order.rate_hz)
        # Less than a packet's roundness apart is the next sample.
        if self._written and abs(begin - self._written) < self._order.rate_hz // 50:
            begin = self._written
        skipped = max(0, self._written - begin)
        if skipped >= len(samples):
            return
        self._fill(min(begin + skipped, self._most))
        self._write(samples[skipped:])

    def finish(self) -> int:
        self._file.close()
        return self._written

    def _fill(self, until: int) -> None:
        while self._written < until:
            self._write(_SILENCE[: until - self._written])

    def _write(self, samples: np.ndarray) -> None:
        part = samples[: self._most - self._written].astype("<i2")
        self._file.write(part.tobytes())
        self._written += len(part)
