"""How long the issuer's keys are kept."""

from __future__ import annotations

import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from backend.api.oidc import KeySet
from backend.errors import KeysUnavailable
from tests.loopback import Request, loopback

HOUR_SEC = 3600.0
PUBLIC = jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)


class Issuer:
    is_away = False
    asked = 0

    def __init__(self, *names: str) -> None:
        self.names = names

    def __call__(self, request: Request) -> tuple[int, bytes]:
        self.asked += 1
        keys = [{**PUBLIC, "kid": name, "use": "sig"} for name in self.names]
        return (503, b"") if self.is_away else (200, json.dumps({"keys": keys}).encode())


def test_keys_of_an_issuer_that_is_away_are_trusted_for_a_day_and_no_longer() -> None:
    now, issuer = [0.0], Issuer("may")
    with loopback(issuer) as address:
        keys = KeySet(f"{address}/keys", clock=lambda: now[0])
        assert keys.named("may") is not None
        issuer.is_away = True
        now[0] = 23.9 * HOUR_SEC
        assert keys.named("may") is not None and issuer.asked == 2
        now[0] = 24.1 * HOUR_SEC
        for _ in range(2):
            with pytest.raises(KeysUnavailable):
                keys.named("may")
        issuer.is_away = False
        now[0] += 60
        assert keys.named("may") is not None


def test_a_key_that_the_issuer_withdrew_is_not_known_after_an_hour() -> None:
    now, issuer = [0.0], Issuer("may", "june")
    with loopback(issuer) as address:
        keys = KeySet(f"{address}/keys", clock=lambda: now[0])
        assert keys.named("may") is not None
        issuer.names = ("june",)
        now[0] = 1.1 * HOUR_SEC
        assert keys.named("may") is None and keys.named("june") is not None
