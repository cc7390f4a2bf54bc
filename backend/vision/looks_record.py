"""How people look, as bytes: the form in which chunks tell it."""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray

# Names how it is measured, in what identifies a chunk's result.
LOOKS = "stripes/1"
STRIPES, BINS = 4, 5
LOOKS_BYTES = STRIPES * 3 * BINS
# All of a stripe in one bin.
LARGEST = float(np.sqrt(1 / (3 * STRIPES)))


def packed(looks: NDArray[np.uint8]) -> str:
    """Rows (n, LOOKS_BYTES) as Base64, which needs no padding for them."""
    return base64.b64encode(looks.tobytes()).decode("ascii")


def packed_length(count: int) -> int:
    """Of so many rows, in characters."""
    return count * LOOKS_BYTES // 3 * 4


def unpacked(text: str) -> NDArray[np.uint8]:
    """Of what `packed` gave."""
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(-1, LOOKS_BYTES)


def distances(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hellinger's, between rows or means of them (..., LOOKS_BYTES): 0 for the same, 1 for nothing in common."""
    return np.asarray(np.sqrt(((one - other) ** 2).sum(axis=-1)) * (LARGEST / 255 / np.sqrt(2)))
