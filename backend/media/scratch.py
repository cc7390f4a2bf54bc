"""Where temporary files are made: nobody else may move or replace them."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from pathlib import Path

from backend.errors import StorageError, TemporaryFolderUnsafe

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def check_temporary_folder(folder: Path | None = None) -> None:
    """Our folders in it are closed to others; the folder itself has to be such that they stay ours. A volume that is
    mounted there is a container's own, whose mode Kubernetes does not let anybody choose. Raises
    TemporaryFolderUnsafe, StorageError where no folder takes a file."""
    try:
        folder = folder or Path(tempfile.gettempdir())
    except FileNotFoundError:  # it has tried to write into each
        raise StorageError("No temporary folder takes a file: make room, or set TMPDIR to one that does.") from None
    if folder.is_mount():
        return
    status = folder.stat()
    open_to_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX
    if open_to_others or status.st_uid not in (0, os.geteuid()):
        raise TemporaryFolderUnsafe(
            f"Other users could replace what is in the temporary folder {folder}: set TMPDIR to a folder of this user, "
            "or give it the sticky bit (chmod +t)."
        )


def empty_folder(folder: Path) -> None:
    """Also of thousands of folders in one another, where a walk runs out of depth, descriptors and length of names: a
    folder in a folder is lifted to the top. No link is followed. Nobody else may write there by now. Raises OSError."""
    top = os.open(folder, FOLDER)
    try:
        while names := os.listdir(top):  # noqa: PTH208 - by its descriptor
            for name in names:
                if not _is_deleted(name, top):
                    _delete_folder(name, top)
    finally:
        os.close(top)


def _is_deleted(name: str, parent: int) -> bool:
    """False for a folder, which is open to us then."""
    if stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
        os.chmod(name, 0o700, dir_fd=parent)
        return False
    os.unlink(name, dir_fd=parent)
    return True


def _delete_folder(name: str, top: int) -> None:
    folder = os.open(name, FOLDER, dir_fd=top)
    try:
        for each in os.listdir(folder):  # noqa: PTH208 - by its descriptor
            if not _is_deleted(each, folder):
                os.rename(each, secrets.token_hex(16), src_dir_fd=folder, dst_dir_fd=top)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)
