"""Files through the client: in parts over a network that breaks, gone on with, checked, past the API if it can be."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr

from backend.client import Client, NotFound, TransferFailed, Unreachable
from backend.jobs.layout import source_key
from backend.storage import open_store
from backend.storage.s3 import make_client
from tests.integration.client.conftest import Served, listening
from tests.integration.remote.cut import Network, network

MIB = 2**20
BUCKET = "films"


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "my talk.mp4"
    path.write_bytes(os.urandom(3 * MIB + 7))
    return path


def test_a_file_goes_up_over_a_network_that_breaks_and_becomes_a_job(
    served: Served, far_client: Client, wire: Network, film: Path
) -> None:
    wire.break_after = [MIB, MIB]
    told: list[int] = []
    job = far_client.create_job(file=film, on_progress=lambda sent, _: told.append(sent))
    assert wire.break_after == []
    assert job.input_name == "my talk.mp4"
    assert open_store(served.settings).get(source_key(UUID(job.id))) == film.read_bytes()
    assert told[-1] == film.stat().st_size


def test_a_later_call_goes_on_and_sends_only_what_is_missing(served: Served, wire: Network, film: Path) -> None:
    begun: list[str] = []
    wire.break_after, wire.stays_cut = [2 * MIB], True
    with Client(wire.address, patience_sec=0) as hasty, pytest.raises((Unreachable, TransferFailed)):
        hasty.upload(film, on_begin=begun.append, at_once=2)
    wire.mend()
    with Client(wire.address) as patient:
        assert patient.upload(film, resume=begun[0]) == begun[0]
    assert 0 < wire.carried_bytes < 2 * MIB
    assert open_store(served.settings).get(source_key(UUID(begun[0]))) == film.read_bytes()


def test_another_file_is_not_mixed_in(served: Served, wire: Network, film: Path) -> None:
    begun: list[str] = []
    wire.break_after, wire.stays_cut = [2 * MIB], True
    with Client(wire.address, patience_sec=0) as hasty, pytest.raises((Unreachable, TransferFailed)):
        hasty.upload(film, on_begin=begun.append, at_once=2)
    wire.mend()
    size_bytes = film.stat().st_size
    with Client(wire.address) as client:
        film.write_bytes(os.urandom(size_bytes))
        with pytest.raises(TransferFailed, match="another file"):
            client.upload(film, resume=begun[0])
        film.write_bytes(b"short")
        with pytest.raises(TransferFailed, match="has 5 bytes"):
            client.upload(film, resume=begun[0])
        with pytest.raises(NotFound):
            client.upload(film, resume="00000000-0000-0000-0000-000000000000")
        with pytest.raises(FileNotFoundError):
            client.upload(film.with_name("missing.mp4"))


def test_parts_of_a_bucket_go_past_the_api(served: Served, s3_server: str, tmp_path: Path) -> None:
    client = make_client(served.settings.model_copy(update=s3_settings(s3_server)))
    client.create_bucket(Bucket=BUCKET)
    film = tmp_path / "talk.mp4"
    film.write_bytes(os.urandom(6 * MIB))
    settings = served.settings.model_copy(update=s3_settings(s3_server) | {"storage_url": f"s3://{BUCKET}/fleet"})
    with listening(settings) as address, network(address) as wire, Client(wire.address) as far:
        upload_id = far.upload(film)
    assert wire.carried_bytes < 64 * 1024
    assert open_store(settings).get(source_key(UUID(upload_id))) == film.read_bytes()


def s3_settings(address: str) -> dict[str, object]:
    return {
        "s3_endpoint_url": address,
        "s3_region": "us-east-1",
        "s3_addressing_style": "path",
        "s3_access_key_id": SecretStr("testing"),
        "s3_secret_access_key": SecretStr("testing"),
    }
