"""How long a source may keep its reader waiting: one account for all reads of it, with their retries; and the end of
all reading, once somebody says so."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from backend.errors import FramefleetError, SourceUnreachable

SLOWEST_BYTES_PER_SEC = 32 * 1024
CUT_EVERY_SEC = 0.2
LOOK_EVERY_SEC = 0.5  # whether somebody has ended the reading


class TooSlow(SourceUnreachable):
    """There is no time left for another try."""


class Cutoff:
    """When all reading for one piece of work ends: at a time, or once any thread says so."""

    def __init__(self) -> None:
        self._until = self._within_sec = math.inf
        self._failure: FramefleetError | None = None

    def limit(self, within_sec: float) -> None:
        """From now on."""
        self._until, self._within_sec = time.monotonic() + within_sec, within_sec

    def end(self, failure: FramefleetError) -> None:
        """Now: whoever reads gets this failure."""
        self._failure = failure

    def left_sec(self) -> float:
        return 0.0 if self._failure is not None else self._until - time.monotonic()

    def check(self, name: str) -> None:
        """Raises the failure that ended it, or TooSlow, which names the source."""
        if self._failure is not None:
            raise self._failure
        if self.left_sec() <= 0:
            raise TooSlow(
                f"{name} did not send in {self._within_sec:.0f} s what was needed of it. Serve it from a faster place, "
                "or raise FIRST_LOOK_SECONDS and PROBE_SECONDS."
            )


class Pace:
    """Waiting spends seconds, bytes earn them back: a source that sends less than 32 KiB/s is given up once it has
    fallen `stall_sec` behind, however its bytes are spread over reads, retries and trickles. Threads may share it."""

    def __init__(self, stall_sec: float, cutoff: Cutoff | None = None) -> None:
        self.stall_sec = self._left_sec = stall_sec
        self.cutoff = cutoff or Cutoff()
        self._waiting = 0
        self._counted_at = 0.0
        self._lock = threading.Lock()

    def left_sec(self) -> float:
        """Nothing or less: the source is to be given up."""
        with self._lock:
            self._count()
            return min(self._left_sec, self.cutoff.left_sec())

    @property
    def is_over(self) -> bool:
        return self.left_sec() <= 0

    def earn(self, received_bytes: int) -> None:
        with self._lock:
            self._count()
            self._left_sec = min(self.stall_sec, self._left_sec + received_bytes / SLOWEST_BYTES_PER_SEC)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Around a read. Several at once are one wait."""
        with self._lock:
            self._count()
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._count()
                self._waiting -= 1

    def _count(self) -> None:
        now = time.monotonic()
        if self._waiting:
            self._left_sec -= now - self._counted_at
        self._counted_at = now


@contextlib.contextmanager
def within(pace: Pace) -> Iterator[None]:
    """Around one exchange over a watched pool: its connection is cut when the pace is over.

    A socket's timeout starts anew with every byte, so a head or a body that trickles in never meets it.
    """
    done = threading.Event()
    _current.sock = holder = _Holder()

    def disconnect_when_over() -> None:
        while not done.wait(min(LOOK_EVERY_SEC, max(CUT_EVERY_SEC, pace.left_sec()))):
            if pace.is_over:
                holder.disconnect()

    threading.Thread(target=disconnect_when_over, name="source-pace", daemon=True).start()
    try:
        yield
    finally:
        done.set()
        _current.sock = None
        holder.close()


class _Holder:
    """The connection of the exchange, once there is one."""

    def __init__(self) -> None:
        self._sock: socket.socket | None = None

    def hold(self, sock: socket.socket) -> None:
        """A second descriptor: the first one is lost to Python while TLS shakes hands on it."""
        self.close()
        self._sock = socket.socket(fileno=os.dup(sock.fileno()))

    def disconnect(self) -> None:
        sock = self._sock
        if sock is not None:
            with contextlib.suppress(OSError):  # it is closed already
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()


_current = threading.local()


def _note(sock: socket.socket | None) -> None:
    holder = getattr(_current, "sock", None)
    if holder is not None and sock is not None:
        holder.hold(sock)


class _WatchedConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        _note(sock)  # the body of a request may go out slowly too
        return sock

    def request(self, *args: Any, **kwargs: Any) -> None:
        _note(self.sock)  # of an earlier exchange
        super().request(*args, **kwargs)


class _WatchedTlsConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        _note(sock)  # TLS may shake hands slowly too
        return sock

    def request(self, *args: Any, **kwargs: Any) -> None:
        _note(self.sock)
        super().request(*args, **kwargs)


class WatchedPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _WatchedConnection


class WatchedTlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _WatchedTlsConnection
