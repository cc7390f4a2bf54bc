"""Bearer tokens of OpenID Connect, as a task queue sends them: signed by the issuer, for us, by one service account."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jwt

from backend.errors import CallerRefused, FramefleetError, KeysUnavailable
from backend.events import Event, warn
from backend.settings import Settings
from backend.storage.fetch import fetch_json

ALGORITHMS = ("RS256", "ES256")
LEEWAY_SEC = 30
MAX_TOKEN_CHARACTERS = 8192
KEYS_FRESH_SEC = 3600.0
# While the issuer is away. It may have withdrawn a key meanwhile, so not for ever.
KEYS_KEPT_SEC = 86_400.0
# An unknown key's name makes us look again, but not as often as somebody can make names up.
LOOK_AGAIN_SEC = 30.0
FETCH_SEC = 5.0
MAX_KEYS_BYTES = 256 * 1024


@dataclass
class KeySet:
    """The issuer's public keys by name, fetched when they are needed and kept, a day at most while the issuer is away.
    Thread-safe."""

    url: str
    clock: Callable[[], float] = time.monotonic
    _keys: dict[str, jwt.PyJWK] = field(default_factory=dict)
    _fetched_at: float = float("-inf")
    _tried_at: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def named(self, name: str) -> jwt.PyJWK | None:
        """Raises KeysUnavailable where there are none to look in."""
        with self._lock:
            now = self.clock()
            is_old = now - self._fetched_at > KEYS_FRESH_SEC
            if (is_old or name not in self._keys) and now - self._tried_at > LOOK_AGAIN_SEC:
                self._tried_at = now
                self._renew(now)
            if not self._keys or now - self._fetched_at > KEYS_KEPT_SEC:
                raise KeysUnavailable("The keys of OIDC_JWKS_URL cannot be had now: try again later.")
            return self._keys.get(name)

    def _renew(self, now: float) -> None:
        """Where they cannot be had, the earlier ones stay."""
        try:
            found = fetch_json(self.url, max_bytes=MAX_KEYS_BYTES, timeout_sec=FETCH_SEC)
            keys = jwt.PyJWKSet.from_dict(found).keys
        except (FramefleetError, jwt.PyJWTError, TypeError, AttributeError) as failure:
            why = failure.message if isinstance(failure, FramefleetError) else type(failure).__name__
            warn(Event.KEYS_UNAVAILABLE, message=why)
            return
        self._keys = {key.key_id: key for key in keys if key.key_id and key.algorithm_name in ALGORITHMS}
        self._fetched_at = now


class Bearer:
    """What a caller's token must say."""

    def __init__(self, settings: Settings) -> None:
        """`settings.oidc_audience` must be set."""
        self._settings = settings
        self._keys = KeySet(settings.oidc_jwks_url)

    def check(self, authorization: str) -> None:
        """Raises CallerRefused, which tells nothing of the token; KeysUnavailable."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN_CHARACTERS:
            raise CallerRefused("Send an OIDC token: Authorization: Bearer ….")
        try:
            claims = self._claims(token.strip())
        except jwt.PyJWTError as refusal:
            raise CallerRefused(f"The OIDC token is not accepted ({type(refusal).__name__}).") from None
        account = self._settings.oidc_service_account
        if account is not None and (claims.get("email") != account or claims.get("email_verified") is not True):
            raise CallerRefused("The OIDC token is another account's.")

    def _claims(self, token: str) -> dict[str, Any]:
        key = self._keys.named(str(jwt.get_unverified_header(token).get("kid")))
        if key is None:
            raise jwt.InvalidKeyError("unknown key")
        # A key is for one algorithm: whatever else the header names is refused.
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            audience=self._settings.oidc_audience,
            issuer=self._settings.oidc_issuer,
            leeway=LEEWAY_SEC,
            options={"require": ["exp", "iat", "aud", "iss"]},
        )
        return claims
