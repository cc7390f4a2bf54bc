"""Runs one media operation in a child process: a crash, a hang or a picture bomb ends the child, never the worker.

The child has no credentials and no store: its environment is bare, it asks the parent for bytes and tells what it
found in JSON. Sampled frames come through shared memory. It closes itself in before it parses anything: see
backend/media/jail/.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from backend.errors import MediaTooCostly, SandboxCrashed, SandboxTimeout, SourceUnreachable
from backend.media import wire
from backend.media.answers import error_of, plain
from backend.media.jail import process as jail_process
from backend.media.limits import Limits
from backend.media.ring import FrameRing
from backend.media.scratch import empty_folder
from backend.media.starter import Starter, start_child

SCRATCH_PREFIX = "framefleet-media-"
EXIT_GRACE_SEC = 5.0
CHECK_EVERY_SEC = 1.0
# Messages that may wait for the parent; past that the child waits, so that it cannot fill the parent's memory.
QUEUED_MESSAGES = 64
STDERR_BYTES = 64 * 2**10  # as much as a pipe holds
COSTLY = "The video takes more processor time than MEDIA_CPU_SECONDS allows: cut it into shorter ones, or raise that."


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


class MediaProcess:
    """A child that runs one operation of backend.media.child. Use as a context manager; leaving it ends the child."""

    def __init__(
        self,
        operation: str,
        params: Mapping[str, Any],
        reader: ByteReader,
        limits: Limits,
        *,
        folder: Path | None = None,
        ring: FrameRing | None = None,
        check: Callable[[], None] = lambda: None,
        total_sec: float = float("inf"),
        start: Starter = start_child,
    ) -> None:
        """`folder` is all that the operation may read and write. `check` is called about once a second while the child
        is waited for, and may raise. `total_sec` bounds all of it: bytes that trickle in are a sign of life, but not
        for ever."""
        if sys.platform == "linux":
            jail_process.hide()
        self._reader = reader
        self._silence_sec = limits.silence_sec
        self._check = check
        self._total_sec = total_sec
        self._wall_sec = limits.wall_sec
        self._is_closed_in = False
        self._folder = folder
        self._began_at = time.monotonic()
        self._read_error: Exception | None = None
        self._is_reading = False
        self._inbox: queue.Queue[dict[str, Any] | Exception] = queue.Queue(QUEUED_MESSAGES)
        self._left = threading.Event()
        self._heard_at = time.monotonic()
        with contextlib.ExitStack() as undo:
            self._start(operation, params, limits, ring, start, undo)
            undo.pop_all()
        self._threads = [
            threading.Thread(target=self._serve_bytes, name="media-bytes", daemon=True),
            threading.Thread(target=self._receive, name="media-messages", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        _living.add(self)

    def _start(
        self,
        operation: str,
        params: Mapping[str, Any],
        limits: Limits,
        ring: FrameRing | None,
        start: Starter,
        undo: contextlib.ExitStack,
    ) -> None:
        """Raises SandboxCrashed for a child that is gone before it has its order."""
        self._bytes_sock, child_bytes = socket.socketpair()
        self._messages_sock, child_messages = socket.socketpair()
        # A full pipe keeps the child from filling a disk with what it says, and does not stop it.
        self._stderr, child_stderr = os.pipe()
        # The child is killed as soon as it has said its result: what it leaves there is ours to remove.
        self._scratch = tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX, ignore_cleanup_errors=True)
        undo.callback(self._put_away)
        for end in (self._stderr, child_stderr):
            os.set_blocking(end, False)
        handed = [child_bytes.fileno(), child_messages.fileno(), *([ring.fileno()] if ring else [])]
        try:
            self._process = start(handed, child_stderr, self._scratch.name, own_world=limits.wants_own_world)
        finally:
            child_bytes.close()
            child_messages.close()
            os.close(child_stderr)
        undo.callback(self._process.wait)
        undo.callback(self.kill)
        order = {
            "operation": operation,
            "params": dict(params),
            "size_bytes": self._reader.size_bytes,
            "jail": limits.jail(self._folder).as_json(),
            "ring": {"slots": ring.slots, "slot_bytes": ring.slot_bytes} if ring else None,
        }
        try:
            wire.send_message(self._messages_sock, order)
        except OSError as error:
            raise SandboxCrashed(f"The media process died at its start ({self._exit_reason()}).") from error

    @property
    def _folders(self) -> list[Path]:
        """Where it may write."""
        return [Path(self._scratch.name), *([self._folder] if self._folder else [])]

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
                raise error_of(message, self._folders, is_closed_in=self._is_closed_in)
            if "result" in message:
                if not isinstance(message["result"], dict):
                    raise SandboxCrashed("The media process answered something else than a result.")
                self.result: dict[str, Any] = message["result"]
                return
            if wire.CLOSED_IN in message:
                self._is_closed_in = True
                continue
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
        reason = self._exit_reason()
        if reason == signal.SIGXCPU.name:
            raise MediaTooCostly(COSTLY) from message
        raise SandboxCrashed(f"The media process died ({reason}).") from message

    def _check_total(self) -> None:
        if time.monotonic() - self._began_at > self._total_sec:
            raise SandboxTimeout(
                f"Looking at the video took more than {self._total_sec:.0f} s: its source is too slow, or too large to "
                "be read without an index."
            )
        if time.monotonic() - self._began_at > self._wall_sec:
            raise SandboxTimeout(
                f"The media process worked for more than {self._wall_sec:.0f} s (MEDIA_WALL_SECONDS) and was stopped."
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
        last_line = (self._said().decode(errors="replace").strip().splitlines() or [""])[-1]
        return f"exit code {code}: {plain(last_line)[:200]}"

    def _said(self) -> bytes:
        """What waits in the pipe."""
        try:
            return os.read(self._stderr, STDERR_BYTES)
        except BlockingIOError:
            return b""

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
        for thread in self._threads:
            thread.join(timeout=EXIT_GRACE_SEC)
        self._put_away()

    def _put_away(self) -> None:
        self._bytes_sock.close()
        self._messages_sock.close()
        os.close(self._stderr)
        with contextlib.suppress(OSError):  # what cannot be removed now is a leftover, for the janitor
            empty_folder(Path(self._scratch.name))
        self._scratch.cleanup()


_living: weakref.WeakSet[MediaProcess] = weakref.WeakSet()


def end_all() -> None:
    """Ends every child of this process: it is about to end itself, and leaves no context manager."""
    for process in list(_living):
        process.kill()
