"""In Kubernetes a busy worker's pod is marked before the claim, an idle one's is not; without the right it works on."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from backend.settings import Settings
from backend.workers.loop import WorkerLoop
from backend.workers.own_pod import MARKS, OwnPod
from backend.workers.scale_in import (
    MAX_PAUSE_SEC,
    UNREACHABLE_PATIENCE_SEC,
    ScaleInProtection,
    Unprotected,
    protection_of,
)
from tests.conftest import Said
from tests.loopback import Request, loopback

POD = "/api/v1/namespaces/films/pods/gpu-worker-7c9f-x2"


@dataclass
class Cluster:
    """A Kubernetes API with one pod. It merges annotations as RFC 7386 says, and refuses as the real one does."""

    tokens: list[str] = field(default_factory=lambda: ["first"])
    forbidden: bool = False
    status: int | None = None  # of a server in trouble
    annotations: dict[str, str] = field(default_factory=dict)
    history: list[bool] = field(default_factory=list)  # after each patch: is the pod marked?

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
        return 200, b'{"kind":"Pod"}'


@dataclass(frozen=True)
class Authority:
    """Signs the certificate of 127.0.0.1, as a cluster's own does."""

    ca_pem: bytes
    server: ssl.SSLContext


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _authority(folder: Path) -> Authority:
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


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return _authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def account(tmp_path: Path, authority: Authority) -> Path:
    """The folder that Kubernetes mounts."""
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "ca.crt").write_bytes(authority.ca_pem)
    return tmp_path


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def api_url(cluster: Cluster, authority: Authority) -> Iterator[str]:
    with loopback(cluster, authority.server) as address:
        yield address


def in_pod(api_url: str, account: Path, **changes: object) -> Settings:
    place = urlsplit(api_url)
    names = {"kubernetes_service_host": place.hostname, "kubernetes_service_port": place.port}
    names |= {"pod_namespace": "films", "pod_name": "gpu-worker-7c9f-x2", "service_account_dir": account}
    return Settings.model_validate({**names, "poll_seconds": 0.01, **changes})


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def protection_at(api_url: str, account: Path, clock: Clock | None = None) -> ScaleInProtection:
    return ScaleInProtection(OwnPod(api_url, "films", POD.rpartition("/")[2], account), 60, clock or Clock())


def test_the_pod_is_marked_before_the_claim_and_not_when_the_worker_is_idle(
    cluster: Cluster, api_url: str, account: Path
) -> None:
    at_claim: list[bool] = []
    left = [True, True]

    def work_once() -> bool:
        at_claim.append(MARKS.items() <= cluster.annotations.items())
        return bool(left and left.pop())

    loop = WorkerLoop("test", work_once, lambda: None, in_pod(api_url, account), has_work=lambda: bool(left))
    assert loop.run(idle_exit_sec=0.3) == 0
    assert len(at_claim) > 2 and all(at_claim)
    assert cluster.history == [True, False]
    assert cluster.annotations == {}


def test_annotations_of_others_stay(cluster: Cluster, api_url: str, account: Path) -> None:
    cluster.annotations = {"prometheus.io/scrape": "true"}
    WorkerLoop("test", lambda: True, lambda: None, in_pod(api_url, account)).run(once=True)
    assert cluster.history == [True, False]
    assert cluster.annotations == {"prometheus.io/scrape": "true"}


def test_marks_of_a_process_that_was_killed_are_taken_away_by_the_next_one_in_the_pod(
    cluster: Cluster, api_url: str, account: Path
) -> None:
    cluster.annotations = dict(MARKS)
    protection = protection_at(api_url, account)
    assert not any(protection.ready(lambda: False) for _ in range(5))
    assert (cluster.annotations, cluster.history) == ({}, [False])


def test_a_worker_without_the_right_works_on_and_says_so_once(
    cluster: Cluster, api_url: str, account: Path, said: list[Said]
) -> None:
    cluster.forbidden = True
    protection = protection_at(api_url, account)
    assert all(protection.ready(lambda: True) for _ in range(5))
    assert [each.event for each in said] == ["scale_in_protection_off"]


def test_a_worker_without_a_token_works_on_and_says_which_folder(
    api_url: str, tmp_path: Path, said: list[Said]
) -> None:
    assert protection_at(api_url, tmp_path).ready(lambda: True)
    (word,) = said
    assert word.event == "scale_in_protection_off" and str(tmp_path) in str(word.fields["message"])


def test_a_token_that_was_changed_is_read_anew(cluster: Cluster, api_url: str, account: Path) -> None:
    clock = Clock()
    protection = protection_at(api_url, account, clock)
    cluster.tokens = ["second"]
    assert not protection.ready(lambda: True)
    (account / "token").write_text("second")
    clock.now += 2 * MAX_PAUSE_SEC
    assert protection.ready(lambda: True)
    assert cluster.history == [True]


@pytest.mark.parametrize("status", [409, 429, 500, 503])
def test_an_api_in_trouble_holds_claims_up_for_a_minute_and_not_for_ever(
    cluster: Cluster, api_url: str, account: Path, status: int
) -> None:
    cluster.status = status
    clock = Clock()
    protection = protection_at(api_url, account, clock)
    assert not protection.ready(lambda: True)
    clock.now += UNREACHABLE_PATIENCE_SEC
    assert protection.ready(lambda: True)
    cluster.status = None
    clock.now += MAX_PAUSE_SEC
    assert protection.ready(lambda: True)
    assert cluster.history == [True]


def test_no_token_goes_to_a_server_that_the_cluster_did_not_sign(
    cluster: Cluster, account: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = _authority(tmp_path_factory.mktemp("stranger"))
    with loopback(cluster, stranger.server) as address:
        assert not protection_at(address, account).ready(lambda: True)
    assert cluster.history == []


def test_a_process_outside_of_a_pod_asks_nobody(api_url: str, account: Path) -> None:
    for missing in ("kubernetes_service_host", "pod_name", "pod_namespace"):
        assert isinstance(protection_of(in_pod(api_url, account, **{missing: None})), Unprotected)
    assert isinstance(protection_of(in_pod(api_url, account, scale_in_protection="off")), Unprotected)
    assert isinstance(protection_of(in_pod(api_url, account)), ScaleInProtection)


def test_an_address_of_version_6_is_written_as_urls_are(account: Path) -> None:
    assert in_pod("https://[fd00::1]:6443", account).kubernetes_api_url == "https://[fd00::1]:6443"


@pytest.mark.parametrize("name", ["a/../../secrets", "A", "a?b", "-a", ""])
def test_what_is_no_name_does_not_get_into_the_url(api_url: str, account: Path, name: str) -> None:
    with pytest.raises(ValidationError):
        in_pod(api_url, account, pod_name=name)
