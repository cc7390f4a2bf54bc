"""What the media process can do. Each operation imports what it needs: that takes longer than many of them."""

from __future__ import annotations

import mmap
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from backend import quick_start
from backend.media import wire

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

Result = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """An order of the parent, and the channels to it."""

    order: Mapping[str, Any]
    source: BinaryIO
    messages: socket.socket
    ring: mmap.mmap | None

    @property
    def params(self) -> dict[str, Any]:
        params: dict[str, Any] = self.order["params"]
        return params

    def tell(self, **message: Any) -> None:
        wire.send_message(self.messages, message)

    def tell_frames(self, done: int) -> None:
        self.tell(frames=done)

    def tell_sec(self, sec: float) -> None:
        self.tell(sec=sec)


def probe(task: Task) -> Result:
    from backend.media.probe import Prober

    quick_start.imported()
    prober = Prober(task.source, max_pixels=task.params["max_pixels"], threads=task.params["threads"])
    return prober.facts().model_dump(mode="json")


def probe_sound(task: Task) -> Result:
    from backend.media.probe_sound import probe_sound

    quick_start.imported()
    return probe_sound(task.source).model_dump(mode="json")


def trim(task: Task) -> Result:
    from backend.media.trim import TrimOrder, trim

    quick_start.imported()
    return trim(task.source, TrimOrder(**task.params), task.tell_sec)


def dub(task: Task) -> Result:
    from backend.media.dub import DubOrder, dub

    quick_start.imported()
    return dub(task.source, DubOrder(**task.params), task.tell_sec)


def subtitles(task: Task) -> Result:
    from backend.media.subtitle_pictures import SubtitleOrder, draw_subtitles

    quick_start.imported()
    return draw_subtitles(task.source.read(), SubtitleOrder(**task.params), task.tell_frames)


def index(task: Task) -> Result:
    from backend.media.index import IndexOrder, index

    quick_start.imported()
    return index(task.source, IndexOrder(**task.params), lambda pts: task.tell(frame_pts=pts))


def encoders(task: Task) -> Result:
    from backend.media.encoders import working_encoders

    return {"working": working_encoders((task.params["width"], task.params["height"]))}


def decoders(task: Task) -> Result:
    from backend.media.hardware_decoder import working_decoders

    return {"working": working_decoders((task.params["width"], task.params["height"]))}


def join(task: Task) -> Result:
    from backend.media.join import JoinOrder, join

    quick_start.imported()
    return join(JoinOrder(**task.params), task.tell_frames, task.ring)


@contextmanager
def _opened(task: Task) -> Iterator[tuple[InputContainer, VideoStream]]:
    from backend.media.decode import open_container

    with open_container(task.source) as container:
        yield container, _video_of(task, container)


def _video_of(task: Task, container: InputContainer) -> VideoStream:
    from backend.media.decode import open_video

    return open_video(container, max_pixels=task.params["max_pixels"], threads=task.params["threads"])


def samples(task: Task) -> Result:
    from backend.media.samples import SampleOrder, SlotSink, stream_samples

    quick_start.imported()
    assert task.ring is not None  # the parent always hands one to this operation
    slots = task.order["ring"]
    sink = SlotSink(task.messages, task.ring, slots["slots"], slots["slot_bytes"])
    with _opened(task) as (container, stream):
        return stream_samples(container, stream, SampleOrder(**task.params), sink)


def render(task: Task) -> Result:
    from backend.media.cropper import CropOrder
    from backend.media.render import render

    quick_start.imported()
    with _opened(task) as (container, stream):
        return render(container, stream, CropOrder(**task.params), task.tell_frames, task.ring)


def render_piece(task: Task) -> Result:
    from backend.media.decode import open_container
    from backend.media.head import RecordedFile
    from backend.media.render_piece import PieceOrder, render_piece

    quick_start.imported()
    recorded = RecordedFile(task.source)
    with open_container(cast(BinaryIO, recorded)) as container:
        head = recorded.head()  # what opening reads, and no more
        stream, order = _video_of(task, container), PieceOrder(**task.params)
        return render_piece(container, stream, order, task.tell_frames, head, task.order["size_bytes"])


def stills(task: Task) -> Result:
    from backend.media.stills import TakeOrder, take_stills

    quick_start.imported()
    with _opened(task) as (container, stream):
        return take_stills(container, stream, TakeOrder(**task.params), task.tell_frames, task.ring)


OPERATIONS: Mapping[str, Callable[[Task], Result]] = {
    operation.__name__: operation
    for operation in (
        probe, probe_sound, trim, dub, subtitles, index, encoders, decoders, join, samples, render, render_piece,
        stills,
    )
}  # fmt: skip
