"""The guard of http(s) against hostile URLs, resolvers and servers: what is refused, and that nobody was met.

Sources, signed links for results and callbacks go through it alike.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from backend.errors import FramefleetError, MediaTooLarge, OutputUnwritable, SourceUnreachable, UnsupportedInput
from backend.settings import Settings
from backend.storage import open_source
from backend.storage.guard import OwnHosts, parse_target, resolve
from backend.storage.http import HttpSource
from backend.storage.http_put import PutUrl
from backend.storage.post import post_json
from tests.unit.test_http_source import DATA, Handler, Server, ranged, status

PUBLIC = "127.0.0.2"  # plays a public server, through a network of one's own; 127.0.0.1 stays what nobody may meet

HOSTILE = {
    "decimal": "http://2130706433:{port}/v",
    "hexadecimal": "http://0x7f000001:{port}/v",
    "octal": "http://017700000001:{port}/v",
    "short": "http://127.1:{port}/v",
    "shorter": "http://127.0.1:{port}/v",
    "mixed bases": "http://0x7f.1:{port}/v",
    "an octal step": "http://0177.0.0.1:{port}/v",
    "a hexadecimal step": "http://127.0.0.0x1:{port}/v",
    "zero": "http://0:{port}/v",
    "all zeros": "http://0.0.0.0:{port}/v",
    "this network": "http://0.1.2.3:{port}/v",
    "plain loopback": "http://127.0.0.1:{port}/v",
    "other loopback": "http://127.9.9.9:{port}/v",
    "a trailing dot": "http://127.0.0.1.:{port}/v",
    "two trailing dots": "http://127.0.0.1..:{port}/v",
    "localhost": "http://localhost:{port}/v",
    "LOCALHOST": "http://LOCALHOST:{port}/v",
    "localhost with a dot": "http://localhost.:{port}/v",
    "below localhost": "http://a.localhost:{port}/v",
    "localdomain": "http://localhost.localdomain:{port}/v",
    "ip6-localhost": "http://ip6-localhost:{port}/v",
    "a name without a dot": "http://redis:{port}/v",
    "a cloud's metadata": "http://metadata.google.internal:{port}/v",
    "IPv6 loopback": "http://[::1]:{port}/v",
    "IPv6 loopback at length": "http://[0:0:0:0:0:0:0:1]:{port}/v",
    "IPv6 unspecified": "http://[::]:{port}/v",
    "mapped": "http://[::ffff:127.0.0.1]:{port}/v",
    "mapped in hexadecimal": "http://[::ffff:7f00:1]:{port}/v",
    "compatible": "http://[::127.0.0.1]:{port}/v",
    "NAT64": "http://[64:ff9b::7f00:1]:{port}/v",
    "local NAT64": "http://[64:ff9b:1::7f00:1]:{port}/v",
    "6to4": "http://[2002:7f00:1::]:{port}/v",
    "Teredo": "http://[2001:0:7f00:1::]:{port}/v",
    "link-local": "http://[fe80::1]:{port}/v",
    "a zone": "http://[fe80::1%25lo]:{port}/v",
    "a zone unescaped": "http://[fe80::1%lo]:{port}/v",
    "a zone at a public address": "http://[2001:4860:4860::8888%25lo]:{port}/v",
    "unique local": "http://[fd00:ec2::254]:{port}/v",
    "no end of brackets": "http://[::1:{port}/v",
    "no brackets": "http://::1:{port}/v",
    "too many brackets": "http://[[::1]]:{port}/v",
    "a future address": "http://[v1.x]:{port}/v",
    "Azure's host agent": "http://168.63.129.16:{port}/v",
    "the metadata address": "http://169.254.169.254:{port}/v",
    "carrier-grade NAT": "http://100.64.0.1:{port}/v",
    "benchmarks": "http://198.18.0.1:{port}/v",
    "10/8": "http://10.0.0.1:{port}/v",
    "172.16/12": "http://172.16.0.1:{port}/v",
    "192.168/16": "http://192.168.0.1:{port}/v",
    "multicast": "http://224.0.0.1:{port}/v",
    "broadcast": "http://255.255.255.255:{port}/v",
    "a user": "http://example.com@127.0.0.1:{port}/v",
    "a password": "http://a:pw@127.0.0.1:{port}/v",
    "an empty user": "http://@127.0.0.1:{port}/v",
    "a backslash": "http://127.0.0.1:{port}\\@example.com/v",
    "escaped digits": "http://%31%32%37.0.0.1:{port}/v",
    "an escaped letter": "http://%6cocalhost:{port}/v",
    "full-width digits": "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11:{port}/v",
    "circled digits": "http://①②⑦.⓪.⓪.①:{port}/v",
    "ideographic dots": "http://127。0。0。1:{port}/v",
    "a full-width letter": "http://\uff4cocalhost:{port}/v",
    "an account-of sign": "http://exa\u2100mple.com:{port}/v",
    "a bidi override": "http://\u202e1.0.0.721:{port}/v",
    "a tab": "http://127.0.0.1\t:{port}/v",
    "a line break": "http://127.0.0.1:{port}/v\r\nHost: x",
    "a space": "http://127.0.0.1 :{port}/v",
    "a NUL": "http://127.0.0.1:{port}/\0",
    "port 0": "http://example.com:0/v",
    "a port too high": "http://example.com:99999/v",
    "a port below 0": "http://example.com:-1/v",
    "two ports": "http://127.0.0.1:{port}:80/v",
    "a port in words": "http://127.0.0.1:http/v",
    "no host": "http:///v",
    "nothing": "http://",
    "a port alone": "http://:{port}/v",
    "a query alone": "http://?v",
    "one slash": "http:/127.0.0.1:{port}/v",
    "no slash": "http:127.0.0.1:{port}/v",
    "no scheme": "//127.0.0.1:{port}/v",
    "an empty label": "http://a..example:{port}/v",
    "a long label": "http://" + "a" * 64 + ".example:{port}/v",
    "a long host": "http://" + "a." * 127 + "example:{port}/v",
    "a long URL": "http://example.com/" + "a" * 9000,
    "a nested scheme": "http://http://127.0.0.1:{port}/v",
    "a scheme before": "jar:http://127.0.0.1:{port}/v!/a",
    "file": "file:///etc/passwd",
    "ftp": "ftp://127.0.0.1:{port}/v",
    "gopher": "gopher://127.0.0.1:{port}/_v",
    "ldap": "ldap://127.0.0.1:{port}/v",
    "data": "data:text/plain,v",
    "a socket": "http+unix://%2Fvar%2Frun%2Fdocker.sock/v",
}


class Canary:
    """Listens on every address of this machine, and tells who came."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]

    @property
    def was_met(self) -> bool:
        try:
            self._listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    canary = Canary()
    yield canary
    canary.close()


