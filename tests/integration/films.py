"""Small films made for one question each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

RATE = 48_000
BEEP_HZ = 1000
BEEP_SEC = 0.1
AUDIO_FRAME = 1024


@dataclass
class Shape:
    """How a film is written."""

    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    time_base: Fraction = Fraction(1, 90_000)
    rate: Fraction = Fraction(25)
    options: dict[str, str] = field(default_factory=lambda: {"crf": "4", "preset": "ultrafast"})
    colour: dict[str, int] = field(default_factory=dict)
    gop: int = 50


def write_film(
    path: Path,
    frames: Iterable[av.VideoFrame],
    seconds: Sequence[Fraction],
    shape: Shape | None = None,
    sounds: Sequence[tuple[str, NDArray[np.float32]]] = (),
) -> Path:
    """Frames at their times; each sound is a codec and its mono samples from time zero."""
    shape = shape or Shape()
    iterator = iter(frames)
    first = next(iterator)
    with av.open(str(path), "w") as container:
        video = container.add_stream(shape.codec, rate=shape.rate, options=shape.options)
        video.width, video.height, video.pix_fmt = first.width, first.height, shape.pix_fmt
        video.codec_context.time_base = video.time_base = shape.time_base
        video.codec_context.gop_size = shape.gop
        for name, value in shape.colour.items():
            setattr(video.codec_context, name, value)
        tracks = [(container.add_stream(codec, rate=RATE, layout="mono"), samples) for codec, samples in sounds]
        container.start_encoding()
        written = [0] * len(tracks)
        for number, when in enumerate(seconds):
            frame = first if number == 0 else next(iterator)
            frame.pts, frame.time_base = round(when / shape.time_base), shape.time_base
            container.mux(video.encode(frame))
            for index, (stream, samples) in enumerate(tracks):
                until = int(when * RATE) + RATE
                written[index] = _sound(container, stream, samples, written[index], until)
        container.mux(video.encode(None))
        for index, (stream, samples) in enumerate(tracks):
            _sound(container, stream, samples, written[index], len(samples))
            container.mux(stream.encode(None))
    return path


def _sound(container: Any, stream: Any, samples: NDArray[np.float32], start: int, until: int) -> int:
    while start < min(until, len(samples)):
        part = samples[start : start + AUDIO_FRAME]
        if stream.format.name == "s16":
            part = (part * 32_767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(part[None], format=stream.format.name, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        container.mux(stream.encode(frame))
        start += len(part)
    return start


def beeps(seconds: float) -> NDArray[np.float32]:
    """A tone for a tenth of every second."""
    t = np.arange(int(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * BEEP_HZ * t) * (t % 1 < BEEP_SEC)).astype(np.float32)


def picture(planes: Sequence[NDArray[Any]], pix_fmt: str = "yuv420p") -> av.VideoFrame:
    """A frame from its three planes."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pix_fmt)
    for target, samples in zip(frame.planes, planes, strict=True):
        rows, columns = samples.shape
        view = np.frombuffer(memoryview(target), samples.dtype)
        view.reshape(-1, target.line_size // samples.itemsize)[:rows, :columns] = samples
    return frame


def grey(luma: NDArray[Any]) -> av.VideoFrame:
    height, width = luma.shape
    chroma = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
    return picture([luma, chroma, chroma])


def onsets(levels: NDArray[np.float64], times: Sequence[float]) -> list[float]:
    """When a level crosses half of its range on the way up."""
    half = (levels.max() + levels.min()) / 2
    above = levels > half
    return [times[i] for i in range(len(above)) if above[i] and (i == 0 or not above[i - 1])]


def flash_times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        levels, times = [], []
        for frame in container.decode(video=0):
            luma = np.frombuffer(memoryview(frame.planes[0]), np.uint8)
            levels.append(float(luma[: frame.width].mean()))
            times.append(frame.time)
    return onsets(np.array(levels), times)


def beep_times(path: Path, track: int = 0) -> list[float]:
    """Beginnings of the beeps, by their energy in millisecond steps."""
    step = RATE // 1000
    found: list[float] = []
    with av.open(str(path)) as container:
        levels: list[float] = []
        times: list[float] = []
        for frame in container.decode(audio=track):
            samples = frame.to_ndarray()[0].astype(np.float32)
            usable = len(samples) // step * step
            levels.extend(np.abs(samples[:usable].reshape(-1, step)).max(axis=1).tolist())
            times.extend((frame.time + np.arange(usable // step) / 1000).tolist())
    found = onsets(np.array(levels), times)
    return [t for i, t in enumerate(found) if i == 0 or t - found[i - 1] > 0.5]
