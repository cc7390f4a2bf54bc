"""The stores that the one contract suite runs over: a folder, and S3's protocol over a socket."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.settings import Settings
from backend.storage import open_store
from backend.storage.base import ObjectStore
from backend.storage.s3 import make_client
from tests.moto_s3 import moto_server


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    server = moto_server()
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_settings(s3_endpoint: str) -> Settings:
    """Settings of a fresh, empty bucket."""
    bucket = f"bucket-{secrets.token_hex(6)}"
    settings = Settings(
        storage_url=f"s3://{bucket}/some/prefix",
        s3_endpoint_url=s3_endpoint,
        s3_region="us-east-1",
        s3_access_key_id="testing-key",
        s3_secret_access_key="testing-secret",
    )
    make_client(settings).create_bucket(Bucket=bucket)
    return settings


@pytest.fixture
def local_settings(tmp_path: Path) -> Settings:
    return Settings(storage_url=(tmp_path / "some objects").as_uri())


@pytest.fixture(params=["local", "s3"])
def settings(request: pytest.FixtureRequest) -> Settings:
    found: Settings = request.getfixturevalue(f"{request.param}_settings")
    return found


@pytest.fixture
def store(settings: Settings) -> ObjectStore:
    return open_store(settings)
