"""The keys that this process was shown lately, so that not every request asks the database."""

from __future__ import annotations

import hmac
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from backend.access.keys import StoredKey, digest, id_in, key_of_session, key_with, note_use
from backend.db.engine import Database
from backend.errors import KeyExpired, KeyInvalid, KeyRevoked

# A revocation holds within five seconds, the time of the look-up included.
FRESH_SEC = 3.0
MAX_KEPT = 10_000
INVALID = "This key opens nothing here: check that it is whole, or ask for a new one (framefleet keys create NAME)."
_NO_KEY = digest("")  # what the secret of a key that there is not is compared with


@dataclass(frozen=True)
class Seen:
    """What the database said of a key, and when by our clock."""

    at: float
    key: StoredKey | None

    def is_over(self, now: float) -> bool:
        left_sec = self.key.left_sec if self.key is not None else None
        return left_sec is not None and now - self.at >= left_sec


@dataclass
class KeyRing:
    """Thread-safe. A stranger learns nothing from it: whatever is wrong with a key that nobody has, the words, and the
    way to them, are the same."""

    database: Database
    clock: Callable[[], float] = time.monotonic
    most: int = MAX_KEPT
    _seen: OrderedDict[str, Seen] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return len(self._seen)

    def key_of(self, token: str) -> StoredKey:
        """Raises KeyInvalid; KeyExpired and KeyRevoked only to who has the whole key; DatabaseUnavailable."""
        key_id = id_in(token)
        if key_id is None:
            raise KeyInvalid(INVALID)
        seen = self._look(key_id, lambda: key_with(self.database, key_id))
        known = seen.key.secret_sha256 if seen.key is not None else _NO_KEY
        if not hmac.compare_digest(digest(token), known) or seen.key is None:
            raise KeyInvalid(INVALID)
        return self._in_force(seen, seen.key)

    def key_of_session(self, token: str) -> StoredKey:
        """Raises KeyInvalid, KeyExpired, KeyRevoked, DatabaseUnavailable."""
        seen = self._look(_session(token), lambda: key_of_session(self.database, token))
        if seen.key is None:
            raise KeyInvalid("You are signed out: sign in again with a key.")
        return self._in_force(seen, seen.key)

    def knows(self, token: str, *, is_session: bool) -> bool:
        """Whether it was a key, or a session, when it was last looked up; without asking anybody."""
        key_id = None if is_session else id_in(token)
        with self._lock:
            seen = self._seen.get(_session(token) if is_session else key_id or "")
        if seen is None or seen.key is None:
            return False
        return is_session or hmac.compare_digest(digest(token), seen.key.secret_sha256)

    def forget_session(self, token: str) -> None:
        with self._lock:
            self._seen.pop(_session(token), None)

    def _in_force(self, seen: Seen, key: StoredKey) -> StoredKey:
        if key.is_revoked:
            raise KeyRevoked("This key was revoked: ask for a new one (framefleet keys create NAME).")
        if seen.is_over(self.clock()):
            raise KeyExpired("This key is over: ask for a new one (framefleet keys create NAME).")
        if not key.is_noted:
            note_use(self.database, key.id)
        return key

    def _look(self, name: str, ask: Callable[[], StoredKey | None]) -> Seen:
        """What is not there is remembered too: to ask again would take longer, and so tell of it."""
        now = self.clock()
        with self._lock:
            seen = self._seen.get(name)
        if seen is not None and now - seen.at < FRESH_SEC:
            return seen
        seen = Seen(now, ask())  # by the clock before the question: it is no older than this
        with self._lock:
            self._seen[name] = seen
            self._seen.move_to_end(name)
            while len(self._seen) > self.most:
                self._seen.popitem(last=False)
        return seen


def _session(token: str) -> str:
    """What it is remembered under: longer than the id of any key."""
    return digest(token)
