"""The child process that parses media: `python -m backend.media.child BYTES_FD MESSAGES_FD [RING_FD]`.

Started by backend.media.sandbox only, or forked. Imports what its one operation needs, closes itself in, and only then
reads a byte of the source; reports in JSON, and exits.
"""

from __future__ import annotations

import errno
import mmap
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from backend.errors import FramefleetError, MediaTooLarge, StorageError
from backend.media import wire
from backend.media.jail.lock import lock
from backend.media.jail.order import Jail
from backend.media.operations import OPERATIONS, USE_HARDWARE, Result, Task, prepare


def main(arguments: list[str]) -> int:
    bytes_sock = socket.socket(fileno=int(arguments[0]))
    messages_sock = socket.socket(fileno=int(arguments[1]))
    order = wire.receive_message(messages_sock)
    jail = Jail.of_json(order["jail"])
    ring = mmap.mmap(int(arguments[2]), order["ring"]["slots"] * order["ring"]["slot_bytes"]) if order["ring"] else None
    source = cast(BinaryIO, wire.RemoteFile(bytes_sock, order["size_bytes"]))
    answer: dict[str, Any]
    try:
        answer = {"result": _run(order, jail, Task(order, source, messages_sock, ring))}
    except FramefleetError as error:
        answer = _told(error)
    except MemoryError:
        answer = _told(MediaTooLarge("The video needs too much memory."))
    except (BrokenPipeError, ConnectionResetError, wire.WireClosed):  # the parent dropped the work
        return 1
    except OSError as error:  # a file that ends, or a filter that writes one: wherever else it shows
        answer = _told(_of_disk(error))
    wire.send_message(messages_sock, answer)
    return 0


def _run(order: dict[str, Any], jail: Jail, task: Task) -> Result:
    operation = OPERATIONS.get(order["operation"])
    if operation is None:
        raise FramefleetError(f"The media process knows no operation {order['operation']!r}.")
    programs = prepare(order["operation"], order["params"], jail)
    layers = lock(jail, Path(os.environ["TMPDIR"]), hardware=order["operation"] in USE_HARDWARE)
    task.tell(**{wire.CLOSED_IN: True})
    return operation(replace(task, programs=programs, layers=layers))


def _told(error: FramefleetError) -> dict[str, str]:
    return {"error": error.code, "message": error.message}


def _of_disk(error: OSError) -> FramefleetError:
    """Raises the error itself where it is not the disk's."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError("The temporary folder (TMPDIR) is full: make room there.")
    if error.errno == errno.EFBIG:
        return MediaTooLarge("The result grew past MAX_RESULT_BYTES.")
    raise error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
