"""Objects in a folder of this machine, and any local file as a source."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from backend.errors import ObjectExists, ObjectNotFound, StorageError, UploadTooLarge
from backend.storage.base import ObjectInfo, SignedPut
from backend.storage.files import open_below, sync_folder, temporary_file
from backend.storage.local_file import FileSource, info_of
from backend.storage.local_parts import FOLDER, LocalParts
from backend.storage.names import check_folder, check_key, check_prefix

COPY_BYTES = 1024 * 1024
STALE_TEMPORARY_SEC = 24 * 3600
PUBLISH_TRIES = 20
_TEMPORARY = ".tmp"  # no key can begin with a dot


class LocalStore:
    """An ObjectStore in a folder. Objects appear whole or not at all, and are on disk when a put returns.

    Every method raises StorageError when the folder cannot be used, and ValueError for a key that is not ours.
    """

    def __init__(self, root: Path) -> None:
        with _store_errors(root):
            (root / _TEMPORARY).mkdir(parents=True, exist_ok=True)
            self._root = root.resolve()
            self._sweep_temporary()

    def head(self, key: str) -> ObjectInfo | None:
        path = self._path(key)
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _store_error(error, self._root) from error
        return info_of(status) if stat.S_ISREG(status.st_mode) else None

    def get(self, key: str) -> bytes:
        with _store_errors(self._root, key), self._opened(key) as file:
            return file.read()

    def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        with self._writing(key, os.replace) as file:
            file.write(data)

    def put_if_absent(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        with self._writing(key, _link_if_absent) as file:
            file.write(data)

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        content_type: str = "application/octet-stream",
        moved: Callable[[int], object] = lambda size_bytes: None,
    ) -> None:
        with path.open("rb") as original, self._writing(key, os.replace) as file:
            while part := original.read(COPY_BYTES):
                file.write(part)
                moved(len(part))

    def put_stream(
        self,
        key: str,
        stream: BinaryIO,
        *,
        max_bytes: int,
        content_type: str = "application/octet-stream",
        if_absent: bool = False,
    ) -> ObjectInfo:
        size_bytes = 0
        with self._writing(key, _link_if_absent if if_absent else os.replace) as file:
            while part := stream.read(COPY_BYTES):
                size_bytes += len(part)
                if size_bytes > max_bytes:
                    raise UploadTooLarge(f"The upload is larger than {max_bytes} bytes: send a smaller file.")
                file.write(part)
            file.flush()
            # A rename and a link keep size, mtime and inode, so this stamp is the object's.
            return info_of(os.fstat(file.fileno()))

    def get_file(self, key: str, path: Path) -> None:
        with _store_errors(self._root, key), self._opened(key) as file, temporary_file(path.parent) as temporary:
            shutil.copyfileobj(file, temporary, COPY_BYTES)
            temporary.flush()
            os.replace(temporary.name, path)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _store_errors(self._root, key), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
        with contextlib.suppress(OSError):  # the first folder that still holds something ends this
            for folder in path.parents:
                if folder == self._root:
                    break
                folder.rmdir()

    def list(self, prefix: str) -> Iterator[str]:
        """Keys that begin with `prefix`, in the order of their characters, as S3 lists them."""
        folder = check_prefix(prefix).rpartition("/")[0]
        return (key for key in self._walk(folder) if key.startswith(prefix))

    def folders(self, prefix: str) -> Iterator[str]:
        folder = self._root / check_folder(prefix)
        with _store_errors(self._root), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
            yield from (name for name in found if any(True for _ in self._walk(f"{prefix}{name}")))

    def untouched_seconds(self, prefix: str) -> float | None:
        youngest: float | None = None
        for key in self.list(check_folder(prefix)):
            with contextlib.suppress(FileNotFoundError):  # deleted just now
                written_at = (self._root / key).stat().st_mtime
                youngest = written_at if youngest is None else max(youngest, written_at)
        return None if youngest is None else time.time() - youngest

    def source(self, key: str) -> FileSource:
        return FileSource(self._path(key), (self._root, key))

    def uri(self, key: str) -> str:
        return self._path(key).as_uri()

    def presign_get(self, key: str, *, expires_sec: int, filename: str | None = None) -> str | None:
        """None: no browser reads a file:// URL, so the API serves these bytes itself."""
        check_key(key)
        return None

    def presign_put(
        self, key: str, *, size_bytes: int, content_type: str, expires_sec: int, if_absent: bool
    ) -> SignedPut | None:
        """None: the API takes these bytes itself."""
        check_key(key)
        return None

    def parts(self) -> LocalParts:
        return LocalParts(self._root)

    def _path(self, key: str) -> Path:
        path = self._root / check_key(key)
        if not path.resolve().is_relative_to(self._root):
            raise ValueError(f"key leaves the store through a link: {key!r}")
        return path

    def _opened(self, key: str) -> BinaryIO:
        """No object is a link: code that got somewhere below the root could make one to any file. Raises OSError."""
        self._path(key)
        return os.fdopen(open_below(self._root, key), "rb")

    @contextlib.contextmanager
    def _writing(self, key: str, publish: Callable[[str, Path], None]) -> Iterator[BinaryIO]:
        """A file that becomes the object when the block ends well, and vanishes when it does not."""
        path = self._path(key)
        with _store_errors(self._root), temporary_file(self._root / _TEMPORARY) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            self._publish(file.name, path, publish)

    def _publish(self, temporary: str, path: Path, publish: Callable[[str, Path], None]) -> None:
        for tries_left in reversed(range(PUBLISH_TRIES)):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                publish(temporary, path)
                return sync_folder(path.parent)
            # Race: delete() of a neighbour removes the empty folder just now, before, in or after mkdir.
            except (FileNotFoundError, FileExistsError):
                if not tries_left:
                    raise

    def _walk(self, folder: str) -> Iterator[str]:
        try:
            entries = list(os.scandir(self._root / folder))
        except (FileNotFoundError, NotADirectoryError):
            return
        names = {entry.name + "/" * entry.is_dir(follow_symlinks=False) for entry in entries if not entry.is_symlink()}
        for name in sorted(names):
            key = f"{folder}/{name}" if folder else name
            if not name.endswith("/"):
                yield key
            elif key not in (f"{_TEMPORARY}/", f"{FOLDER}/"):
                yield from self._walk(key[:-1])

    def _sweep_temporary(self) -> None:
        """Removes what writers that were killed left behind."""
        for path in (self._root / _TEMPORARY).iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > STALE_TEMPORARY_SEC:
                    path.unlink()


def _link_if_absent(temporary: str, path: Path) -> None:
    """A hard link is made or refused in one step, whoever else tries: exactly one racing writer gets it."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise ObjectExists(f"The object {path.name} is already there.") from None


@contextlib.contextmanager
def _store_errors(root: Path, key: str | None = None) -> Iterator[None]:
    try:
        yield
    except ConnectionError:  # an uploader that hung up in the middle of its stream: not the folder's fault
        raise
    except OSError as error:
        gone = isinstance(error, (FileNotFoundError, IsADirectoryError, NotADirectoryError))
        if key and (gone or error.errno == errno.ELOOP):
            raise ObjectNotFound(f"There is no object {key}.") from error
        raise _store_error(error, root) from error


def _store_error(error: OSError, root: Path) -> StorageError:
    return StorageError(f"The storage folder {root} cannot be used ({error.strerror}): check its disk and permissions.")
