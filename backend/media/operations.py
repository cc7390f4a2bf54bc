"""What the media process can do. Whoever imports this has imported all that decodes and encodes, as the fork server."""

from __future__ import annotations

import mmap
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from av.container import InputContainer
from av.video.stream import VideoStream

from backend.media import index as indexing
from backend.media import join as joining
from backend.media import wire
from backend.media.cropper import CropOrder
from backend.media.decode import open_container, open_video
from backend.media.dub import DubOrder
from backend.media.dub import dub as dub_film
from backend.media.encoders import working_encoders
from backend.media.hardware_decoder import working_decoders
from backend.media.head import RecordedFile
from backend.media.jail.order import Jail
from backend.media.paint.layers import load_painters
from backend.media.poster import draw_poster
from backend.media.previews import PreviewsOrder
from backend.media.previews import join_previews as join_small_films
from backend.media.probe import Prober
from backend.media.probe_sound import probe_sound as look_at_sound
from backend.media.render import render as render_film
from backend.media.render_piece import PieceOrder
from backend.media.render_piece import render_piece as render_one_piece
from backend.media.samples import SampleOrder, SlotSink, stream_samples
from backend.media.stills import TakeOrder, take_stills
from backend.media.subtitle_pictures import Programs, SubtitleOrder, draw_subtitles
from backend.media.trim import TrimOrder
from backend.media.trim import trim as trim_sound
from backend.media.voice import VoiceOrder, write_voice

Result = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """An order of the parent, and the channels to it."""

    order: Mapping[str, Any]
    source: BinaryIO
    messages: socket.socket
    ring: mmap.mmap | None
    programs: Programs | None = None  # that were started for it before the process was closed in
    layers: Sequence[str] = ()  # of the jail that are in force

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
    """The facts; and in the ring, where the parent hands one, the picture that stands for the video."""
    prober = Prober(task.source, **task.params)
    facts = prober.facts()
    if task.ring is None or prober.first is None:
        return facts.model_dump(mode="json")
    return facts.model_dump(mode="json") | {"has_poster": draw_poster(prober.first, facts, task.ring)}


def probe_sound(task: Task) -> Result:
    return look_at_sound(task.source).model_dump(mode="json")


def trim(task: Task) -> Result:
    return trim_sound(task.source, TrimOrder(**task.params), task.tell_sec)


def voice(task: Task) -> Result:
    return {**write_voice(task.source, VoiceOrder(**task.params), task.tell_sec)}


def dub(task: Task) -> Result:
    return dub_film(task.source, DubOrder(**task.params), task.tell_sec)


def subtitles(task: Task) -> Result:
    assert task.programs is not None  # this operation's are
    return draw_subtitles(task.source.read(), SubtitleOrder(**task.params), task.programs, task.tell_frames)


def index(task: Task) -> Result:
    return indexing.index(task.source, indexing.IndexOrder(**task.params), lambda pts: task.tell(frame_pts=pts))


def encoders(task: Task) -> Result:
    return {"working": working_encoders((task.params["width"], task.params["height"]))}


def decoders(task: Task) -> Result:
    return {"working": working_decoders((task.params["width"], task.params["height"]))}


def join(task: Task) -> Result:
    return joining.join(joining.JoinOrder(**task.params), task.tell_frames, task.ring)


def join_previews(task: Task) -> Result:
    return join_small_films(PreviewsOrder(**task.params), task.tell_frames)


def jail(task: Task) -> Result:
    return {"layers": list(task.layers)}


@contextmanager
def _opened(task: Task) -> Iterator[tuple[InputContainer, VideoStream]]:
    with open_container(task.source) as container:
        yield container, _video_of(task, container)


def _video_of(task: Task, container: InputContainer) -> VideoStream:
    return open_video(container, max_pixels=task.params["max_pixels"], threads=task.params["threads"])


def samples(task: Task) -> Result:
    assert task.ring is not None  # the parent always hands one to this operation
    slots = task.order["ring"]
    sink = SlotSink(task.messages, task.ring, slots["slots"], slots["slot_bytes"])
    with _opened(task) as (container, stream):
        return stream_samples(container, stream, SampleOrder(**task.params), sink)


def render(task: Task) -> Result:
    with _opened(task) as (container, stream):
        return render_film(container, stream, CropOrder(**task.params), task.tell_frames, task.ring)


def render_piece(task: Task) -> Result:
    recorded = RecordedFile(task.source)
    with open_container(cast(BinaryIO, recorded)) as container:
        head = recorded.head()  # what opening reads, and no more
        stream, order = _video_of(task, container), PieceOrder(**task.params)
        return render_one_piece(container, stream, order, task.tell_frames, head, task.order["size_bytes"])


def stills(task: Task) -> Result:
    with _opened(task) as (container, stream):
        return take_stills(container, stream, TakeOrder(**task.params), task.tell_frames, task.ring)


def prepare(operation: str, params: Mapping[str, Any], closed_in: Jail) -> Programs | None:
    """What the operation needs beside this process, started, and what is not imported yet: once the process is closed
    in, it starts and opens nothing. Raises JailUnavailable."""
    load_painters(params.get("layers", []))
    return Programs(SubtitleOrder(**params), closed_in) if operation == subtitles.__name__ else None


OPERATIONS: dict[str, Callable[[Task], Result]] = {
    operation.__name__: operation
    for operation in (
        probe, probe_sound, trim, voice, dub, subtitles, index, encoders, decoders, join, join_previews, samples,
        render, render_piece, stills, jail,
    )
}  # fmt: skip
# Those that ask a graphics card for help.
USE_HARDWARE = frozenset({"encoders", "decoders", "samples", "render", "render_piece"})
