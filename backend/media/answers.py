"""What a worker believes of a media process's last word: the process has read hostile bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.errors import (
    ArtifactCorrupt,
    EncodeFailed,
    EncoderUnavailable,
    FramefleetError,
    FrameMismatch,
    HardwareDecoderUnfit,
    InvalidParams,
    JailUnavailable,
    MediaError,
    SandboxCrashed,
    StorageError,
    error_by_code,
)

FULL_BYTES = 64 * 2**20  # a disk that has less is full
MAX_WORDS = 500
# What it may say of its work; all others are of its worker, that one's machine or its queue.
OWN_ERRORS = (
    MediaError, EncodeFailed, EncoderUnavailable, HardwareDecoderUnfit, FrameMismatch, ArtifactCorrupt, InvalidParams,
    StorageError, JailUnavailable,
)  # fmt: skip


def error_of(message: Mapping[str, Any], folders: Sequence[Path], *, is_closed_in: bool) -> FramefleetError:
    """The error that it names. `folders`: where it may write; they still hold what it wrote.

    SandboxCrashed for one that is not its own to say, or is not so: its job would be put back without end, its claim
    dropped or its worker pause, as if this machine or its version were at fault.
    """
    error = error_by_code(str(message["error"]), plain(str(message.get("message", ""))))
    if isinstance(error, StorageError) and not _is_full(folders):
        return SandboxCrashed("The media process says that its disk is full, and it is not.")
    if isinstance(error, JailUnavailable) and is_closed_in:
        return SandboxCrashed("The media process says that it is not closed in, and it is.")
    if isinstance(error, OWN_ERRORS) or type(error) is FramefleetError:
        return error
    return SandboxCrashed("The media process named an error that is not its own.")


def plain(words: str) -> str:
    """The process chooses them: no control character (PostgreSQL refuses NUL), no surrogate, not many."""
    return "".join(char if char.isprintable() else "?" for char in words[:MAX_WORDS])


def _is_full(folders: Sequence[Path]) -> bool:
    disks = [os.statvfs(folder) for folder in folders if folder.is_dir()]
    return any(disk.f_bavail * disk.f_frsize < FULL_BYTES or (disk.f_files and not disk.f_favail) for disk in disks)
