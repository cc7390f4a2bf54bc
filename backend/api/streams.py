"""Large bodies under way: a tenant has half of the threads that read them, however many requests it sends."""

from __future__ import annotations

import threading
from collections import Counter

from backend.api.server.limits import STREAMING_THREADS

STREAMED = "framefleet.streamed"  # in the WSGI environment: the body is read while it arrives
OF_ONE_TENANT = STREAMING_THREADS // 2


class Streams:
    """Of this process. Thread-safe."""

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()
        self._lock = threading.Lock()

    def begin(self, tenant: str) -> bool:
        """Whether it may have one more."""
        with self._lock:
            if self._under_way[tenant] >= OF_ONE_TENANT:
                return False
            self._under_way[tenant] += 1
            return True

    def end(self, tenant: str) -> None:
        with self._lock:
            self._under_way[tenant] -= 1
