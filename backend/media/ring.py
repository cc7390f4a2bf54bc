"""Pictures in memory that a worker and its media process share."""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
import tempfile
from typing import IO

from backend.errors import SandboxCrashed, StorageError


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
    """A file without a name that really has its bytes, and keeps them: reading a mapping past a file's end ends the
    process with SIGBUS, and the media process could shorten the file. What it gives back of it is given anew. No
    folder's: a container's /dev/shm is often 64 MiB."""
    if sys.platform != "linux":
        file = tempfile.TemporaryFile()  # noqa: SIM115
        file.truncate(size_bytes)
        return file
    file = os.fdopen(os.memfd_create("pictures", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "w+b")
    try:
        os.posix_fallocate(file.fileno(), 0, size_bytes)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except OSError as error:
        file.close()
        raise StorageError(f"There is no memory for {size_bytes >> 20} MiB of pictures.") from error
    return file
