"""A signed link that takes the result leads to a host that a client chose: it may be slow, and no longer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from backend.errors import StorageError
from backend.storage.http_put import PutUrl

END = b"the end of the result"
Talk = Callable[[socket.socket, threading.Event], None]


@contextmanager
def host(talk: Talk) -> Iterator[str]:
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                talk(connection, over)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/film.mp4?X-Amz-Signature=secret"
        over.set()
        thread.join()


def trickles_its_answer(connection: socket.socket, over: threading.Event) -> None:
    received = b""
    while not received.endswith(END):
        received += connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Name: ")
    while not over.wait(0.05):
        connection.sendall(b"a")


def hardly_reads(connection: socket.socket, over: threading.Event) -> None:
    while not over.wait(0.05):
        connection.recv(1000)


@pytest.mark.parametrize(("talk", "size_bytes"), [(trickles_its_answer, 0), (hardly_reads, 50_000_000)])
def test_a_host_that_keeps_us_waiting_is_left(tmp_path: Path, talk: Talk, size_bytes: int) -> None:
    result = tmp_path / "film.mp4"
    with result.open("wb") as file:
        file.truncate(size_bytes)
        file.seek(size_bytes)
        file.write(END)
    with host(talk) as url, pytest.raises(StorageError, match="try again later") as failure:
        PutUrl(url, allow_private=True, stall_sec=0.4).put_file(result, content_type="video/mp4")
    assert "secret" not in failure.value.message