@pytest.fixture
def server() -> Iterator[Server]:
    """At the address that plays a public one."""
    with public_server() as server:
        yield server


@contextmanager
def public_server() -> Iterator[Server]:
    class At(Server):
        def server_bind(self) -> None:
            self.server_address = (PUBLIC, 0)
            super().server_bind()

        def url(self, path: str) -> str:
            return f"http://{PUBLIC}:{self.server_port}{path}"

    with At() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def open_past_the_guard(url: str, **more: Any) -> HttpSource:
    return HttpSource(url, max_bytes=10**6, own_hosts=OwnHosts(f"{PUBLIC}/32"), **more)


@pytest.mark.parametrize("form", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_url_is_refused_and_nobody_is_met(form: str, canary: Canary, tmp_path: Path) -> None:
    url = form.replace("{port}", str(canary.port))
    film = tmp_path / "film"
    film.touch()
    ways: list[Callable[[], object]] = [
        lambda: HttpSource(url, max_bytes=1),
        lambda: PutUrl(url, allow_private=False, stall_sec=1).put_file(film, content_type="video/mp4"),
        lambda: post_json(url, {}, allow_private=False, timeout_sec=1),
    ]
    for way in ways:
        with pytest.raises((UnsupportedInput, OutputUnwritable)) as refusal:
            way()
        assert "pw" not in refusal.value.message
    assert not canary.was_met


def test_the_canary_hears_who_comes(canary: Canary) -> None:
    socket.create_connection(("127.0.0.1", canary.port)).close()
    assert canary.was_met


Resolver = Callable[..., Any]


def resolver(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Answers each question about films.example with the next list, the last one for good. Returns who asked."""
    left, asked = list(answers), []
    real: Resolver = socket.getaddrinfo

    def answer(host: str, port: int, *args: Any, **more: Any) -> Any:
        if host != "films.example":
            return real(host, port, *args, **more)
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


def test_of_mixed_answers_only_public_ones_are_met(
    server: Server, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["/v"] = ranged()
    resolver(monkeypatch, ["127.0.0.1", PUBLIC, "169.254.169.254"])
    source = open_past_the_guard(f"http://films.example:{server.server_port}/v")
    assert source.info.size_bytes == len(DATA)
    target = parse_target(f"http://films.example:{canary.port}/v")
    assert resolve(target, allow_private=False, own_hosts=OwnHosts(f"{PUBLIC}/32")) == [PUBLIC]
    with pytest.raises(UnsupportedInput):
        resolve(target, allow_private=False)


def test_a_name_that_resolves_otherwise_the_second_time_leads_nowhere_else(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was checked is what is connected to; and a new connection is checked anew."""
    server.answers["/v"] = ranged()
    asked = resolver(monkeypatch, [PUBLIC], ["127.0.0.1"])
    with socket.create_server(("127.0.0.1", server.server_port)) as private:
        private.setblocking(False)
        source = open_past_the_guard(f"http://films.example:{server.server_port}/v")
        assert source.read_at(100_000, 10) == DATA[100_000:100_010]
        assert len(asked) == 1, "kept connections and their address need no second answer"
        server.answers["/v"] = status(500)  # makes the link forget where it led
        with pytest.raises((SourceUnreachable, UnsupportedInput)):
            source.read_at(200_000, 10)
        with pytest.raises(UnsupportedInput, match="public internet"):
            source.read_at(200_000, 10)
        assert len(asked) > 1
        with pytest.raises(BlockingIOError):
            private.accept()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:7f00:1]", "2130706433", "10.0.0.1"])
def test_a_redirect_to_a_private_address_is_refused_before_anybody_is_met(
    server: Server, canary: Canary, host: str
) -> None:
    server.answers["/v"] = status(302, Location=f"http://{host}:{canary.port}/secret")
    with pytest.raises(UnsupportedInput) as refusal:
        open_past_the_guard(server.url("/v"))
    assert "secret" not in refusal.value.message
    assert not canary.was_met


def test_a_redirect_takes_nothing_along_but_what_the_first_request_had(server: Server) -> None:
    with public_server() as other:
        server.answers["/v"] = status(302, Location=other.url("/v"), Set_Cookie="a=b")
        other.answers["/v"] = ranged()
        assert open_past_the_guard(server.url("/v?secret=1")).info.size_bytes == len(DATA)
        sent = {name for _, headers in other.requests for name in headers}
        assert sent == {"host", "accept-encoding", "user-agent", "range"}
        assert {headers["host"] for _, headers in other.requests} == {f"{PUBLIC}:{other.server_port}"}


def test_hosts_of_ones_own_are_met_and_no_others(server: Server, canary: Canary) -> None:
    server.answers["/v"] = ranged()
    port = server.server_port
    for listed in (PUBLIC, f"{PUBLIC}:{port}", f" 10.0.0.0/8, {PUBLIC}/32"):
        settings = Settings.model_validate({"http_allowed_hosts": listed})
        assert open_source(server.url("/v"), settings).info.size_bytes == len(DATA)
    for listed in ("", "127.0.0.1", f"{PUBLIC}:{port + 1}", "10.0.0.0/8", "127.0.0.20"):
        settings = Settings.model_validate({"http_allowed_hosts": listed})
        with pytest.raises(UnsupportedInput):
            open_source(server.url("/v"), settings)
    assert not canary.was_met


@pytest.mark.parametrize("listed", ["http://films", "10.0.0.1/8", "a b", "films:port", "films/x"])
def test_what_is_no_host_is_no_setting(listed: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"http_allowed_hosts": listed})


