"""Runs one media operation in a child process: a crash, a hang or a picture bomb ends the child, never the worker.

The child has no credentials and no store: its environment is bare, it asks the parent for bytes and tells what it
found in JSON. Sampled frames come through shared memory.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import queue
import signal
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from backend.errors import SandboxCrashed, SandboxTimeout, SourceUnreachable, StorageError, error_by_code
from backend.media import wire
from backend.media.starter import start_child

SCRATCH_PREFIX = "framefleet-media-"
EXIT_GRACE_SEC = 5.0
CHECK_EVERY_SEC = 1.0
# Messages that may wait for the parent; past that the child waits, so that it cannot fill the parent's memory.
QUEUED_MESSAGES = 64
STDERR_TAIL_BYTES = 2000
MAX_WORDS = 500
MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - the file made there has no name


class ByteReader(Protocol):
    """Where the child's bytes come from; thread-safe."""

    @property
    def size_bytes(self) -> int: ...

    def read_at(self, offset: int, length: int) -> bytes: ...


class _NoBytes:
    size_bytes = 0

    def read_at(self, offset: int, length: int) -> bytes:
        return b""


NO_BYTES: ByteReader = _NoBytes()  # for operations that read no source


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


class MediaProcess:
    """A child that runs one operation of backend.media.child. Use as a context manager; leaving it ends the child."""

    def __init__(
        self,
        operation: str,
        params: Mapping[str, Any],
        reader: ByteReader,
        *,
        silence_sec: float,
        memory_bytes: int,
        ring: FrameRing | None = None,
        check: Callable[[], None] = lambda: None,
        total_sec: float = float("inf"),
    ) -> None:
        """`check` is called about once a second while the child is waited for, and may raise. `total_sec` bounds all of
        it: bytes that trickle in are a sign of life, but not for ever."""
        self._reader = reader
        self._silence_sec = silence_sec
        self._check = check
        self._total_sec = total_sec
        self._began_at = time.monotonic()
        self._read_error: Exception | None = None
        self._is_reading = False
        self._inbox: queue.Queue[dict[str, Any] | Exception] = queue.Queue(QUEUED_MESSAGES)
        self._left = threading.Event()
        self._heard_at = time.monotonic()
        bytes_sock, child_bytes = socket.socketpair()
        messages_sock, child_messages = socket.socketpair()
        self._bytes_sock, self._messages_sock = bytes_sock, messages_sock
        handed = [child_bytes.fileno(), child_messages.fileno(), *([ring.fileno()] if ring else [])]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        # The child is killed as soon as it has said its result: what it leaves there is ours to remove.
        self._scratch = tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX, ignore_cleanup_errors=True)
        try:
            self._process = start_child(handed, self._stderr, self._scratch.name)
        finally:
            child_bytes.close()
            child_messages.close()
        wire.send_message(
            messages_sock,
            {
                "operation": operation,
                "params": dict(params),
                "size_bytes": reader.size_bytes,
                "memory_bytes": memory_bytes,
                "ring": {"slots": ring.slots, "slot_bytes": ring.slot_bytes} if ring else None,
            },
        )
        self._threads = [
            threading.Thread(target=self._serve_bytes, name="media-bytes", daemon=True),
            threading.Thread(target=self._receive, name="media-messages", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        _living.add(self)

    @property
    def pid(self) -> int:
        return self._process.pid

    def messages(self) -> Iterator[dict[str, Any]]:
        """Every message up to and without the final one, which `result` then holds.

        Raises the child's typed error, SandboxTimeout after a long silence, SandboxCrashed when it died, or the error
        that reading the source raised.
        """
        while True:
            message = self._next_message()
            if "error" in message:
                if self._read_error is not None:
                    raise self._read_error
                raise error_by_code(str(message["error"]), _plain(str(message.get("message", ""))))
            if "result" in message:
                self.result: dict[str, Any] = message["result"]
                return
            yield message

    def free_slots(self, count: int) -> None:
        """Tells the child that so many more slots may be written. Raises SandboxCrashed when it does not listen."""
        try:
            sent = self._messages_sock.send(b"\x01" * count, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError:  # the child is gone; messages() says why
            return
        if sent < count:
            raise SandboxCrashed("The media process does not take back its pictures.")

    def _next_message(self) -> dict[str, Any]:
        """A request for bytes is a sign of life too: reading a whole file, or up to a chunk far inside, takes long."""
        self._heard_at = time.monotonic()
        while True:
            left_sec = self._heard_at + self._silence_sec - time.monotonic()
            self._check()
            self._check_total()
            try:
                message = self._inbox.get(timeout=min(CHECK_EVERY_SEC, max(0.0, left_sec)))
                break
            except queue.Empty:
                if time.monotonic() - self._heard_at < self._silence_sec:
                    continue
                if self._is_reading:
                    raise SourceUnreachable(
                        f"The source did not send what it was asked for within {self._silence_sec:.0f} s: try later."
                    ) from self._read_error
                raise SandboxTimeout(
                    f"The media process said nothing for {self._silence_sec:.0f} s and was stopped."
                ) from self._read_error
        if not isinstance(message, Exception):
            return message
        if self._read_error is not None:
            raise self._read_error
        raise SandboxCrashed(f"The media process died ({self._exit_reason()}).") from message

    def _check_total(self) -> None:
        if time.monotonic() - self._began_at > self._total_sec:
            raise SandboxTimeout(
                f"Looking at the video took more than {self._total_sec:.0f} s: its source is too slow, or too large to "
                "be read without an index."
            )

    def kill(self) -> None:
        """Ends the child at once; whoever waits for it hears that it died."""
        if self._process.poll() is None:
            self._process.kill()

    def _exit_reason(self) -> str:
        try:
            code = self._process.wait(timeout=EXIT_GRACE_SEC)
        except subprocess.TimeoutExpired:
            return "it broke its protocol"
        if code < 0:
            return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        self._stderr.seek(max(0, self._stderr.seek(0, os.SEEK_END) - STDERR_TAIL_BYTES))
        last_line = (self._stderr.read(STDERR_TAIL_BYTES).decode(errors="replace").strip().splitlines() or [""])[-1]
        return f"exit code {code}: {_plain(last_line)[:200]}"

    def _receive(self) -> None:
        try:
            while True:
                self._put(wire.receive_message(self._messages_sock))
        except (wire.WireClosed, OSError, ValueError, RecursionError, MemoryError) as error:
            self._put(error)

    def _put(self, item: dict[str, Any] | Exception) -> None:
        while not self._left.is_set():
            try:
                return self._inbox.put(item, timeout=0.5)
            except queue.Full:
                continue

    def _serve_bytes(self) -> None:
        try:
            while True:
                offset, length = wire.REQUEST.unpack(wire.receive_exactly(self._bytes_sock, wire.REQUEST.size))
                self._bytes_sock.sendall(self._answer(offset, min(length, wire.MAX_READ_BYTES)))
        except (wire.WireClosed, OSError):
            return

    def _answer(self, offset: int, length: int) -> bytes:
        self._is_reading = True
        try:
            data = self._reader.read_at(offset, length)
            self._heard_at = time.monotonic()
        except Exception as error:  # noqa: BLE001 - crosses to the consuming thread, which raises it
            self._read_error = error
            return wire.LENGTH.pack(wire.READ_FAILED)
        finally:
            self._is_reading = False
        return wire.LENGTH.pack(len(data)) + data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        _living.discard(self)
        self.kill()
        self._process.wait()
        for sock in (self._bytes_sock, self._messages_sock):
            with contextlib.suppress(OSError):  # the child hung up first
                sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that is blocked in recv
            sock.close()
        for thread in self._threads:
            thread.join(timeout=EXIT_GRACE_SEC)
        self._stderr.close()
        self._scratch.cleanup()


_living: weakref.WeakSet[MediaProcess] = weakref.WeakSet()


def end_all() -> None:
    """Ends every child of this process: it is about to end itself, and leaves no context manager."""
    for process in list(_living):
        process.kill()


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


def _plain(words: str) -> str:
    """The child chooses them: no control character (PostgreSQL refuses NUL), no surrogate, not many."""
    return "".join(char if char.isprintable() else "?" for char in words[:MAX_WORDS])
