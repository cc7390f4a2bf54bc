"""How long a source may keep its reader waiting: one account for all reads of it, with their retries."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

SLOWEST_BYTES_PER_SEC = 32 * 1024
CUT_EVERY_SEC = 0.2


class Pace:
    """Waiting spends seconds, bytes earn them back: a source that sends less than 32 KiB/s is given up once it has
    fallen `stall_sec` behind, however its bytes are spread over reads, retries and trickles. Threads may share it."""

    def __init__(self, stall_sec: float) -> None:
        self.stall_sec = self._left_sec = stall_sec
        self._waiting = 0
        self._counted_at = 0.0
        self._lock = threading.Lock()

    def left_sec(self) -> float:
        """Nothing or less: the source is to be given up."""
        with self._lock:
            self._count()
            return self._left_sec

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
        while not done.wait(max(CUT_EVERY_SEC, pace.left_sec())):
            if pace.is_over:
                holder.disconnect()

    threading.Thread(target=disconnect_when_over, name="source-pace", daemon=True).start()
    try:
        yield
    finally:
        done.set()


class _Holder:
    """The socket of the exchange, once there is one."""

    def __init__(self) -> None:
        self.sock: socket.socket | None = None

    def disconnect(self) -> None:
        sock = self.sock
        if sock is not None:
            with contextlib.suppress(OSError):  # it is closed already
                # Not SSLSocket's own, which would go on in plain text.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


_current = threading.local()


def _note(connection: Any) -> None:
    holder = getattr(_current, "sock", None)
    if holder is not None:
        holder.sock = connection.sock


class _WatchedConnection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _note(self)  # the body of a request may go out slowly too

    def getresponse(self) -> Any:
        _note(self)
        return super().getresponse()


class _WatchedTlsConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _note(self)  # the body of a request may go out slowly too

    def getresponse(self) -> Any:
        _note(self)
        return super().getresponse()


class WatchedPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _WatchedConnection


class WatchedTlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _WatchedTlsConnection
