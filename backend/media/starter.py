"""Starts media processes, by a fork server where the platform has what that takes (Linux)."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from backend.errors import SandboxCrashed

PROJECT = Path(__file__).resolve().parents[2]
KEPT_ENVIRONMENT = (
    "PATH",
    "PYTHONPATH",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "PYTHONDONTWRITEBYTECODE",
)
# A server that is frozen, or whose machine swaps; a new one is started then.
ANSWER_SEC = 30.0
TRIES = 2


class Child(Protocol):
    """What `subprocess.Popen` shows of a process, as far as it is asked."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, negative for a signal. Raises subprocess.TimeoutExpired."""
        ...

    def kill(self) -> None: ...


class Starter(Protocol):
    def __call__(self, handed: Sequence[int], stderr_fd: int, scratch: str, *, own_world: bool) -> Child: ...


def start_child(handed: Sequence[int], stderr_fd: int, scratch: str, *, own_world: bool) -> Child:
    """A process of backend.media.child that has `handed` as its descriptors and `scratch` as its TMPDIR; with
    `own_world` in namespaces of its worker's media processes, where that is allowed.

    Raises SandboxCrashed, OSError.
    """
    if hasattr(os, "pidfd_open"):
        return _servers[own_world].start(handed, stderr_fd, scratch)
    return subprocess.Popen(
        [sys.executable, "-m", "backend.media.child", *map(str, handed)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr_fd,
        pass_fds=handed,
        env=bare_environment() | {"TMPDIR": scratch},
        start_new_session=True,  # a Ctrl-C at the terminal is the parent's to handle
    )


def bare_environment() -> dict[str, str]:
    """No credentials and no addresses of our own parts reach the process that parses hostile bytes."""
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PROJECT), kept.get("PYTHONPATH")]))
    # NumPy's BLAS and OpenCV would each start a thread per core beside the decoder's own.
    kept |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return kept


class ForkedChild:
    """A child of the fork server. The server alone may wait for it; it tells the exit status."""

    def __init__(self, pid: int, pidfd: int, status_fd: int) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self._status_fd = status_fd
        self._code: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("media process", timeout or 0.0)
        return code

    def kill(self) -> None:
        with self._lock:
            if self._code is None:
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _ended(self, timeout_sec: float | None) -> int | None:
        poll = select.poll()
        poll.register(self._status_fd, select.POLLIN)
        with self._lock:
            if self._code is None and poll.poll(None if timeout_sec is None else timeout_sec * 1000):
                said = os.read(self._status_fd, 16)
                self._code = int(said) if said else -signal.SIGKILL  # else the server died, and it with the server
                os.close(self._status_fd)
                os.close(self._pidfd)
            return self._code


class ForkServer:
    """The one of this process; started with the first child, and again when it died."""

    def __init__(self, module: str = "backend.media.fork_server", *, own_world: bool = True) -> None:
        self._command = [sys.executable, "-m", module]
        self._options = ["own-world"] if own_world else []
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._owner_pid = 0  # who started it: a fork of ours has a copy of all this, and needs a server of its own

    def start(self, handed: Sequence[int], stderr_fd: int, scratch: str) -> ForkedChild:
        """Raises SandboxCrashed when no server answers, OSError."""
        status_fd, told_fd = os.pipe()
        try:
            pid, pidfd = self._forked([told_fd, stderr_fd, *handed], scratch)
        except BaseException:
            os.close(status_fd)
            raise
        finally:
            os.close(told_fd)
        return ForkedChild(pid, pidfd, status_fd)

    def _forked(self, fds: list[int], scratch: str) -> tuple[int, int]:
        request = json.dumps({"scratch": scratch}).encode()
        with self._lock:
            for _ in range(TRIES):
                control = self._living()
                try:
                    socket.send_fds(control, [request], fds)
                    said, pidfds, _, _ = socket.recv_fds(control, 64, 1)
                except OSError:  # it died, or does not answer
                    said, pidfds = b"", []
                if pidfds:
                    return int(said), pidfds[0]
                if said:  # it lives, and so do its children: it could not fork, or we have no descriptor left
                    break
                self._give_up()
        raise SandboxCrashed("No media process could be started; is the machine out of memory or processes?")

    def _living(self) -> socket.socket:
        """The control socket of a server that was started and not given up."""
        if self._control is not None and self._owner_pid == os.getpid():
            return self._control
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.settimeout(ANSWER_SEC)
        with theirs:
            self._process = subprocess.Popen(
                [*self._command, str(theirs.fileno()), *self._options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=bare_environment(),
                start_new_session=True,  # a Ctrl-C at the terminal is ours to handle
            )
        self._control, self._owner_pid = control, os.getpid()
        return control

    def _give_up(self) -> None:
        """Its children end with it."""
        if self._control is not None and self._process is not None:
            self._control.close()
            self._process.kill()
            self._process.wait()
        self._control = self._process = None


_servers = {own_world: ForkServer(own_world=own_world) for own_world in (True, False)}
