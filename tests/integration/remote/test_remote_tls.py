"""A token goes only to a server whose certificate this machine trusts, and to no other place that it names."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from backend.errors import InvalidRequest, ServerUnavailable
from backend.workers.remote.server import Server
from backend.workers.remote.transport import HttpTransport
from tests.loopback import Request, loopback

WELCOME = b'{"name": "desk", "lease_seconds": 60, "schema_version": 1}'


def make_certificate(folder: Path) -> Path:
    """For 127.0.0.1, signed by itself; with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fleet")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = folder / "fleet.pem"
    path.write_bytes(
        certificate.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return make_certificate(tmp_path)


@pytest.fixture
def tls_server(certificate: Path, heard: list[str]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.headers["Authorization"])
            self.send_response(200)
            self.send_header("Content-Length", str(len(WELCOME)))
            self.end_headers()
            self.wfile.write(WELCOME)

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def server_at(address: str) -> Server:
    return Server(HttpTransport(address), SecretStr("ff-1-secret"), "desk")


def test_a_server_whose_certificate_nobody_trusts_does_not_get_the_token(tls_server: str, heard: list[str]) -> None:
    with pytest.raises(ServerUnavailable, match="SSL_CERT_FILE"):
        server_at(tls_server).hello()
    assert heard == []


def test_a_certificate_of_ones_own_is_trusted_where_that_is_said(
    tls_server: str, heard: list[str], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert server_at(tls_server).hello().name == "desk"
    assert heard == ["Bearer ff-1-secret"]


def test_a_redirect_gets_no_token(heard: list[str]) -> None:
    def other(request: Request) -> tuple[int, bytes]:
        heard.append(request.headers.get("authorization", ""))
        return 200, WELCOME

    with (
        loopback(other) as elsewhere,
        loopback(lambda request: (307, b"", {"Location": f"{elsewhere}{request.path}"})) as address,
        pytest.raises(ServerUnavailable, match="no framefleet API"),
    ):
        server_at(address).hello()
    assert heard == []


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (502, b"<html>Bad Gateway</html>", ServerUnavailable),
        (404, b"<html>Not Found</html>", InvalidRequest),
        (200, b"<html>Welcome</html>", ServerUnavailable),
        (200, b"[]", ServerUnavailable),
    ],
)
def test_what_is_no_api_of_ours_is_said_in_words(status: int, body: bytes, error: type[Exception]) -> None:
    with loopback(lambda request: (status, body)) as address, pytest.raises(error, match=address):
        server_at(address).hello()
