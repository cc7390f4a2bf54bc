"""Stages in threads end together: nobody decodes a file any more once whoever waited for the film has left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import av
import pytest

from backend.errors import EncoderUnavailable
from backend.media.belt import Belt
from backend.media.render import Renderer


def test_items_come_in_order_and_then_the_end() -> None:
    belt: Belt[int] = Belt(threading.Event())
    belt.feed(lambda: iter(range(100)))
    assert list(belt) == list(range(100))
    belt.join()


def test_the_makers_error_reaches_whoever_iterates() -> None:
    def make() -> Iterator[int]:
        yield 1
        raise EncoderUnavailable("none")

    belt: Belt[int] = Belt(threading.Event())
    belt.feed(make)
    with pytest.raises(EncoderUnavailable):
        list(belt)


def test_whoever_waits_for_items_leaves_when_all_is_stopped() -> None:
    stopped = threading.Event()
    belt: Belt[int] = Belt(stopped)
    threading.Timer(0.1, stopped.set).start()
    assert list(belt) == []


def test_no_frame_is_decoded_after_a_render_that_failed() -> None:
    """A decoder at work on a file that is closed meanwhile takes the process with it."""
    ended: list[str] = []

    def frames() -> Iterator[av.VideoFrame]:
        try:
            for number in range(1_000_000):
                frame = av.VideoFrame(16, 16, "yuv420p")
                frame.pts = number
                yield frame
        finally:
            time.sleep(0.2)
            ended.append("decoding")

    class Refusing:
        def zero_pts(self, first_pts: int) -> int:
            return first_pts

        def picture(self, picture: av.VideoFrame) -> None:
            raise EncoderUnavailable("none")

        def companion(self, packet: Any) -> None:
            raise AssertionError("there is no sound")

    cropper: Any = SimpleNamespace(crop=lambda frame, number: frame)
    with pytest.raises(EncoderUnavailable):
        Renderer(cropper, Refusing()).run(frames, lambda done: None)
    assert ended == ["decoding"]
