"""The child process that parses media: `python -m backend.media.child BYTES_FD MESSAGES_FD [RING_FD]`.

Started by backend.media.sandbox only. Runs one operation, reports in JSON, exits.
"""

from __future__ import annotations

import errno
import mmap
import resource
import socket
import sys
from pathlib import Path
from typing import BinaryIO, cast

from backend.errors import FramefleetError, StorageError
from backend.media import wire
from backend.media.operations import OPERATIONS, Result, Task

NVIDIA = Path("/dev/nvidiactl")


def main(arguments: list[str]) -> int:
    bytes_sock = socket.socket(fileno=int(arguments[0]))
    messages_sock = socket.socket(fileno=int(arguments[1]))
    order = wire.receive_message(messages_sock)
    _limit(order["memory_bytes"])
    source = cast(BinaryIO, wire.RemoteFile(bytes_sock, order["size_bytes"]))
    ring = mmap.mmap(int(arguments[2]), order["ring"]["slots"] * order["ring"]["slot_bytes"]) if order["ring"] else None
    try:
        result = _run(Task(order, source, messages_sock, ring))
        wire.send_message(messages_sock, {"result": result})
    except FramefleetError as error:
        wire.send_message(messages_sock, {"error": error.code, "message": error.message})
    except MemoryError:
        wire.send_message(messages_sock, {"error": "media_too_large", "message": "The video needs too much memory."})
    except (BrokenPipeError, ConnectionResetError, wire.WireClosed):  # the parent dropped the work
        return 1
    except OSError as error:  # a file that ends, or a filter that writes one: wherever else it shows
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        full = "The temporary folder (TMPDIR) is full: make room there."
        wire.send_message(messages_sock, {"error": StorageError.code, "message": full})
    return 0


def _run(task: Task) -> Result:
    operation = OPERATIONS.get(task.order["operation"])
    if operation is None:
        raise FramefleetError(f"The media process knows no operation {task.order['operation']!r}.")
    return operation(task)


def _limit(memory_bytes: int) -> None:
    # CUDA, which NVENC needs, reserves more addresses than any machine has memory: there what is written to counts.
    kind = resource.RLIMIT_DATA if NVIDIA.exists() else resource.RLIMIT_AS
    resource.setrlimit(kind, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
