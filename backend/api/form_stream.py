"""A multipart/form-data body, read once: its fields into memory, its file block by block to whoever stores it.

The framework's own parser writes a file to a temporary folder first, from where it would have to be copied.
"""

from __future__ import annotations

from typing import BinaryIO

from flask import request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from backend.errors import InvalidRequest, InvalidValue

BLOCK_BYTES = 256 * 1024
HEAD_BYTES = 64 * 1024  # of one part's headers, and of what stands before the first part and behind the last
MAX_FIELDS_BYTES = 256 * 1024  # of all fields together
MAX_PARTS = 32
FILE_FIELD = "file"


class FormStream:
    """The fields that come before the file are there at once, the others when the file was read to its end."""

    def __init__(self, stream: BinaryIO, boundary: str) -> None:
        """Reads up to the file. Raises InvalidRequest, and RequestEntityTooLarge for fields that take too much."""
        self.fields: dict[str, str] = {}
        self.file_name: str | None = None  # as the client has it: data, never a path
        self._stream = stream
        self._decoder = _Decoder(boundary.encode(), BLOCK_BYTES + HEAD_BYTES, max_parts=MAX_PARTS)
        self._fields_bytes = 0
        self._in_file = False
        self._is_over = False
        self._rest = memoryview(b"")  # of the file: read, and not yet asked for
        self._read_fields()

    def read(self, size_bytes: int = -1) -> bytes:
        """The file's next bytes, at most so many; none at its end, when the rest of the form was read too. Raises as
        the constructor does."""
        while not self._rest and self._in_file:
            self._rest, self._in_file = self._data()
        if not self._rest:
            self._read_fields()
            return b""
        part = bytes(self._rest[: size_bytes if size_bytes >= 0 else None])
        self._rest = self._rest[len(part) :]
        return part

    def _read_fields(self) -> None:
        """Up to the file, or to the end of the form."""
        while not (self._in_file or self._is_over):  # a store may ask for more than once behind the end
            match self._next():
                case Field(name=name):
                    self.fields[str(name)] = self._text()
                case File(name=name, filename=file_name):
                    self._begin_file(name, file_name)
                case Epilogue():
                    self._is_over = True

    def _begin_file(self, name: str, file_name: str) -> None:
        if name != FILE_FIELD or self.file_name is not None:
            raise InvalidValue(f"Send one file, in a field named `{FILE_FIELD}`.")
        self.file_name, self._in_file = file_name, True

    def _text(self) -> str:
        blocks, more = bytearray(), True
        while more:
            block, more = self._data()
            self._fields_bytes += len(block)
            if self._fields_bytes > MAX_FIELDS_BYTES:
                raise RequestEntityTooLarge(f"The form's fields may have at most {MAX_FIELDS_BYTES} bytes together.")
            blocks += block
        return blocks.decode("utf-8", "replace")

    def _data(self) -> tuple[memoryview, bool]:
        """The next bytes of the part, and whether there are more."""
        event = self._next()
        assert isinstance(event, Data)  # until one says that it is the part's last
        return memoryview(event.data), event.more_data

    def _next(self) -> Event:
        try:
            while isinstance(event := self._decoder.next_event(), NeedData):
                self._decoder.receive_data(self._stream.read(BLOCK_BYTES) or None)
        except ValueError as error:
            raise InvalidRequest("The form is malformed, or ends early: send it as curl -F does.") from error
        return event


class _Decoder(MultipartDecoder):
    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        """File names need not be UTF-8."""
        return super()._parse_headers(data.decode("utf-8", "replace").encode())


def form_of_request() -> FormStream:
    """Raises InvalidRequest, RequestEntityTooLarge."""
    boundary = request.mimetype_params.get("boundary", "")
    if not boundary.isascii() or not boundary:
        raise InvalidRequest("The form has no boundary in its Content-Type: send it as curl -F does.")
    return FormStream(request.stream, boundary)  # type: ignore[arg-type]
