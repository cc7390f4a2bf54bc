"""Unfinished uploads in a folder beside the objects: one file each, whose parts are written where they belong.

Parts may come in any order, at once, and from several processes. The locks are of open file descriptions, so they hold
between threads too, and end with whoever held them.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from backend.errors import (
    ChecksumMismatch,
    FramefleetError,
    InvalidRequest,
    ObjectNotFound,
    StorageError,
    StorageFull,
    UploadBusy,
)
from backend.storage.base import ObjectInfo, SignedPut
from backend.storage.files import sync_folder
from backend.storage.names import check_key
from backend.storage.parts import BLOCK_BYTES, Begun, Cut, Part

FOLDER = ".uploads"  # no key can begin with a dot
_BLOCK_UNIT_BYTES = 512  # of st_blocks
# Whole files whose SHA-256 is looked at at once: each takes minutes of a thread that others need.
_CHECKS = threading.BoundedSemaphore(2)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BUSY = (errno.EAGAIN, errno.EACCES)


class LocalParts:
    """A PartStore. `root` is the store's folder."""

    least_part_bytes = 1

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / FOLDER

    def check_room(self, size_bytes: int, floor_bytes: int) -> None:
        with self._errors():
            self._check_room(size_bytes + self._promised_bytes(), floor_bytes)

    def begin(self, key: str, cut: Cut, *, checks_parts: bool, floor_bytes: int) -> Begun:
        """The file has its length from now on and takes up no room yet; others count it as taken."""
        handle = _handle_of(key)
        with self._errors():
            self._folder.mkdir(parents=True, exist_ok=True)
            with _locked_folder(self._folder):  # else two would be promised the same room
                self._check_room(cut.size_bytes + self._promised_bytes(), floor_bytes)
                with self._path(handle).open("xb") as file:
                    os.truncate(file.fileno(), cut.size_bytes)
            sync_folder(self._folder)
        return Begun(handle, checks_parts)

    @contextmanager
    def alone(self, key: str, handle: str, cut: Cut, number: int | None = None) -> Iterator[None]:
        start, length = (0, 0) if number is None else (cut.offset_of(number), cut.length_of(number))
        fd = self._open_to_lock(handle, key if number is None else None)
        try:
            self._lock(fd, start, length)
            yield
        finally:
            os.close(fd)

    def sign(
        self, key: str, handle: str, cut: Cut, number: int, *, sha256: str | None, expires_sec: int
    ) -> SignedPut | None:
        """None: the API takes the bytes itself."""
        return None

    def write(
        self, key: str, handle: str, cut: Cut, number: int, stream: BinaryIO, *, sha256: str | None, floor_bytes: int
    ) -> Part:
        length = cut.length_of(number)
        with self._errors(handle):
            self._check_room(length, floor_bytes)
            fd = os.open(self._path(handle), os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                found = _write_at(fd, cut.offset_of(number), length, stream)
                os.fdatasync(fd)
            finally:
                os.close(fd)
        if sha256 is not None and found != sha256:
            raise ChecksumMismatch(f"Part {number} came with another SHA-256 than was said: send it again.")
        return Part(number, length, found)

    def stored(self, key: str, handle: str) -> list[Part] | None:
        return None

    def finish(self, key: str, handle: str, cut: Cut, parts: list[Part], *, sha256: str | None) -> ObjectInfo:
        """The file itself becomes the object: nothing is copied."""
        target = self._root / check_key(key)
        source = self._path(handle)
        with self._errors(handle):
            if not source.exists():  # an earlier try got so far, and no further
                source = target
            with _one_of_few_checks(sha256):
                _check_whole(source, cut, sha256)
            if source is not target:
                target.parent.mkdir(parents=True, exist_ok=True)
                source.rename(target)
                sync_folder(target.parent)
            status = target.stat()
        return ObjectInfo(status.st_size, "")

    def verifies_whole(self) -> bool:
        return True

    def discard(self, key: str, handle: str | None) -> None:
        with self._errors():
            for path in (self._path(_handle_of(key)), self._root / check_key(key)):
                with suppress(FileNotFoundError):
                    path.unlink()
        with suppress(OSError):  # the folder of a job that has more than its source stays
            (self._root / key).parent.rmdir()

    def _path(self, handle: str) -> Path:
        if "/" in handle:
            raise ValueError(f"not an upload of ours: {handle[:80]!r}")
        return self._folder / handle

    def _promised_bytes(self) -> int:
        """What open uploads may still fill."""
        promised = 0
        for path in self._folder.iterdir() if self._folder.exists() else ():
            with suppress(FileNotFoundError):  # complete by now
                file = path.stat(follow_symlinks=False)
                promised += max(0, file.st_size - file.st_blocks * _BLOCK_UNIT_BYTES)
        return promised

    def _check_room(self, size_bytes: int, floor_bytes: int) -> None:
        disk = os.statvfs(self._root)
        if disk.f_bavail * disk.f_frsize - size_bytes < floor_bytes:
            raise StorageFull("The disk of this server has no room for the upload: try again later.")

    def _open_to_lock(self, handle: str, key: str | None) -> int:
        """The unfinished file; with `key`, also what an earlier try to finish it has moved. Raises ObjectNotFound."""
        paths = [self._path(handle), *([] if key is None else [self._root / check_key(key)])]
        for path in paths:
            with self._errors(), suppress(FileNotFoundError):
                return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        raise ObjectNotFound("There is no such unfinished upload.")

    def _lock(self, fd: int, start: int, length: int) -> None:
        """Raises UploadBusy. A length of 0 is the whole file."""
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, start, length, 0))
        except OSError as error:
            if error.errno in _BUSY:
                raise UploadBusy("Others write this upload at this moment: try again in a moment.") from None
            raise self._told(error) from error

    @contextmanager
    def _errors(self, handle: str | None = None) -> Iterator[None]:
        try:
            yield
        except ConnectionError:  # whoever sends hung up: not the folder's fault
            raise
        except OSError as error:
            if handle is not None and isinstance(error, FileNotFoundError):
                raise ObjectNotFound("There is no such unfinished upload.") from error
            raise self._told(error) from error

    def _told(self, error: OSError) -> FramefleetError:
        if error.errno in _FULL:
            return StorageFull("The disk of this server is full: try again later.")
        return StorageError(
            f"The storage folder {self._root} cannot be used ({error.strerror}): check its disk and permissions."
        )


