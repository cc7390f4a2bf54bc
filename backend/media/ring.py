"""Pictures in memory that a worker and its media process share."""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path
from typing import IO

from backend.errors import SandboxCrashed, StorageError

MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - the file made there has no name


class FrameRing:
    """Shared memory for `slots` pictures. Anonymous: nothing is left behind when every process is killed."""

    def __init__(self, slots: int, slot_bytes: int) -> None:
        self.slots = slots
        self.slot_bytes = slot_bytes
        self._file = _allocated(slots * slot_bytes)
        self.memory = mmap.mmap(self._file.fileno(), slots * slot_bytes)

    def fileno(self) -> int:
        return self._file.fileno()

    def slot(self, number: int) -> memoryview:
        """Raises SandboxCrashed for a slot that does not exist: the child is not trusted."""
        if not 0 <= number < self.slots:
            raise SandboxCrashed("The media process named a picture that does not exist.")
        return memoryview(self.memory)[number * self.slot_bytes : (number + 1) * self.slot_bytes]

    def close(self) -> None:
        self.memory.close()
        self._file.close()


def _allocated(size_bytes: int) -> IO[bytes]:
    """A file without a name that really has its bytes. A container's /dev/shm is often 64 MiB, and writing to a mapping
    past that ends the process with SIGBUS."""
    for folder in (MEMORY_FOLDER, None):
        if folder is not None and not folder.is_dir():
            continue
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        try:
            if hasattr(os, "posix_fallocate"):  # macOS has neither that call nor that trap
                os.posix_fallocate(file.fileno(), 0, size_bytes)
            else:
                file.truncate(size_bytes)
        except OSError:
            file.close()
            continue
        return file
    raise StorageError(
        f"Neither {MEMORY_FOLDER} nor the temporary folder has room for {size_bytes >> 20} MiB of pictures."
    )
