"""The server's connections with small applications: the loop is turned by hand, so that time can be given."""

from __future__ import annotations

import io
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from gunicorn.config import Config
from werkzeug.exceptions import ClientDisconnected
from werkzeug.wsgi import wrap_file

from backend.api.server import limits
from backend.api.server.channel import Channel
from backend.api.server.listener import Shared, listen
from backend.api.server.loop import Loop
from backend.api.server.room import Room
from backend.storage.local_file import FileSource

KEEPALIVE_SEC = 75.0
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
Environ = dict[str, Any]
Start = Callable[[str, list[tuple[str, str]]], Any]


class Site:
    """A listener on loopback and its clients. `turn` serves until there is nothing more to do for a moment."""

    def __init__(self, application: Any, room: Room | None = None) -> None:
        self.loop = Loop()
        config = Config()
        config.set("threads", 2)
        self.shared = Shared.of(config, room or Room(max_bytes=2**40, min_free_bytes=0))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = self._listening.getsockname()
        listen(application, self._listening, self.shared, self.loop, 100)
        self.clients: list[socket.socket] = []

    def client(self, first: bytes = b"", *, receive_bytes: int | None = None) -> socket.socket:
        sock = socket.socket()
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.connect(self.address)
        sock.setblocking(False)
        self.clients.append(sock)
        if first:
            sock.send(first)
        self.turn()
        return sock

    def wait(self, condition: Callable[[], object], within_sec: float = 60) -> None:
        until = time.monotonic() + within_sec
        while not condition():
            assert time.monotonic() < until
            self.loop.turn(0.005)

    def wait_until_idle(self) -> None:
        self.wait(lambda: self.shared.answers.busy == 0)

    def turn(self, seconds: float = 0.02) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.loop.turn(0.005)

    @property
    def channels(self) -> list[Channel]:
        return [each for each in self.loop.values() if isinstance(each, Channel)]

    def later(self, seconds: float) -> None:
        """As the server's tick would do it after that time."""
        for descriptor, channel in tuple(self.loop.items()):
            if isinstance(channel, Channel):
                channel.check(time.monotonic() + seconds, KEEPALIVE_SEC)
                self.loop.ask(descriptor)
        self.turn()

    def answer(self, sock: socket.socket, ends: bytes = b"", at_least: int = 0, within_sec: float = 60) -> bytes:
        """What comes until the bytes `ends`, or that many, or, where neither is given, the end of the connection."""
        found = b""
        until = time.monotonic() + within_sec
        while time.monotonic() < until:
            self.loop.turn(0.001)
            try:
                part = sock.recv(1 << 20)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                return found
            found += part
            if not part or (ends and found.endswith(ends)) or 0 < at_least <= len(found):
                return found
        pytest.fail(f"no end within {within_sec} s after {found[-200:]!r}")

    def close(self) -> None:
        for sock in self.clients:
            sock.close()
        self.turn()
        self.shared.answers.shutdown(timeout_sec=1)
        self.shared.streams.shutdown(timeout_sec=1)
        self.loop.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Site]]:
    sites: list[Site] = []

    def made(application: Any, room: Room | None = None) -> Site:
        sites.append(Site(application, room))
        return sites[-1]

    yield made
    for site in sites:
        site.close()


