"""In Kubernetes a busy worker's pod is marked before the claim, an idle one's is not; without the right it works on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
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
from tests.fake_kubernetes import POD, Authority, Cluster, make_authority, mount_account
from tests.loopback import loopback


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def account(tmp_path: Path, authority: Authority) -> Path:
    """The folder that Kubernetes mounts."""
    return mount_account(tmp_path, authority)


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
    stranger = make_authority(tmp_path_factory.mktemp("stranger"))
    with loopback(cluster, stranger.server) as address:
        assert not protection_at(address, account).ready(lambda: True)
    assert cluster.history == []


def test_a_process_outside_of_a_pod_asks_nobody(api_url: str, account: Path) -> None:
    for missing in ("kubernetes_service_host", "pod_name", "pod_namespace"):
        assert isinstance(protection_of(in_pod(api_url, account, **{missing: None})), Unprotected)
    assert isinstance(protection_of(in_pod(api_url, account, scale_in_protection="off")), Unprotected)
    assert isinstance(protection_of(in_pod(api_url, account)), ScaleInProtection)


def test_a_pod_is_known_by_what_kubernetes_and_the_manifest_set(
    cluster: Cluster, api_url: str, account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = urlsplit(api_url)
    for name, value in {
        "KUBERNETES_SERVICE_HOST": place.hostname,
        "KUBERNETES_SERVICE_PORT": str(place.port),
        "POD_NAME": POD.rpartition("/")[2],
        "POD_NAMESPACE": "films",
        "SERVICE_ACCOUNT_DIR": str(account),
    }.items():
        monkeypatch.setenv(name, str(value))
    assert protection_of(Settings()).ready(lambda: True)
    assert cluster.history == [True]


def test_an_address_of_version_6_is_written_as_urls_are(account: Path) -> None:
    assert in_pod("https://[fd00::1]:6443", account).kubernetes_api_url == "https://[fd00::1]:6443"


@pytest.mark.parametrize("name", ["a/../../secrets", "A", "a?b", "-a", ""])
def test_what_is_no_name_does_not_get_into_the_url(api_url: str, account: Path, name: str) -> None:
    with pytest.raises(ValidationError):
        in_pod(api_url, account, pod_name=name)
