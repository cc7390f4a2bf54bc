"""The two channels between a worker and the child process that parses media.

Byte channel: the child asks `offset, length`, the parent answers with the bytes. Message channel: length-prefixed JSON,
child to parent, and one acknowledging byte per freed frame slot, parent to child. Nothing is pickled: the child has
read hostile bytes and is not trusted.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from typing import Any

from backend.seekable import Seekable

MAX_MESSAGE_BYTES = 4 * 2**20  # a probe lists at most 100,000 keyframes
MAX_READ_BYTES = 16 * 2**20
REQUEST = struct.Struct(">QI")
LENGTH = struct.Struct(">I")
READ_FAILED = 0xFFFFFFFF
CLOSED_IN = "closed_in"  # the child's first message: from here on its jail holds


class WireClosed(Exception):
    """The other side is gone."""


def receive_exactly(sock: socket.socket, length: int) -> bytes:
    buffer = bytearray(length)
    view = memoryview(buffer)
    while view:
        received = sock.recv_into(view)
        if not received:
            raise WireClosed
        view = view[received:]
    return bytes(buffer)


def send_message(sock: socket.socket, message: dict[str, Any]) -> None:
    payload = json.dumps(message, separators=(",", ":")).encode()
    sock.sendall(LENGTH.pack(len(payload)) + payload)


def receive_message(sock: socket.socket) -> dict[str, Any]:
    """Raises WireClosed at the end, ValueError for anything that is not a JSON object of bounded size."""
    (length,) = LENGTH.unpack(receive_exactly(sock, LENGTH.size))
    if length > MAX_MESSAGE_BYTES:
        raise ValueError("message too long")
    message = json.loads(receive_exactly(sock, length))
    if not isinstance(message, dict):
        raise ValueError("message is not an object")
    return message


class RemoteFile(Seekable):
    """The child's view of the source: a seekable file whose bytes the parent reads for it."""

    def __init__(self, sock: socket.socket, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self._sock = sock
        self._lock = threading.Lock()

    def read(self, size: int = -1) -> bytes:
        left = max(0, self.size_bytes - self.position)
        wanted = min(left if size < 0 else size, left, MAX_READ_BYTES)
        if wanted == 0:
            return b""
        with self._lock:
            self._sock.sendall(REQUEST.pack(self.position, wanted))
            (length,) = LENGTH.unpack(receive_exactly(self._sock, LENGTH.size))
            if length == READ_FAILED:
                raise OSError("the source could not be read")
            data = receive_exactly(self._sock, length)
        self.position += len(data)
        return data