Talk = Callable[[socket.socket, threading.Event], None]


@contextmanager
def talking(talk: Talk) -> Iterator[int]:
    """A server that says what it wants, to one who connects. Gives its port."""
    over = threading.Event()
    with socket.create_server((PUBLIC, 0)) as listener:

        def serve() -> None:
            while not over.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        talk(connection, over)
                    except OSError:  # whoever was there has heard enough
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def many_headers(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not over.is_set():
        connection.sendall(b"X-Bomb: 1\r\n" * 1000)


def one_long_header(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Bomb: ")
    while not over.is_set():
        connection.sendall(b"b" * 65536)


def one_long_chunk_size(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not over.is_set():
        connection.sendall(b"1" * 65536)


def informs_for_ever(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(65536)
    while not over.wait(0.001):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def handshakes_for_ever(connection: socket.socket, over: threading.Event) -> None:
    """The beginning of a TLS record, and then a byte now and then: each starts the socket's timeout anew."""
    connection.sendall(b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb\x03\x03")
    while not over.wait(0.05):
        connection.sendall(b"a")


def endless_body(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not over.is_set():
        connection.sendall(bytes(65536))


@pytest.mark.parametrize(
    ("talk", "scheme", "refusal"),
    [
        (many_headers, "http", SourceUnreachable),
        (one_long_header, "http", SourceUnreachable),
        (one_long_chunk_size, "http", SourceUnreachable),
        (informs_for_ever, "http", SourceUnreachable),
        (handshakes_for_ever, "https", SourceUnreachable),
        (endless_body, "http", MediaTooLarge),
    ],
)
def test_a_server_that_never_ends_is_left(talk: Talk, scheme: str, refusal: type[FramefleetError]) -> None:
    with talking(talk) as port, pytest.raises(refusal):
        open_past_the_guard(f"{scheme}://{PUBLIC}:{port}/v", stall_sec=0.5)


def test_proxies_of_the_environment_are_not_asked(
    server: Server, canary: Canary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
    server.answers["/v"] = ranged()
    assert open_past_the_guard(server.url("/v")).info.size_bytes == len(DATA)
    own, film = OwnHosts(f"{PUBLIC}/32"), tmp_path / "film"
    film.touch()
    with pytest.raises(FramefleetError):  # the server knows no PUT and no POST, and says so itself
        PutUrl(server.url("/v"), allow_private=False, stall_sec=5, own_hosts=own).put_file(film, content_type="a/b")
    with pytest.raises(SourceUnreachable, match="501"):
        post_json(server.url("/v"), {}, allow_private=False, timeout_sec=5, own_hosts=own)
    assert not canary.was_met


def test_a_cut_read_ends_at_once_with_the_words_of_whoever_cut_it(server: Server) -> None:
    from backend.errors import ClaimLost
    from backend.storage.pace import Cutoff

    def drips(handler: Handler) -> None:
        first, last = handler.wanted(len(DATA))
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {first}-{last}/{len(DATA)}")
        handler.send_header("Content-Length", str(last - first + 1))
        handler.end_headers()
        while True:
            handler.wfile.write(b"a")
            time.sleep(0.02)

    server.answers["/v"] = ranged()
    cutoff = Cutoff()
    source = open_past_the_guard(server.url("/v"), cutoff=cutoff)
    server.answers["/v"] = drips
    began = time.monotonic()
    threading.Timer(0.2, cutoff.end, [ClaimLost("cancelled")]).start()
    with pytest.raises(ClaimLost, match="cancelled"):
        source.read_at(100_000, 50_000)
    assert time.monotonic() - began < 20  # its 45 s of patience are not waited for
