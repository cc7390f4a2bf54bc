"""How the bytes of an answer leave, so that a client that reads slowly holds no thread."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from typing import IO, cast

from flask import Response, request
from werkzeug.wsgi import wrap_file

from backend.api.context import context
from backend.errors import StorageFull
from backend.storage.base import Source
from backend.storage.local_file import FileSource

BLOCK_BYTES = 512 * 1024
# What the server keeps of an answer in memory and on disk without a thread is twice as much (server/limits.py).
BUFFERED_BYTES = 8 * 1024 * 1024


def with_bytes(response: Response, source: Source, start: int, stop: int) -> Response:
    """The response, with these bytes of the source as its body. Raises StorageFull, and what the source raises.

    A file is read by the server's loop as the client takes it. What comes from elsewhere the server buffers; much of it
    goes into a temporary file first, at the store's pace.
    """
    if isinstance(source, FileSource):
        _send_file(response, cast(IO[bytes], source.window(start, stop)))
    elif stop - start > BUFFERED_BYTES:
        _send_file(response, _copied(source, start, stop))
    else:
        response.response = _blocks(source, start, stop)
    response.content_length = stop - start
    return response


def _send_file(response: Response, file: IO[bytes]) -> None:
    response.response = wrap_file(request.environ, file, BLOCK_BYTES)
    response.direct_passthrough = True


def _copied(source: Source, start: int, stop: int) -> IO[bytes]:
    free_bytes = shutil.disk_usage(tempfile.gettempdir()).free
    if free_bytes - (stop - start) < context().settings.spool_min_free_bytes:
        raise StorageFull("The server has no room to pass this file on now: ask again later, or ask for ranges of it.")
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the server closes it
    for block in _blocks(source, start, stop):
        file.write(block)
    file.seek(0)
    return file


def _blocks(source: Source, start: int, stop: int) -> Iterator[bytes]:
    while start < stop:
        block = source.read_at(start, min(BLOCK_BYTES, stop - start))
        if not block:
            return
        yield block
        start += len(block)
