from __future__ import annotations

import boto3
import pytest

from backend.db.engine import Database
from backend.settings import Settings
from tests.integration.kinds.shop import Shop


@pytest.fixture
def shop(database: Database, settings: Settings) -> Shop:
    return Shop(database, settings)


@pytest.fixture
def s3(s3_server: str) -> boto3.client:
    """Of a server that has the bucket `there`."""
    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    client.create_bucket(Bucket="there")
    return client


@pytest.fixture
def s3_shop(s3_server: str, database: Database, settings: Settings) -> Shop:
    return Shop(database, Settings.model_validate(settings.model_dump(exclude_unset=True)))
