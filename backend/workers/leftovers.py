"""Temporary folders: made here, and removed when the process that made them was killed."""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import re
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from backend.db.embedded import UNPRIVILEGED_USER
from backend.events import Event, emit
from backend.media.sandbox import SCRATCH_PREFIX
from backend.media.scratch import empty_folder

LOCK_NAME, INNER_NAME = ".lock", "files"
WORK_PREFIX = "framefleet-work-"
# A folder is locked right after it is made, and a socket folder is used right after.
MIN_AGE_SEC = 600.0
# The folders of media processes have no lock; such a process lives no longer than its job.
UNLOCKED_AGE_SEC = 2 * 24 * 3600.0
_UNLOCKED = re.compile(rf"{SCRATCH_PREFIX}\w+|framefleet-lut-\w+")  # the latter are of earlier versions
_LOCKED = re.compile(WORK_PREFIX + r"\w+")
_SOCKETS = re.compile(r"framefleet-[0-9a-f]{12}")
_SOCKET_NAMES = (".s.PGSQL.5432", ".s.PGSQL.5432.lock")


@contextmanager
def work_folder() -> Iterator[Path]:
    """An empty folder, gone after the block. Its lock tells others that it is in use, and ends with this process."""
    with tempfile.TemporaryDirectory(prefix=WORK_PREFIX) as name:
        folder = Path(name)
        with (folder / LOCK_NAME).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            inner = folder / INNER_NAME  # media processes may write in it, and not take the lock away
            inner.mkdir(mode=0o700)
            try:
                yield inner
            finally:
                empty_folder(inner)


def remove_leftovers(*, dry_run: bool = False, parent: Path | None = None) -> list[Path]:
    """Removes this user's folders of killed workers, and socket folders where no server listens; returns them."""
    parent = parent or Path(tempfile.gettempdir())
    removed = []
    for path in sorted(parent.glob("framefleet-*")):
        with suppress(OSError):  # somebody else's, or removed just now; the others' turn comes all the same
            if _is_stale(path) and (dry_run or _remove(path)):
                removed.append(path)
                if not dry_run:
                    emit(Event.LEFTOVER_REMOVED, path=str(path))
    return removed


def _is_stale(path: Path) -> bool:
    status = path.lstat()
    age_sec = time.time() - status.st_mtime
    if not stat.S_ISDIR(status.st_mode) or age_sec < MIN_AGE_SEC:
        return False
    if _SOCKETS.fullmatch(path.name):
        return status.st_uid in _server_users() and _nobody_listens(path)
    if status.st_uid != os.geteuid():
        return False
    if _LOCKED.fullmatch(path.name):
        return _is_unlocked(path)
    return bool(_UNLOCKED.fullmatch(path.name)) and age_sec > UNLOCKED_AGE_SEC


def _remove(path: Path) -> bool:
    if not _SOCKETS.fullmatch(path.name):
        empty_folder(path)
        path.rmdir()
        return True
    for name in _SOCKET_NAMES:
        (path / name).unlink(missing_ok=True)
    try:
        path.rmdir()  # never more than what a server leaves
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        return False
    return True


def _is_unlocked(path: Path) -> bool:
    try:
        fd = os.open(path / LOCK_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:  # killed before it locked, or while it removed the folder
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def _nobody_listens(path: Path) -> bool:
    if not (path / _SOCKET_NAMES[0]).exists():
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path / _SOCKET_NAMES[0]))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _server_users() -> set[int]:
    """Whose socket folders we may remove: our own, and as root those of the account that the server runs as."""
    users = {os.geteuid()}
    if os.geteuid() == 0:
        with suppress(KeyError):
            users.add(pwd.getpwnam(UNPRIVILEGED_USER).pw_uid)
    return users
