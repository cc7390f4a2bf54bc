"""What was solved of camera paths lately: whoever moves a keyframe waits for the windows alone that it moves."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.vision.window import Floats

MAX_BYTES = 16 * 1024 * 1024
_MOST_TRIED = 1000


@dataclass(frozen=True, eq=False)
class Chain:
    """The coefficients of one axis of a shot, and the pins that they were solved for."""

    coefficients: Floats
    pins: Floats


@dataclass(frozen=True, eq=False)
class Tried:
    """The pins that a window was last solved for in full, and the rungs of the solver's ladder that failed by far."""

    pins: Floats
    hopeless: frozenset[int]


class PathMemory:
    """For one film. Several threads may use it. The least lately used goes first."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._lock = threading.Lock()
        self._windows: OrderedDict[bytes, Floats] = OrderedDict()
        self._chains: OrderedDict[bytes, Chain] = OrderedDict()
        self._tried: OrderedDict[bytes, Tried] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def window(self, key: bytes) -> Floats | None:
        with self._lock:
            known = self._windows.get(key)
            if known is not None:
                self._windows.move_to_end(key)
            return known

    def keep_window(self, key: bytes, found: Floats) -> None:
        with self._lock:
            if key not in self._windows:
                self._windows[key] = found
                self._bytes += found.nbytes
            while self._bytes > self._max_bytes and self._windows:
                self._bytes -= self._windows.popitem(last=False)[1].nbytes

    def tried(self, key: bytes) -> Tried | None:
        with self._lock:
            return self._tried.get(key)

    def keep_tried(self, key: bytes, tried: Tried) -> None:
        with self._lock:
            self._tried[key] = tried
            self._tried.move_to_end(key)
            while len(self._tried) > _MOST_TRIED:
                self._tried.popitem(last=False)

    def chain(self, key: bytes) -> Chain | None:
        with self._lock:
            return self._chains.get(key)

    def keep_chain(self, key: bytes, chain: Chain) -> None:
        with self._lock:
            for old in [self._chains.pop(key, None)]:
                self._bytes -= old.coefficients.nbytes if old else 0
            self._chains[key] = chain
            self._bytes += chain.coefficients.nbytes
            while self._bytes > self._max_bytes and len(self._chains) > 1:
                self._bytes -= self._chains.popitem(last=False)[1].coefficients.nbytes


def digest(arrays: Sequence[Floats], *numbers: float) -> bytes:
    """Of the arrays' lengths and values, and of the numbers."""
    found = hashlib.blake2b(np.array([*numbers, *(len(each) for each in arrays)], np.float64).tobytes(), digest_size=16)
    for each in arrays:
        found.update(each.tobytes())
    return found.digest()
