"""Results through the client: over a network that breaks, of files that change, from a store that signs links."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from backend.client import Client, Conflict, NotFound, Unreachable
from backend.storage import open_store
from tests.integration.client.conftest import Served
from tests.integration.remote.cut import Network
from tests.loopback import Request, loopback

MIB = 2**20
FILM = os.urandom(6 * MIB)


def test_a_film_is_fetched(served: Served, client: Client, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    target = tmp_path / "film.mp4"
    job_id = served.done_job(FILM)
    assert client.download_output(job_id, target, on_progress=lambda *sizes: told.append(sizes)) == target
    assert target.read_bytes() == FILM
    assert told[-1] == (len(FILM), len(FILM))
    assert list(tmp_path.iterdir()) == [target]


def test_it_goes_on_where_the_network_broke(served: Served, far_client: Client, wire: Network, tmp_path: Path) -> None:
    wire.break_after = [2 * MIB, 2 * MIB]
    told: list[int] = []
    job_id = served.done_job(FILM)
    target = far_client.download_output(job_id, tmp_path / "film.mp4", on_progress=lambda there, _: told.append(there))
    assert target.read_bytes() == FILM
    assert wire.break_after == []
    assert told == sorted(set(told)), "nothing is fetched twice"


def test_a_later_call_goes_on_with_what_an_earlier_one_left(served: Served, wire: Network, tmp_path: Path) -> None:
    job_id, target = served.done_job(FILM), tmp_path / "film.mp4"
    wire.break_after, wire.stays_cut = [2 * MIB], True
    with Client(wire.address, patience_sec=0) as hasty, pytest.raises(Unreachable):
        hasty.download_output(job_id, target)
    assert not target.exists() and len(list(tmp_path.iterdir())) == 1
    wire.mend()
    told: list[int] = []
    with Client(wire.address) as patient:
        patient.download_output(job_id, target, on_progress=lambda there, _: told.append(there))
    assert target.read_bytes() == FILM
    assert told[0] > MIB
    assert list(tmp_path.iterdir()) == [target]


def test_a_film_that_changes_while_it_is_fetched_is_not_mixed(
    served: Served, far_client: Client, wire: Network, tmp_path: Path
) -> None:
    job_id, other = served.done_job(FILM), os.urandom(len(FILM) + 1)
    wire.break_after = [3 * MIB]
    changed = threading.Event()

    def change(there: int, _: int | None) -> None:
        if there > MIB and not changed.is_set():
            changed.set()
            open_store(served.settings).put(f"jobs/{job_id}/output/a_cropped.mp4", other)

    target = far_client.download_output(job_id, tmp_path / "film.mp4", on_progress=change)
    assert changed.is_set() and target.read_bytes() == other


def test_what_is_not_there_leaves_nothing(served: Served, client: Client, tmp_path: Path) -> None:
    with pytest.raises(Conflict):
        client.download_output(served.job(), tmp_path / "film.mp4")
    with pytest.raises(NotFound):
        client.download_file(served.job(), "tracks.json", tmp_path / "tracks.json")
    assert list(tmp_path.iterdir()) == []


def test_a_signed_link_is_followed_without_the_key(tmp_path: Path) -> None:
    asked: list[Request] = []

    def store(request: Request) -> tuple[int, bytes, dict[str, str]]:
        asked.append(request)
        return 200, b"film", {"ETag": '"1"'}

    with loopback(store) as signed:
        api = lambda _: (302, b"", {"Location": f"{signed}/film?signature=x"})  # noqa: E731
        with loopback(api) as address, Client(address, "s3cr3t") as client:
            assert client.download_output("a", tmp_path / "film").read_bytes() == b"film"
    assert [(each.path, each.headers.get("authorization")) for each in asked] == [("/film?signature=x", None)]
