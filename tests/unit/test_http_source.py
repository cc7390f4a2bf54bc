"""HttpSource against real servers on loopback, and the guard against addresses that must never be met."""

from __future__ import annotations

import datetime
import ipaddress
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from backend.errors import (
    MediaTooLarge,
    SourceChanged,
    SourceForbidden,
    SourceNotFound,
    SourceUnreachable,
    UnsupportedInput,
)
from backend.settings import Settings
from backend.storage import open_source
from backend.storage.guard import is_public
from backend.storage.http import HttpSource, safe_url

DATA = random.Random(3).randbytes(300_000)
NOT_PUBLIC = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "100.100.100.200", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.0.8", "198.18.0.1",
    "203.0.113.5", "192.88.99.1", "168.63.129.16", "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8",
    "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:1::1", "fe80::1", "fe80::1%1", "fc00::1",
    "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "3fff::1", "100::1",
]  # fmt: skip
Answer = Callable[["Handler"], None]


class Server(ThreadingHTTPServer):
    """Paths answered by functions; keeps the requests it got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def ranges(self, path: str) -> list[str | None]:
        return [headers.get("range") for requested, headers in self.requests if requested.partition("?")[0] == path]


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        answer = self.server.answers.get(self.path.partition("?")[0], status(404))
        answer(self)

    def send(self, code: int, body: bytes = b"", sent: int | None = None, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body[:sent])
        if sent is not None:
            self.close_connection = True

    def wanted(self, size: int) -> tuple[int, int]:
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        return int(first), min(int(last), size - 1)

    def log_message(self, *args: object) -> None:
        pass


def status(code: int, **headers: str) -> Answer:
    return lambda handler: handler.send(code, b"some private answer", **headers)


def ranged(data: bytes = DATA, limit: int = 10**9, **headers: str) -> Answer:
    """A server that knows ranges, and sends at most `limit` bytes of each."""

    def answer(handler: Handler) -> None:
        if not data:
            return handler.send(416, Content_Range="bytes */0", **headers)
        first, last = handler.wanted(len(data))
        last = min(last, first + limit - 1)
        handler.send(206, data[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}", **headers)

    return answer


def whole(data: bytes = DATA, **headers: str) -> Answer:
    return lambda handler: handler.send(200, data, **headers)


def in_turn(*answers: Answer) -> Answer:
    """Each answer once, the last one for good."""
    left = list(answers)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def open_at(server: Server, path: str = "/v.mp4", max_bytes: int = 10**9) -> HttpSource:
    return HttpSource(server.url(path), allow_private=True, max_bytes=max_bytes)


def test_ranges_are_read_and_no_more_than_asked(server: Server) -> None:
    server.answers["/v.mp4"] = ranged(ETag='"v1"')
    source = open_at(server, "/v.mp4?sig=abc")
    assert source.info.size_bytes == len(DATA)
    assert source.info.etag.startswith('"v1" sample-')
    assert source.read_at(100_000, 5000) == DATA[100_000:105_000]
    assert source.read_at(299_990, 10**12) == DATA[-10:]
    assert source.read_at(300_000, 1) == b""
    first, *samples, wanted, last = server.ranges("/v.mp4")
    assert (first, wanted, last) == ("bytes=0-65535", "bytes=100000-104999", "bytes=299990-299999")
    assert samples == ["bytes=117232-182767", "bytes=234464-299999"]
    path, headers = server.requests[0]
    assert path == "/v.mp4?sig=abc"
    assert headers["host"] == f"127.0.0.1:{server.server_port}"
    assert headers["accept-encoding"] == "identity"


def test_first_bytes_are_not_fetched_twice(server: Server) -> None:
    server.answers["/v.mp4"] = ranged()
    source = open_at(server)
    opened = len(server.requests)
    assert source.read_at(0, 65536) == DATA[:65536]
    assert len(server.requests) == opened


def test_host_name_is_kept_while_its_checked_address_is_met(server: Server) -> None:
    server.answers["/v.mp4"] = ranged()
    source = HttpSource(f"http://localhost:{server.server_port}/v.mp4", allow_private=True, max_bytes=10**9)
    assert source.read_at(1, 3) == DATA[1:4]
    assert server.requests[0][1]["host"] == f"localhost:{server.server_port}"


def test_server_that_sends_less_than_asked_is_asked_again(server: Server) -> None:
    server.answers["/v.mp4"] = ranged(limit=7000)
    assert open_at(server).read_at(100, 20_000) == DATA[100:20_100]


def test_server_without_ranges_is_downloaded_once(server: Server) -> None:
    server.answers["/v.mp4"] = whole(ETag='"v1"')
    source = open_at(server)
    assert source.info.size_bytes == len(DATA)
    assert source.read_at(5, 10) == DATA[5:15]
    assert source.read_at(299_000, 5000) == DATA[-1000:]
    assert len(server.requests) == 1


def test_chunked_answer_is_downloaded(server: Server) -> None:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for part in (DATA[:100_000], DATA[100_000:], b""):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    server.answers["/v.mp4"] = answer
    source = open_at(server)
    assert source.read_at(0, 10**9) == DATA
    assert source.info == open_at(server).info  # by content, since the server names no version
    with pytest.raises(MediaTooLarge):
        open_at(server, max_bytes=len(DATA) - 1)


def test_range_answer_without_a_size_is_downloaded(server: Server) -> None:
    def answer(handler: Handler) -> None:
        if "Range" in handler.headers:
            return handler.send(206, DATA[:65536], Content_Range="bytes 0-65535/*")
        handler.send(200, DATA)

    server.answers["/v.mp4"] = answer
    assert open_at(server).read_at(0, 10**9) == DATA


@pytest.mark.parametrize("answer", [whole(b""), ranged(b"")])
def test_empty_file_is_an_empty_source(server: Server, answer: Answer) -> None:
    server.answers["/v.mp4"] = answer
    source = open_at(server)
    assert source.info.size_bytes == 0
    assert source.read_at(0, 10) == b""


@pytest.mark.parametrize("answer", [whole(), ranged()])
def test_larger_than_allowed_is_refused_before_it_is_read(server: Server, answer: Answer) -> None:
    server.answers["/v.mp4"] = answer
    with pytest.raises(MediaTooLarge, match="299999"):
        open_at(server, max_bytes=299_999)


@pytest.mark.parametrize(
    ("before", "after"),
    [({"ETag": '"1"'}, {"ETag": '"2"'}), ({"ETag": '"1"'}, {}), ({"Last_Modified": "Mon"}, {"Last_Modified": "Tue"})],
)
def test_other_version_is_never_read_as_the_first(
    server: Server, before: dict[str, str], after: dict[str, str]
) -> None:
    server.answers["/v.mp4"] = ranged(**before)
    source = open_at(server)
    server.answers["/v.mp4"] = ranged(DATA[:-1] + b"!", **after)
    with pytest.raises(SourceChanged):
        source.read_at(100_000, 10)


def test_other_size_is_another_version(server: Server) -> None:
    server.answers["/v.mp4"] = ranged()
    source = open_at(server)
    server.answers["/v.mp4"] = ranged(DATA + b"more")
    with pytest.raises(SourceChanged):
        source.read_at(100_000, 10)


@pytest.mark.parametrize(
    ("code", "error", "tries"),
    [
        (404, SourceNotFound, 1),
        (410, SourceNotFound, 1),
        (401, SourceForbidden, 1),
        (403, SourceForbidden, 1),
        (400, UnsupportedInput, 1),
        (304, UnsupportedInput, 1),
        (429, SourceUnreachable, 3),
        (500, SourceUnreachable, 3),
        (503, SourceUnreachable, 3),
    ],
)
def test_refusals_by_status_show_neither_query_nor_body(
    server: Server, code: int, error: type[Exception], tries: int
) -> None:
    server.answers["/v.mp4"] = status(code)
    with pytest.raises(error) as caught:
        open_at(server, "/v.mp4?token=hidden")
    assert "/v.mp4" in str(caught.value)
    assert "hidden" not in str(caught.value) and "private answer" not in str(caught.value)
    assert len(server.requests) == tries


def test_passing_trouble_is_survived(server: Server) -> None:
    def broken(handler: Handler) -> None:
        first, last = handler.wanted(len(DATA))
        handler.send(206, DATA[first : last + 1], sent=100, Content_Range=f"bytes {first}-{last}/{len(DATA)}")

    server.answers["/v.mp4"] = in_turn(status(503), broken, ranged(), broken, status(500), ranged())
    assert open_at(server).read_at(100_000, 1000) == DATA[100_000:101_000]


def test_truncated_download_is_no_source(server: Server) -> None:
    server.answers["/v.mp4"] = lambda handler: handler.send(200, DATA, sent=1000)
    with pytest.raises(SourceUnreachable):
        open_at(server)


def test_refused_connection_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SourceUnreachable) as caught:
        HttpSource(f"http://127.0.0.1:{port}/v?token=hidden", allow_private=True, max_bytes=1)
    assert caught.value.retryable and "hidden" not in str(caught.value)


def test_endless_range_answer_is_cut_off(server: Server) -> None:
    def endless(handler: Handler) -> None:
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 0-65535/{len(DATA)}")
        handler.end_headers()
        handler.close_connection = True
        for _ in range(100_000):
            handler.wfile.write(bytes(65536))

    server.answers["/v.mp4"] = in_turn(endless, ranged())
    started = time.monotonic()
    assert open_at(server).info.size_bytes == len(DATA)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("content_range", ["", "bytes 5-10/20", "items 0-1/2", "bytes 0-65535/x"])
def test_answers_about_other_bytes_are_refused(server: Server, content_range: str) -> None:
    server.answers["/v.mp4"] = ranged()
    source = open_at(server)
    server.answers["/v.mp4"] = lambda handler: handler.send(206, b"x", Content_Range=content_range)
    with pytest.raises((UnsupportedInput, SourceUnreachable, SourceChanged)):
        source.read_at(100_000, 10)


def test_compressed_bytes_are_refused(server: Server) -> None:
    server.answers["/v.mp4"] = whole(Content_Encoding="gzip")
    with pytest.raises(UnsupportedInput, match="compressed"):
        open_at(server)


def test_redirects_are_followed_and_remembered(server: Server) -> None:
    server.answers["/start"] = status(302, Location="../deep/next?x=1")
    server.answers["/deep/next"] = status(307, Location=server.url("/v%C3%A9.mp4"))
    server.answers["/v%C3%A9.mp4"] = ranged()
    source = open_at(server, "/start")
    assert source.read_at(100_000, 10) == DATA[100_000:100_010]
    assert len(server.ranges("/start")) == 1
    assert "start" in source.uri


def test_redirect_to_raw_utf8_is_followed(server: Server) -> None:
    server.answers["/start"] = status(302, Location="/vé x.mp4".encode().decode("latin-1"))
    server.answers["/v%C3%A9%20x.mp4"] = ranged()
    assert open_at(server, "/start").info.size_bytes == len(DATA)


def test_redirect_whose_signature_ran_out_is_asked_for_anew(server: Server) -> None:
    server.answers["/start"] = in_turn(status(302, Location="/old"), status(302, Location="/new"))
    server.answers["/old"] = in_turn(ranged(), status(403))
    server.answers["/new"] = ranged()
    assert open_at(server, "/start").read_at(100_000, 10) == DATA[100_000:100_010]


def test_three_redirects_are_followed_and_a_fourth_is_not(server: Server) -> None:
    for number in range(4):
        server.answers[f"/{number}"] = status(301, Location=f"/{number + 1}")
    server.answers["/4"] = ranged()
    assert open_at(server, "/1").info.size_bytes == len(DATA)
    followed = len(server.ranges("/4"))
    with pytest.raises(UnsupportedInput, match="3 times"):
        open_at(server, "/0")
    assert len(server.ranges("/4")) == followed


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://h/x", "http://user:pass@127.0.0.1/x", "http://"])
def test_redirects_to_what_is_not_read_are_refused(server: Server, location: str) -> None:
    server.answers["/v.mp4"] = status(302, Location=location)
    with pytest.raises(UnsupportedInput):
        open_at(server)


def test_private_address_is_never_met(server: Server) -> None:
    server.answers["/v.mp4"] = ranged()
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
        with pytest.raises(UnsupportedInput, match="public internet"):
            HttpSource(f"http://{host}:{server.server_port}/v.mp4", max_bytes=10**9)
    assert server.requests == []
    with pytest.raises(UnsupportedInput):
        open_source(server.url("/v.mp4"), Settings(http_allow_private=False))
    assert open_source(server.url("/v.mp4"), Settings(http_allow_private=True)).info.size_bytes == len(DATA)


@pytest.mark.parametrize(
    "address",
    NOT_PUBLIC,
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2001:4860:4860::8888", "2606:4700::1111"])
def test_public_addresses(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    ["http://", "http:///x", "http://user@h/", "http://user:pw@h/", "http://h:99999/", "http://h/a b", "http://h/\r\nX:1",
     "http://h\\@127.0.0.1/", "http://h/\0", "file:///etc/passwd", "gopher://h/", "http://h/" + "a" * 9000]
)  # fmt: skip
def test_malformed_urls_are_refused(url: str) -> None:
    with pytest.raises(UnsupportedInput) as caught:
        HttpSource(url, allow_private=True, max_bytes=1)
    assert "pw" not in str(caught.value)


def test_proxy_of_the_environment_is_not_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers["/v.mp4"] = ranged()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert open_at(server).info.size_bytes == len(DATA)


@pytest.fixture
def tls_server(server: Server, tmp_path: Path) -> Server:
    """The same server over TLS, with a certificate for `localhost` alone, in tmp_path/cert.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.answers["/v.mp4"] = ranged()
    return server