def hello(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", [("Content-Length", "5")])
    return [b"hello"]


def echo(environ: Environ, start: Start) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def problem(answer: bytes) -> tuple[int, str]:
    """Its status and code; it must be a whole answer and the last of its connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in head
    assert b"Connection: close" in head
    found = json.loads(body)
    assert int(head.split()[1]) == found["status"]
    return found["status"], found["code"]


# ---- deadlines ----


def test_a_head_that_does_not_come_in_time_is_answered_and_its_connection_ends(serve: Callable[..., Site]) -> None:
    site = serve(hello)
    client = site.client(b"GET / HTTP/1.1\r\nHo")
    site.later(limits.HEAD_SEC - 1)
    assert len(site.channels) == 1
    for _ in range(3):  # another byte now and then is no excuse
        client.send(b"s")
        site.turn()
    site.later(limits.HEAD_SEC + 1)
    assert problem(site.answer(client)) == (408, "request_timeout")


def test_who_connects_and_says_nothing_is_let_go(serve: Callable[..., Site]) -> None:
    site = serve(hello)
    client = site.client()
    site.later(limits.HEAD_SEC + 1)
    assert site.answer(client) == b""


def test_an_idle_connection_is_kept_for_its_time_and_no_longer(serve: Callable[..., Site]) -> None:
    site = serve(hello)
    client = site.client(GET)
    assert site.answer(client, b"hello").startswith(b"HTTP/1.1 200 OK")
    site.later(KEEPALIVE_SEC - 1)
    client.send(GET)
    assert site.answer(client, b"hello").startswith(b"HTTP/1.1 200 OK")
    site.later(KEEPALIVE_SEC + 1)
    assert site.answer(client) == b""


def test_a_body_that_stops_is_answered_and_its_connection_ends(serve: Callable[..., Site]) -> None:
    site = serve(echo)
    client = site.client(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc")
    site.later(limits.BODY_SILENCE_SEC - 1)
    assert len(site.channels) == 1
    site.later(limits.BODY_SILENCE_SEC + 1)
    assert problem(site.answer(client)) == (408, "request_timeout")


def test_a_body_below_the_floor_ends_however_steadily_it_drips() -> None:
    enough = int(100 * limits.MIN_BODY_BYTES_PER_SEC)
    seconds = 100 + limits.BODY_GRACE_SEC
    assert limits.is_too_slow(enough - 1, seconds, 1.0)
    assert not limits.is_too_slow(enough, seconds, 1.0)
    assert not limits.is_too_slow(0, limits.BODY_GRACE_SEC, 1.0)


def test_a_large_body_that_stops_frees_the_thread_that_reads_it(serve: Callable[..., Site]) -> None:
    ends: list[type[Exception]] = []

    def reads(environ: Environ, start: Start) -> Iterable[bytes]:
        try:
            environ["wsgi.input"].read()
        except ClientDisconnected as gone:
            ends.append(type(gone))
            start("400 BAD", [("Content-Length", "0")])
        return []

    site = serve(reads)
    client = site.client(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
    pipe = site.channels[0].requests[0].pipe
    site.wait(lambda: pipe._waiting_since is not None)
    site.later(limits.BODY_SILENCE_SEC - 1)
    assert ends == []
    site.later(limits.BODY_SILENCE_SEC + 1)
    assert site.answer(client).startswith(b"HTTP/1.1 400 BAD")
    assert ends == [ClientDisconnected]


def test_a_client_that_hangs_up_frees_the_thread_that_reads_its_body(serve: Callable[..., Site]) -> None:
    ends: list[type[Exception]] = []

    def reads(environ: Environ, start: Start) -> Iterable[bytes]:
        try:
            environ["wsgi.input"].read()
        except ClientDisconnected as gone:
            ends.append(type(gone))
            start("400 BAD", [("Content-Length", "0")])
        return []

    site = serve(reads)
    site.client(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab").close()
    site.wait(lambda: not site.channels and ends)
    assert ends == [ClientDisconnected]


def file_of(path: Path, start_byte: int = 0) -> Any:
    def send(environ: Environ, start: Start) -> Iterable[bytes]:
        source = FileSource(path)
        size = source.info.size_bytes
        start("200 OK", [("Content-Length", str(size - start_byte))])
        return wrap_file(environ, cast(Any, source.window(start_byte, size)))

    return send


def test_a_download_that_nobody_reads_ends_and_one_that_is_read_slowly_does_not(
    serve: Callable[..., Site], tmp_path: Path
) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(os.urandom(16 * 2**20))
    site = serve(file_of(film))
    reading, idle = site.client(GET, receive_bytes=2**18), site.client(GET, receive_bytes=2**18)
    site.turn(0.3)  # until the system takes no more of it
    site.later(0)
    site.later(limits.UNREAD_SEC - 1)
    assert len(site.channels) == 2
    for channel in site.channels:  # as if that time had passed
        channel._unread_since = channel._active_at = time.monotonic() - limits.UNREAD_SEC
    head = site.answer(reading, at_least=8 * 2**20)
    site.later(1)
    assert len(site.channels) == 1
    assert len(site.answer(idle)) < 16 * 2**20  # what the system had taken of it, and the end
    assert len(head + site.answer(reading, at_least=16 * 2**20 - len(head))) > 16 * 2**20


def test_a_file_is_sent_whole_without_a_thread_and_a_part_of_it_too(serve: Callable[..., Site], tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(os.urandom(5 * 2**20 + 17))
    for start in (0, 2**20 + 3):
        site = serve(file_of(film, start))
        again = site.client(GET)
        for _ in range(2):  # the connection stays
            assert read_whole(site, again) == film.read_bytes()[start:]
            again.send(GET)
        slow = [site.client(GET, receive_bytes=2**18) for _ in range(4)]  # twice as many as there are threads
        site.turn(0.1)
        site.wait_until_idle()
        for client in slow:
            assert read_whole(site, client) == film.read_bytes()[start:]


def read_whole(site: Site, client: socket.socket) -> bytes:
    found = b""
    length = None
    until = time.monotonic() + 60
    while length is None or len(found) < length:
        assert time.monotonic() < until
        site.loop.turn(0.001)
        try:
            found += client.recv(1 << 20)
        except BlockingIOError:
            continue
        if length is None and b"\r\n\r\n" in found:
            head, _, found = found.partition(b"\r\n\r\n")
            length = next(int(line.split()[1]) for line in head.splitlines() if line.startswith(b"Content-Length"))
    return found


def test_a_file_that_changes_while_it_is_sent_is_not_ended_as_if_it_were_whole(
    serve: Callable[..., Site], tmp_path: Path
) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(bytes(16 * 2**20))
    site = serve(file_of(film))
    client = site.client(GET, receive_bytes=4096)
    with film.open("r+b") as file:
        file.truncate(2**20)
    assert len(site.answer(client)) < 16 * 2**20


# ---- bodies ----


@pytest.mark.parametrize("size_bytes", [0, 1, limits.MEMORY_BODY_BYTES + 1, limits.SPOOLED_BODY_BYTES + 70_000])
def test_bodies_of_every_size_arrive_whole(serve: Callable[..., Site], size_bytes: int) -> None:
    lengths: list[tuple[int, bytes]] = []

    def takes(environ: Environ, start: Start) -> Iterable[bytes]:
        read, last = 0, b""
        while part := environ["wsgi.input"].read(100_000):
            read, last = read + len(part), part[-1:]
        lengths.append((read, last))
        start("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    site = serve(takes)
    client = site.client(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size_bytes)
    body = io.BytesIO(bytes(max(0, size_bytes - 1)) + b"z"[:size_bytes])
    while part := body.read(1 << 20):
        while part:
            try:
                part = part[client.send(part) :]
            except BlockingIOError:
                site.loop.turn(0.001)
    assert b"200 OK" in site.answer(client, b"ok")
    assert lengths == [(size_bytes, b"z"[:size_bytes])]
    site.wait(lambda: site.shared.room.promised_bytes == 0)


def test_chunks_become_one_body_and_the_connection_ends_after_it(serve: Callable[..., Site]) -> None:
    site = serve(echo)
    client = site.client(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.send(b"3\r\nabc\r\n")
    site.turn()
    client.send(b"2;x=y\r\nde\r\n0\r\n\r\nGET / HTTP/1.1\r\n")
    answer = site.answer(client)
    assert answer.endswith(b"\r\n\r\nabcde")
    assert b"Connection: close" in answer


def test_a_body_is_asked_for_only_when_the_application_wants_it(serve: Callable[..., Site]) -> None:
    def chooses(environ: Environ, start: Start) -> Iterable[bytes]:
        return echo(environ, start) if environ["PATH_INFO"] == "/wanted" else hello(environ, start)

    site = serve(chooses)
    head = b"POST /%s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    client = site.client(head % b"wanted")
    assert site.answer(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"3\r\nabc\r\n0\r\n\r\n")
    assert site.answer(client).endswith(b"abc")
    refused = site.answer(site.client(head % b"refused"))
    assert refused.startswith(b"HTTP/1.1 200 OK")
    assert b"100 Continue" not in refused


def test_an_answer_before_the_end_of_the_body_reaches_who_is_still_sending(serve: Callable[..., Site]) -> None:
    site = serve(hello)
    client = site.client(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 90000000\r\n\r\n")
    for _ in range(40):
        try:
            client.send(bytes(100_000))
        except BlockingIOError:
            site.turn(0.002)
    assert site.answer(client).endswith(b"hello")


def test_no_more_large_bodies_are_read_at_once_than_there_are_threads_for(serve: Callable[..., Site]) -> None:
    site = serve(echo)
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab"
    held = [site.client(head) for _ in range(limits.STREAMING_THREADS)]
    refused = site.answer(site.client(head))
    assert problem(refused) == (503, "server_busy")
    assert b"Retry-After: 10" in refused
    assert b"hello" not in site.answer(site.client(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok"), b"ok")
    held[0].send(b"c\r\n0\r\n\r\n")
    assert site.answer(held[0]).endswith(b"abc")
    again = site.client(head)
    again.send(b"c\r\n0\r\n\r\n")
    assert site.answer(again).endswith(b"abc")


def test_a_body_that_there_is_no_room_for_is_refused_before_it_is_sent(serve: Callable[..., Site]) -> None:
    site = serve(echo, Room(max_bytes=3_000_000, min_free_bytes=0))
    head = b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    first = site.client(head % 2_000_000)
    assert site.answer(first, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert problem(site.answer(site.client(head % 2_000_000))) == (507, "storage_full")
    first.close()
    site.wait(lambda: site.shared.room.promised_bytes == 0)
    assert site.answer(site.client(head % 2_000_000), b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_the_last_of_the_disk_is_not_promised(serve: Callable[..., Site]) -> None:
    site = serve(echo, Room(max_bytes=2**40, min_free_bytes=2**60))
    client = site.client(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
    assert problem(site.answer(client)) == (507, "storage_full")


# ---- what is not HTTP ----

CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
BROKEN = {
    "no request": (b"hello\r\n\r\n", 400),
    "binary": (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
    "an address that is none": (b"GET http://[ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "a length below nothing": (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400),
    "a length of thousands of digits": (
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %s\r\n\r\n" % (b"9" * 9000),
        400,
    ),
    "two lengths": (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "a length and chunks": (CHUNKED[:-2] + b"Content-Length: 4\r\n\r\n", 400),
    "another encoding": (CHUNKED.replace(b"chunked", b"gzip, chunked"), 501),
    "chunks of an older version": (CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n", 400),
    "chunks and a length of an older version": (
        CHUNKED.replace(b"1.1", b"1.0")[:-2] + b"Connection: keep-alive\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + GET,
        400,
    ),
    "an encoding that says nothing, and a length": (
        CHUNKED.replace(b"chunked", b",")[:-2] + b"Content-Length: 5\r\n\r\n12345",
        400,
    ),
    "two hosts of another version": (b"GET / HTTP/1.2\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "a header without a colon": (b"GET / HTTP/1.1\r\nHost: h\r\nnothing\r\n\r\n", 400),
    "a folded header": (b"GET / HTTP/1.1\r\nHost: h\r\nA: b\n c\r\n\r\n", 400),
    "a head without end": (b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"a" * limits.MAX_HEAD_BYTES, 431),
    "a long address": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_request_is_told_so_as_a_problem(serve: Callable[..., Site], case: str) -> None:
    def never(environ: Environ, start: Start) -> Iterable[bytes]:
        raise AssertionError("the application was asked")

    sent, status = BROKEN[case]
    site = serve(never)
    assert problem(site.answer(site.client(sent)))[0] == status


@pytest.mark.parametrize(
    "sent", [b"-1\r\n", b"zz\r\n", b"3;" + b"x" * 5000, b"3\r\nabcXY", b"0\r\n" + b"a: b\r\n" * 3000], ids=repr
)
def test_chunks_that_are_none_end_the_request_and_fill_no_memory(serve: Callable[..., Site], sent: bytes) -> None:
    heard: list[str] = []

    def reads(environ: Environ, start: Start) -> Iterable[bytes]:
        try:
            environ["wsgi.input"].read()
        except ClientDisconnected:
            heard.append("cut")
            start("400 BAD", [("Content-Length", "0")])
            return []
        heard.append("whole")
        return hello(environ, start)

    site = serve(reads)
    client = site.client(CHUNKED)
    client.send(sent)
    assert b" 400 " in site.answer(client).splitlines()[0]
    assert heard == ["cut"]


def test_a_broken_application_shows_nothing_of_itself(serve: Callable[..., Site]) -> None:
    def breaks(environ: Environ, start: Start) -> Iterable[bytes]:
        raise RuntimeError("secret")

    site = serve(breaks)
    answer = site.answer(site.client(GET))
    assert problem(answer) == (500, "internal_error")
    assert b"secret" not in answer and b"Traceback" not in answer and b"Server:" not in answer


# ---- what the application is told ----


def told(serve: Callable[..., Site], head: bytes) -> Environ:
    heard: list[Environ] = []

    def listens(environ: Environ, start: Start) -> Iterable[bytes]:
        heard.append(dict(environ))
        return hello(environ, start)

    site = serve(listens)
    site.answer(site.client(b"GET /a%2Fb?c HTTP/1.1\r\nHost: h\r\n" + head + b"\r\n"), b"hello")
    return heard[0]


def test_the_application_is_told_where_it_listens_and_who_speaks(serve: Callable[..., Site]) -> None:
    environ = told(serve, b"SCRIPT_NAME: /x\r\nX-Forwarded-For: 1.2.3.4\r\n")
    assert (environ["SERVER_NAME"], environ["REMOTE_ADDR"]) == ("127.0.0.1", "127.0.0.1")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["RAW_URI"]) == ("", "/a/b", "/a%2Fb?c")
    assert environ["HTTP_X_FORWARDED_FOR"] == "1.2.3.4"  # callers.py wants to see it


def test_https_is_believed_of_a_proxy_that_is_trusted(serve: Callable[..., Site]) -> None:
    assert told(serve, b"X-Forwarded-Proto: https\r\n")["wsgi.url_scheme"] == "https"
    assert told(serve, b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n")["wsgi.url_scheme"] == "http"
    assert told(serve, b"")["wsgi.url_scheme"] == "http"


def test_https_is_not_believed_of_anybody_else(serve: Callable[..., Site]) -> None:
    schemes: list[str] = []

    def listens(environ: Environ, start: Start) -> Iterable[bytes]:
        schemes.append(environ["wsgi.url_scheme"])
        return hello(environ, start)

    site = serve(listens)
    site.shared.config.set("forwarded_allow_ips", "10.0.0.0/8")
    site.answer(site.client(GET[:-2] + b"X-Forwarded-Proto: https\r\n\r\n"), b"hello")
    assert schemes == ["http"]


def test_a_socket_file_is_no_loopback_address(serve: Callable[..., Site], tmp_path: Path) -> None:
    heard: list[Environ] = []

    def listens(environ: Environ, start: Start) -> Iterable[bytes]:
        heard.append(dict(environ))
        return hello(environ, start)

    site = serve(listens)
    path = str(tmp_path / "api.sock")
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind(path)
        listening.listen()
        listen(listens, listening, site.shared, site.loop, 100)
        client.connect(path)
        client.setblocking(False)
        client.send(GET)
        assert site.answer(client, b"hello")
    assert (heard[0]["SERVER_NAME"], heard[0]["REMOTE_ADDR"]) == (path, "")


def test_an_answer_without_a_body_keeps_the_connection(serve: Callable[..., Site]) -> None:
    def unchanged(environ: Environ, start: Start) -> Iterable[bytes]:
        start("304 NOT MODIFIED", [("ETag", '"a"')])
        return []

    site = serve(unchanged)
    client = site.client(GET)
    for _ in range(3):
        answer = site.answer(client, b"\r\n\r\n")
        assert b"304" in answer and b"Connection" not in answer
        client.send(GET)
    last = site.client(GET[:-2] + b"Connection: close\r\n\r\n")
    assert b"Connection: close" in site.answer(last)


def test_requests_sent_ahead_are_answered_in_their_order(serve: Callable[..., Site]) -> None:
    def names(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [("Content-Length", "2")])
        return [environ["PATH_INFO"].encode()]

    site = serve(names)
    client = site.client(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(9)))
    answer = site.answer(client, b"/8")
    assert [body[:2] for body in answer.split(b"\r\n\r\n")[1:]] == [b"/%d" % number for number in range(9)]


def test_a_body_behind_another_request_is_asked_for_once_that_one_is_answered(serve: Callable[..., Site]) -> None:
    site = serve(echo)
    ahead = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nfirst"
    behind = b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n"
    client = site.client(ahead + behind)
    answer = site.answer(client, b"HTTP/1.1 100 Continue\r\n\r\n")
    assert b"\r\n\r\nfirst" in answer
    client.send(bytes(99_999) + b"z")
    assert site.answer(client, b"z").endswith(bytes(99) + b"z")


def test_requests_that_write_never_take_all_threads(serve: Callable[..., Site]) -> None:
    """Two threads: a write that hangs has one, the next one waits, and whoever reads is answered."""
    goes_on = threading.Event()
    order: list[str] = []

    def writes_slowly(environ: Environ, start: Start) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            assert goes_on.wait(10)
        order.append(environ["PATH_INFO"])
        return hello(environ, start)

    site = serve(writes_slowly)
    post = b"POST /%s HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
    writing = [site.client(post % name) for name in (b"a", b"b", b"c")]
    for path in (b"/read", b"/health"):
        assert site.answer(site.client(GET.replace(b"/ ", path + b" ")), b"hello")
    assert order == ["/read", "/health"]
    goes_on.set()
    for client in writing:
        assert site.answer(client, b"hello")
    assert order[2:] == ["/a", "/b", "/c"]


def test_health_is_asked_for_before_all_that_waits(serve: Callable[..., Site]) -> None:
    goes_on = threading.Event()
    order: list[str] = []

    def reads_slowly(environ: Environ, start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/slow":
            assert goes_on.wait(10)
        order.append(environ["PATH_INFO"])
        return hello(environ, start)

    site = serve(reads_slowly)
    asked = [site.client(GET.replace(b"/ ", path + b" ")) for path in (b"/slow", b"/slow", b"/a", b"/b", b"/health")]
    goes_on.set()
    for client in asked:
        assert site.answer(client, b"hello")
    assert order.index("/health") < order.index("/b")