def _handle_of(key: str) -> str:
    return check_key(key).replace("/", "-")


def _write_at(fd: int, offset: int, length: int, stream: BinaryIO) -> str:
    """The SHA-256 of what was written. Raises InvalidRequest for a stream that ends early."""
    digest, left = hashlib.sha256(), length
    while left:
        block = stream.read(min(BLOCK_BYTES, left))
        if not block:
            raise InvalidRequest(f"The part ended {left} bytes early: send it again.")
        digest.update(block)
        view = memoryview(block)
        while view:
            written = os.pwrite(fd, view, offset + length - left)
            left, view = left - written, view[written:]
    return digest.hexdigest()


@contextmanager
def _one_of_few_checks(sha256: str | None) -> Iterator[None]:
    """Raises UploadBusy."""
    if sha256 is None:
        yield
        return
    if not _CHECKS.acquire(blocking=False):
        raise UploadBusy("Other uploads are being checked: complete this one in a moment.")
    try:
        yield
    finally:
        _CHECKS.release()


def _check_whole(path: Path, cut: Cut, sha256: str | None) -> None:
    """Raises ChecksumMismatch; the bytes are on disk afterwards."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size != cut.size_bytes:
            raise ChecksumMismatch("The upload's file has another size than was said: begin a new upload.")
        if sha256 is not None and hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise ChecksumMismatch("The file has another SHA-256 than was said: send the parts that differ again.")
        os.fsync(file.fileno())


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
