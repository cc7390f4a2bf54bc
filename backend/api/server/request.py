"""A request while it arrives: waitress's parser, with bounds on what one client may send before anybody answers."""

from __future__ import annotations

import re
import time
import weakref
from collections.abc import Callable
from typing import Any

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import ChunkedReceiver, FixedStreamReceiver
from waitress.utilities import BadRequest

from backend.api.server import limits
from backend.api.server.body import BodyPipe
from backend.api.server.refusal import STORAGE_FULL, TOO_MANY_UPLOADS, URI_TOO_LONG
from backend.api.server.room import Room

TRANSFER_ENCODING = re.compile(rb"^transfer-encoding[ \t]*:", re.IGNORECASE | re.MULTILINE)


class BoundedChunks(ChunkedReceiver):  # type: ignore[misc]
    """waitress's keeps size lines and trailers of any length in memory."""

    def received(self, data: bytes) -> int:
        consumed: int = super().received(data)
        if len(self.control_line) > limits.MAX_CHUNK_LINE_BYTES or len(self.trailer) > limits.MAX_TRAILER_BYTES:
            self.error = BadRequest("A chunk's size line, or the trailer, is too long")
        return consumed


class Request(HTTPRequestParser):  # type: ignore[misc]
    """`pipe` is there for a body that is read while it arrives; `new_pipe` makes it."""

    pipe: BodyPipe | None = None
    command = path = ""  # until the head is read
    is_queued = False

    def __init__(self, adj: Any, room: Room | None = None, new_pipe: Callable[[], BodyPipe] | None = None) -> None:
        super().__init__(adj)
        self._room = room
        self._new_pipe = new_pipe
        self._give_back: Callable[[], object] | None = None
        self.began = time.monotonic()

    def received(self, data: bytes) -> int:
        was_head = not self.headers_finished
        consumed: int = super().received(data)
        if was_head and self.headers_finished and not self.empty and self.error is None:
            self._admit()
        if self.error is not None:
            self.completed = True
            self.expect_continue = False  # it is not to send the body
        if self.pipe is not None and self.completed:
            self.pipe.end() if self.error is None else self.pipe.close()
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError:  # a Content-Length of thousands of digits, an address like http://[
            raise ParsingError("The head of the request is malformed") from None
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Content-Length and Transfer-Encoding exclude each other")
        if not self.chunked and TRANSFER_ENCODING.search(header_plus):
            # A proxy may see chunks where waitress sees none: with another version, or nothing in the header.
            raise ParsingError("There is no Transfer-Encoding but chunked, of this version of HTTP")
        host = self.headers.get("HOST")
        if (host is None and self.version == "1.1") or (host is not None and "," in host):
            raise ParsingError("Send one Host header")

    def is_too_slow(self, now: float, silent_sec: float) -> bool:
        """Of a body that has not come whole."""
        if self.pipe is not None:
            return self.pipe.is_too_slow(now)
        return limits.is_too_slow(self.body_bytes_received, now - self.began, silent_sec)

    def close(self) -> None:
        super().close()
        if self._give_back is not None:
            self._give_back()

    def _admit(self) -> None:
        """Before a byte of the body is asked for."""
        is_large = self.chunked or self.content_length > limits.SPOOLED_BODY_BYTES
        if len(self.first_line) > limits.MAX_LINE_BYTES:
            self.error = URI_TOO_LONG
        elif is_large and not self._takes(lambda room: room.begin_stream(), lambda room: room.end_stream()):
            self.error = TOO_MANY_UPLOADS
        elif is_large:
            self._stream()
        elif self.content_length > limits.MEMORY_BODY_BYTES:
            size_bytes = self.content_length
            if not self._takes(lambda room: room.promise(size_bytes), lambda room: room.give_back(size_bytes)):
                self.error = STORAGE_FULL

    def _takes(self, take: Callable[[Room], bool], give_back: Callable[[Room], None]) -> bool:
        """What it takes is given back once: by close(), or with this object."""
        assert self._room is not None, "the channel makes requests with it"
        is_taken = take(self._room)
        if is_taken:
            self._give_back = weakref.finalize(self, give_back, self._room)
        return is_taken

    def _stream(self) -> None:
        assert self._new_pipe is not None, "the channel makes requests with it"
        self.pipe = self._new_pipe()
        self.body_rcv = (
            BoundedChunks(self.pipe) if self.chunked else FixedStreamReceiver(self.content_length, self.pipe)
        )
