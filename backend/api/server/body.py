"""A large body, read by the application while it arrives. It is never whole anywhere on this side of the store."""

from __future__ import annotations

import io
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from werkzeug.exceptions import ClientDisconnected

from backend.api.server.limits import is_too_slow

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ROOM_BYTES = 1024 * 1024  # what one upload holds in memory


class BodyPipe:
    """The server's loop appends, one thread of the application reads. Stands where waitress has its buffers.

    `asked` is called before the first wait for bytes, `roomy` when there is room again.
    """

    def __init__(self, *, asked: Callable[[], None], roomy: Callable[[], None]) -> None:
        self._asked: Callable[[], None] | None = asked
        self._roomy = roomy
        self._changed = threading.Condition()
        self._parts: deque[bytes] = deque()
        self._held_bytes = 0
        self._received_bytes = 0
        self._is_whole = False
        self._is_closed = False
        self._waiting_since: float | None = None
        self._waited_sec = 0.0

    # ---- the loop's side ----

    @property
    def has_room(self) -> bool:
        return self._held_bytes < ROOM_BYTES

    def append(self, data: bytes) -> None:
        with self._changed:
            if not self._is_closed:
                self._parts.append(data)
                self._held_bytes += len(data)
            self._received_bytes += len(data)
            self._changed.notify()

    def end(self) -> None:
        """All of it was appended."""
        with self._changed:
            self._is_whole = True
            self._changed.notify()

    def close(self) -> None:
        """Nothing more comes, or nobody reads any more. A reader that waits for more hears that the client is gone."""
        with self._changed:
            self._is_closed = True
            if not self._is_whole:
                self._parts.clear()
                self._held_bytes = 0
            self._changed.notify()

    @property
    def is_whole(self) -> bool:
        return self._is_whole

    def is_too_slow(self, now: float) -> bool:
        """Only the time counts in which somebody waited for bytes: a slow store is not the client's fault."""
        with self._changed:
            silent_sec = 0.0 if self._waiting_since is None else now - self._waiting_since
            return is_too_slow(self._received_bytes, self._waited_sec + silent_sec, silent_sec)

    def __len__(self) -> int:
        return self._held_bytes

    # ---- the application's side ----

    def getfile(self) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self), 64 * 1024)

    def take(self, max_bytes: int) -> bytes:
        """Some of what has come, waiting for it; b"" at the end. Raises ClientDisconnected where there comes none."""
        if self._asked is not None and not self._parts and not self._is_whole:
            self._asked()
        self._asked = None
        with self._changed:
            while not self._parts and not self._is_whole and not self._is_closed:
                self._wait()
            if not self._parts:
                if self._is_whole:
                    return b""
                raise ClientDisconnected
            was_full = not self.has_room
            part = self._taken(max_bytes)
        if was_full and self.has_room:
            self._roomy()
        return part

    def _taken(self, max_bytes: int) -> bytes:
        part = self._parts.popleft()
        if len(part) > max_bytes:
            self._parts.appendleft(part[max_bytes:])
            part = part[:max_bytes]
        self._held_bytes -= len(part)
        return part

    def _wait(self) -> None:
        self._waiting_since = time.monotonic()
        self._changed.wait()
        self._waited_sec += time.monotonic() - self._waiting_since
        self._waiting_since = None


class _Reader(io.RawIOBase):
    def __init__(self, pipe: BodyPipe) -> None:
        self._pipe = pipe

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        part = self._pipe.take(len(view))
        view[: len(part)] = part
        return len(part)
