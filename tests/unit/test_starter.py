"""Media processes come from a fork server: what it says of their ends, and what happens when it dies itself."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from backend.media import starter, wire
from backend.media.limits import Limits
from backend.media.starter import ForkedChild, ForkServer

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux has a fork server of media processes")


class Started:
    """A child that was given no order yet, and our ends of its two channels."""

    def __init__(self, server: ForkServer, scratch: Path) -> None:
        self.bytes_sock, child_bytes = socket.socketpair()
        self.messages_sock, child_messages = socket.socketpair()
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115
        with child_bytes, child_messages:
            handed = [child_bytes.fileno(), child_messages.fileno()]
            self.child: ForkedChild = server.start(handed, self.stderr.fileno(), str(scratch))

    def order(self, operation: str) -> None:
        jail = Limits(silence_sec=60, memory_bytes=2**33).jail(None).as_json()
        order = {"operation": operation, "params": {}, "size_bytes": 0, "jail": jail, "ring": None}
        wire.send_message(self.messages_sock, order)

    def close(self) -> None:
        self.child.kill()
        self.child.wait(60)
        for each in (self.bytes_sock, self.messages_sock, self.stderr):
            each.close()


@pytest.fixture
def server() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server._give_up()


@pytest.fixture
def started(server: ForkServer, tmp_path: Path) -> Iterator[Started]:
    started = Started(server, tmp_path)
    yield started
    started.close()


def the_server() -> psutil.Process:
    """Of the server under test: this process's youngest child."""
    return max(psutil.Process().children(), key=psutil.Process.create_time)


def test_a_child_that_ends_by_itself_tells_its_exit_status(started: Started) -> None:
    assert started.child.poll() is None
    started.order("nothing of the kind")
    assert "knows no operation" in wire.receive_message(started.messages_sock)["message"]
    assert started.child.wait(60) == 0
    assert started.child.poll() == 0


def test_a_child_whose_orders_are_cut_off_ends_with_a_trace_of_its_own(started: Started) -> None:
    started.messages_sock.shutdown(socket.SHUT_RDWR)
    assert started.child.wait(60) == 1
    started.stderr.seek(0)
    assert started.stderr.read().strip().splitlines()[-1].endswith(b"WireClosed")


def test_a_killed_child_tells_the_signal(started: Started) -> None:
    os.kill(started.child.pid, signal.SIGSEGV)
    assert started.child.wait(60) == -signal.SIGSEGV
    started.child.kill()  # of one that is over: nothing happens


def test_a_child_holds_nothing_but_what_it_was_handed(started: Started) -> None:
    theirs = Path(f"/proc/{started.child.pid}")
    environment = dict(line.split(b"=", 1) for line in (theirs / "environ").read_bytes().split(b"\0") if line)
    assert {name.decode() for name in environment} <= set(starter.bare_environment())
    # Standard input, output and error, the two channels; it closes the server's first of all.
    wait_for(lambda: len(list((theirs / "fd").iterdir())) == 5)


def test_children_beside_each_other_end_each_for_itself(server: ForkServer, tmp_path: Path) -> None:
    first, second = Started(server, tmp_path), Started(server, tmp_path)
    first.close()
    assert second.child.poll() is None
    second.close()


def test_a_server_that_died_takes_its_children_along_and_is_replaced(server: ForkServer, tmp_path: Path) -> None:
    first = Started(server, tmp_path)
    dead = the_server()
    dead.kill()
    assert first.child.wait(60) == -signal.SIGKILL
    second = Started(server, tmp_path)
    assert the_server() != dead
    second.close()
    first.close()


def test_a_server_that_does_not_answer_is_replaced(
    server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Started(server, tmp_path).close()
    frozen = the_server()
    frozen.suspend()
    assert server._control is not None
    server._control.settimeout(0.3)
    second = Started(server, tmp_path)
    assert not frozen.is_running()
    second.close()


def test_children_end_with_the_process_that_asked_for_them(tmp_path: Path) -> None:
    """However it ends: a killed worker leaves no child behind that goes on with its film."""
    asking = f"""
import os, sys, time
sys.argv = ["x"]
from pathlib import Path
from backend.media.limits import Limits
from backend.media.starter import ForkServer
from tests.unit.test_starter import Started
server = ForkServer()
started = Started(server, Path({str(tmp_path)!r}))
print(started.child.pid, flush=True)
time.sleep(60)
"""
    with psutil.Popen([sys.executable, "-c", asking], stdout=-1, text=True) as asker:
        child = psutil.Process(int(asker.stdout.readline()))
        asker.kill()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)
