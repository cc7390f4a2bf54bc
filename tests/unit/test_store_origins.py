"""The page may reach the one host that our links lead to, and no other bucket beside it."""

from __future__ import annotations

from typing import Any

import pytest

from backend.api.browser_headers import store_origins
from backend.settings import Settings


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ({}, ()),
        ({"storage_url": "s3://films/p", "s3_region": "eu-west-1"}, ("https://films.s3.amazonaws.com",)),
        (
            {"storage_url": "s3://films", "s3_region": "eu-west-1", "s3_addressing_style": "virtual"},
            ("https://films.s3.eu-west-1.amazonaws.com",),
        ),
        ({"storage_url": "s3://films"}, ("https://films.s3.amazonaws.com",)),
        ({"storage_url": "s3://our.films", "s3_region": "eu-west-1"}, ("https://s3.eu-west-1.amazonaws.com",)),
        ({"storage_url": "gs://films"}, ("https://storage.googleapis.com",)),
        (
            {"storage_url": "s3://films", "s3_endpoint_url": "http://127.0.0.1:9000", "s3_addressing_style": "path"},
            ("http://127.0.0.1:9000",),
        ),
        (
            {"storage_url": "s3://films", "s3_endpoint_url": "https://r2.example", "s3_addressing_style": "virtual"},
            ("https://films.r2.example",),
        ),
    ],
)
def test_the_policy_names_the_host_of_our_own_links(given: dict[str, Any], origins: tuple[str, ...]) -> None:
    assert store_origins(Settings.model_validate(given)) == origins
