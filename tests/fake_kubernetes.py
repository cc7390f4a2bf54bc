"""A Kubernetes API on loopback, over TLS, with one pod in it."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from backend.workers.own_pod import MARKS
from tests.loopback import Request

POD = "/api/v1/namespaces/films/pods/gpu-worker-7c9f-x2"


@dataclass
class Cluster:
    """A Kubernetes API with one pod. It merges annotations as RFC 7386 says, and refuses as the real one does."""

    tokens: list[str] = field(default_factory=lambda: ["first"])
    forbidden: bool = False
    status: int | None = None  # of a server in trouble
    annotations: dict[str, str] = field(default_factory=dict)
    history: list[bool] = field(default_factory=list)  # after each patch: is the pod marked?
    note: Callable[[], Any] = lambda: None  # asked at each patch, and kept in `noted`
    noted: list[Any] = field(default_factory=list)

    def __call__(self, request: Request) -> tuple[int, bytes]:
        if self.status is not None:
            return self.status, b"{}"
        if request.headers.get("authorization") not in {f"Bearer {token}" for token in self.tokens}:
            return 401, b'{"kind":"Status","reason":"Unauthorized"}'
        if self.forbidden or request.path != POD:
            return 403, b'{"kind":"Status","reason":"Forbidden"}'
        assert (request.method, request.headers["content-type"]) == ("PATCH", "application/merge-patch+json")
        patch = json.loads(request.body)
        assert patch.keys() == {"metadata"} and patch["metadata"].keys() == {"annotations"}
        for name, value in patch["metadata"]["annotations"].items():
            assert value is None or isinstance(value, str), "Kubernetes takes text alone"
            self.annotations.pop(name, None)
            if value is not None:
                self.annotations[name] = value
        self.history.append(MARKS.items() <= self.annotations.items())
        self.noted.append(self.note())
        return 200, b'{"kind":"Pod"}'


@dataclass(frozen=True)
class Authority:
    """Signs the certificate of 127.0.0.1, as a cluster's own does."""

    ca_pem: bytes
    server: ssl.SSLContext


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def make_authority(folder: Path) -> Authority:
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)

    def certificate(subject: str, public: ec.EllipticCurvePublicKey, *, is_ca: bool) -> x509.Certificate:
        builder = x509.CertificateBuilder(_named("cluster"), _named(subject), public, x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(hours=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        usage = {"digital_signature": True, "key_cert_sign": is_ca, "crl_sign": is_ca}
        others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
        no = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
        builder = builder.add_extension(x509.KeyUsage(**usage, **no), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        if not is_ca:
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        return builder.sign(ca_key, hashes.SHA256())

    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(private + certificate("api", key.public_key(), is_ca=False).public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return Authority(certificate("cluster", ca_key.public_key(), is_ca=True).public_bytes(pem), context)


def mount_account(folder: Path, authority: Authority) -> Path:
    """What Kubernetes mounts into a pod: a token and the certificate of its authority. Returns the folder."""
    (folder / "token").write_text("first\n")
    (folder / "ca.crt").write_bytes(authority.ca_pem)
    return folder
