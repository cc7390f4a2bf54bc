"""What is kept for those who edit: the stitched chunks of the jobs asked about last, and how many solve at once.

Solving is computing, in a thread that answers requests: whoever comes while enough of them do asks again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

from backend.api.turns import Turns
from backend.kinds.path_preview import Gathered
from backend.settings import Settings

AT_ONCE = 2
MAX_BYTES = 256 * 1024 * 1024


class Editing:
    def __init__(self, settings: Settings, *, at_once: int = AT_ONCE, max_bytes: int = MAX_BYTES) -> None:
        self.settings = settings
        self.turns = Turns("Others solve camera paths at this moment: ask again.", at_once=at_once)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[UUID, Gathered] = OrderedDict()
        self._making: dict[UUID, threading.Lock] = {}

    def gathered(self, root: UUID, gather: Callable[[], Gathered]) -> Gathered:
        """Of the family whose first job is `root`; gathered now where it is not kept. Two who ask for the same at once
        gather it once. Raises what `gather` raises."""
        with self._lock:
            making = self._making.setdefault(root, threading.Lock())
        with making:
            with self._lock:
                kept = self._kept.get(root)
                if kept is not None:
                    self._kept.move_to_end(root)
            if kept is None:
                kept = gather()
                self._keep(root, kept)
        with self._lock:
            self._making.pop(root, None)
        return kept

    def _keep(self, root: UUID, gathered: Gathered) -> None:
        with self._lock:
            self._kept[root] = gathered
            # The newest is kept whatever its size: who drags a keyframe comes again in a moment.
            while len(self._kept) > 1 and sum(each.size_bytes for each in self._kept.values()) > self._max_bytes:
                self._kept.popitem(last=False)