def test_certificate_is_checked_for_the_name_though_the_address_is_met(
    tls_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"https://localhost:{tls_server.server_port}/v.mp4"
    with pytest.raises(SourceUnreachable, match="certificate"):
        HttpSource(url, allow_private=True, max_bytes=10**9)  # nobody vouches for it yet
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    assert HttpSource(url, allow_private=True, max_bytes=10**9).read_at(5, 3) == DATA[5:8]
    with pytest.raises(SourceUnreachable, match="certificate"):  # trusted, but for another name
        HttpSource(url.replace("localhost", "127.0.0.1"), allow_private=True, max_bytes=10**9)


def test_a_redirect_from_https_to_plain_http_is_not_followed(
    tls_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    port = tls_server.server_port
    tls_server.answers["/plain"] = status(302, Location=f"http://localhost:{port}/v.mp4?token=hidden")
    tls_server.answers["/tls"] = status(302, Location=f"https://localhost:{port}/v.mp4")
    with pytest.raises(UnsupportedInput, match="plain http") as refusal:
        HttpSource(f"https://localhost:{port}/plain", allow_private=True, max_bytes=10**9)
    assert "hidden" not in refusal.value.message
    assert HttpSource(f"https://localhost:{port}/tls", allow_private=True, max_bytes=10**9).info.size_bytes == len(DATA)


def test_threads_share_a_source(server: Server) -> None:
    server.answers["/v.mp4"] = ranged()
    source = open_at(server)
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda at: source.read_at(at, 10_000), range(0, 300_000, 10_000)))
    assert b"".join(parts) == DATA


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://h/p/v.mp4?X-Amz-Signature=s#f", "https://h/p/v.mp4"),
        ("http://user:pw@h:8080/v", "http://h:8080/v"),
        ("http://h/a\r\nb", "http://h/ab"),
        ("http://[::1/x", "(unreadable URL)"),
    ],
)
def test_safe_url_shows_no_secret(url: str, safe: str) -> None:
    assert safe_url(url) == safe


def test_uri_tells_signed_urls_apart_without_showing_them(server: Server) -> None:
    server.answers["/v.mp4"] = ranged()
    first, second = open_at(server, "/v.mp4?id=one"), open_at(server, "/v.mp4?id=two")
    assert first.uri != second.uri
    assert "one" not in first.uri
