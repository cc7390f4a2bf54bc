"""What a layer draws on which frame: columns of one length in an .npz. Written by whoever plans a film, read by those
who render it. No media is touched here.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PTS = "pts"


@dataclass(frozen=True, eq=False)
class LayerRows:
    """Columns by name. `pts` (int64, the source's clock) rises, and may repeat: a frame can have any number of rows."""

    columns: Mapping[str, NDArray[Any]]

    @property
    def pts(self) -> NDArray[np.int64]:
        return self.columns[PTS]

    def __len__(self) -> int:
        return len(self.pts)

    def on(self, pts: int) -> LayerRows:
        """Those of one frame."""
        return self.between(pts, pts + 1)

    def between(self, start_pts: int, end_pts: int) -> LayerRows:
        """Those from `start_pts` on and before `end_pts`."""
        first, stop = np.searchsorted(self.pts, [start_pts, end_pts])
        return LayerRows({name: column[first:stop] for name, column in self.columns.items()})

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **dict(self.columns))
        return buffer.getvalue()


def load_rows(file: str) -> LayerRows:
    with np.load(file, allow_pickle=False) as columns:
        return LayerRows({name: columns[name] for name in columns.files})


def joined_rows(parts: list[LayerRows]) -> LayerRows:
    """One after the other; at least one."""
    return LayerRows({name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns})
