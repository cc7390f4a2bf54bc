"""A local file as a source, and parts of it to be sent."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from backend.errors import FramefleetError, SourceChanged, SourceForbidden, SourceNotFound, SourceUnreachable
from backend.seekable import Seekable
from backend.storage.base import ObjectInfo
from backend.storage.files import open_below, pread_all

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class FileSource:
    """A local file, read with pread through one descriptor: threads may share it.

    Raises SourceNotFound for what is missing or is no regular file, SourceForbidden without permission.
    """

    def __init__(self, path: Path, key_below: tuple[Path, str] | None = None) -> None:
        """`key_below`: the root and key of an object, on whose way no link is followed."""
        self.path = path
        self.uri = path.absolute().as_uri()
        with _source_errors(path):
            # Non-blocking, so that a FIFO is refused below instead of waiting for its writer.
            opened = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
            self._fd = open_below(*key_below) if key_below else os.open(path, opened)
        self._closer = weakref.finalize(self, os.close, self._fd)
        self.info = info_of(os.fstat(self._fd))
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            self.close()
            raise SourceNotFound(f"{path} is not a file: give the path of a video file.")

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`. Raises SourceChanged when the path holds other bytes by now."""
        with _source_errors(self.path):
            data = self._pread(offset, min(length, self.info.size_bytes - offset))
            # After the read: a write that came before it has changed the stamp by now.
            unchanged = info_of(os.fstat(self._fd)) == self.info == info_of(os.stat(self.path))
        if not unchanged:
            raise SourceChanged(f"{self.path} changed while it was being read: submit the job again.")
        return data

    def window(self, start: int, stop: int) -> FileWindow:
        """Its bytes from `start` up to `stop` as a file of their own, to be sent at a client's pace."""
        return FileWindow(self, start, stop)

    def read_open(self, offset: int, length: int) -> bytes:
        """As read_at, of the file as it was opened, whatever its name stands for by now. Raises OSError."""
        data = self._pread(offset, length)
        self._check_open(len(data) == length)
        return data

    def send_open(self, sock: socket.socket, offset: int, length: int) -> int:
        """How many of these bytes the socket took. Raises OSError; BlockingIOError where it takes none now."""
        if not self._closer.alive:  # its number may be another file's by now
            raise OSError(errno.EBADF, "send from a closed source")
        sent = os.sendfile(sock.fileno(), self._fd, offset, length)
        self._check_open(sent > 0)
        return sent

    def _check_open(self, is_whole: bool) -> None:
        if not is_whole or info_of(os.fstat(self._fd)) != self.info:
            raise OSError(errno.ESTALE, "the file changed while it was being read")

    def close(self) -> None:
        """Closes the descriptor; the garbage collector does so too."""
        self._closer()

    def _pread(self, offset: int, length: int) -> bytes:
        if not self._closer.alive:
            raise ValueError("read from a closed source")
        return pread_all(self._fd, offset, length)


class FileWindow(Seekable):
    """A part of a file, which is closed with it."""

    def __init__(self, source: FileSource, start: int, stop: int) -> None:
        super().__init__(max(0, min(stop, source.info.size_bytes) - start))
        self._source = source
        self._start = start

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Raises OSError for a file that changed: what was sent of it belongs to no version."""
        view = memoryview(buffer).cast("B")
        length = max(0, min(len(view), self.size_bytes - self.position))
        view[:length] = self._source.read_open(self._start + self.position, length)
        self.position += length
        return length

    def send_to(self, sock: socket.socket, max_bytes: int) -> int:
        """Without moving the position. Raises as FileSource.send_open."""
        return self._source.send_open(
            sock, self._start + self.position, min(max_bytes, self.size_bytes - self.position)
        )

    def close(self) -> None:
        self._source.close()
        super().close()


def info_of(status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(status.st_size, f"{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ino:x}")


@contextlib.contextmanager
def _source_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _source_error(error, path) from error


def _source_error(error: OSError, path: Path) -> FramefleetError:
    match error:
        case FileNotFoundError() | NotADirectoryError() | OSError(errno=errno.ELOOP):
            return SourceNotFound(f"There is no file {path}: check the path.")
        case PermissionError():
            return SourceForbidden(f"{path} may not be read: give this user permission to read it.")
        case _:
            return SourceUnreachable(f"{path} cannot be read ({error.strerror}): check the disk it is on.")
