"""A media process that cannot be started takes nobody along."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

import pytest

from backend.errors import SandboxCrashed
from backend.media.fork_server import Server
from backend.media.starter import ForkServer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fork server is Linux's")
Pair = tuple[ForkServer, threading.Thread]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Who asks, and the server, in a thread."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(5)
    serving = threading.Thread(target=Server(theirs).serve, daemon=True)
    serving.start()
    asking = ForkServer()
    asking._control, asking._owner_pid = ours, os.getpid()
    yield asking, serving
    ours.close()
    serving.join(60)
    theirs.close()


def test_a_server_that_cannot_fork_goes_on_for_the_others(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    asking, serving = pair

    def fork() -> NoReturn:
        raise BlockingIOError(errno.EAGAIN, "too many processes")

    monkeypatch.setattr(os, "fork", fork)
    for _ in range(2):
        with pytest.raises(SandboxCrashed):
            asking.start([], 2, "/")
        assert serving.is_alive()


def test_a_child_for_whose_end_nobody_waits_does_not_end_the_server() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server = Server(theirs)
    read_end, status_fd = os.pipe()
    os.close(read_end)
    child = os.posix_spawn("/bin/true", ["true"], {})
    pidfd = os.pidfd_open(child)
    server._status_fds[pidfd] = status_fd
    server._poll.register(pidfd)
    server._tell_end(pidfd)
    assert server._status_fds == {}
    ours.close()
    theirs.close()


def test_a_server_whose_asker_dies_without_reading_the_answer_ends_in_silence() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.send(b"an answer that nobody reads")
    ours.close()  # with something unread: the other end is reset, and does not merely see the end
    Server(theirs).serve()
    theirs.close()
