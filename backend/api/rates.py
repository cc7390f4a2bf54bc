"""How many requests a key, or an address without one, may make: counted in this process alone, in memory.

Where there are several API processes each counts for itself, so a client gets at most as many times as much. That keeps
one client from taking all the threads, which is what this is for; quotas of work are a tenant's.
"""

from __future__ import annotations

import ipaddress
import math
import time
from enum import StrEnum

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from backend.settings import Settings

OFF = "off"
FAILURES = "10 per minute"  # keys from one address that open nothing


class Counted(StrEnum):
    READ = "read"  # and whatever makes nothing new
    CREATE = "create"
    FAILURE = "failure"


class Rates:
    """Thread-safe. A window begins with its first request. (A moving one would remember every request, and every
    address for ever.)"""

    def __init__(self, settings: Settings) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        limits = {
            Counted.READ: settings.rate_limit,
            Counted.CREATE: settings.rate_limit_create,
            Counted.FAILURE: FAILURES,
        }
        self._limits: dict[Counted, RateLimitItem] = {
            what: parse(limit) for what, limit in limits.items() if limit != OFF
        }

    def take(self, what: Counted, who: str) -> int:
        """Counts one more. 0 where it may be, else whole seconds until another one may."""
        limit = self._limits.get(what)
        if limit is None or self._limiter.hit(limit, what, who):
            return 0
        return self._wait_sec(limit, what, who)

    def look(self, what: Counted, who: str) -> int:
        """What `take` would answer; counts nothing."""
        limit = self._limits.get(what)
        if limit is None or self._limiter.test(limit, what, who):
            return 0
        return self._wait_sec(limit, what, who)

    def _wait_sec(self, limit: RateLimitItem, what: Counted, who: str) -> int:
        resets_at = self._limiter.get_window_stats(limit, what, who).reset_time
        return max(1, math.ceil(resets_at - time.time()))


def network_of(address: str) -> str:
    """Who may have many IPv6 addresses has them in one network of 64 bits."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # the path of a socket
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
