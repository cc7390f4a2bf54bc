"""What whoever renders a film, or a piece of it, has to know: small things in the job's row, large ones as objects."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from backend.kinds.context import Earlier
from backend.kinds.sheet import SheetPlan
from backend.media.facts import VideoFacts
from backend.media.paint.rows import LayerRows, joined_rows, load_rows
from backend.media.pieces import Span, path_rows
from backend.settings import Settings

FALLBACK_FPS = (25, 1)
RENDER_THREADS = 2

Rows = NDArray[np.float64]
"""(frames, 5): PTS from the first frame's on, x, y, width and height of the window in upright source pixels. (frames,
13) where some are split: the same four of two more panels, NaN where there is none."""
Pts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layer:
    """Drawn over the film. `order` is one of backend.media.paint.layers, but for its `data_file`, which `rows` become.
    `back_pts`: how far behind a frame its painter looks for rows; a piece gets so many more before its own."""

    order: Mapping[str, Any]
    rows: LayerRows | None = None
    back_pts: int = 0


@dataclass(frozen=True, eq=False)
class Film:
    """A film that is to be made, all of it known. `order` is backend.media.cropper.CropOrder's, but for files and
    layers; `shots` are ranges of frames [start, stop); `keyframe_pts` those of the source that are known."""

    order: Mapping[str, Any]
    path: Rows
    frame_pts: Pts
    shots: Sequence[tuple[int, int]]
    keyframe_pts: Sequence[int]
    sheet: SheetPlan
    layers: Sequence[Layer] = field(default_factory=tuple)
    is_guess: bool = False  # the frames are those that packets promise: nobody has decoded them yet

    def plan(self) -> FilmPlan:
        layers = [LayerPlan(order=dict(layer.order), has_rows=layer.rows is not None) for layer in self.layers]
        return FilmPlan(order=dict(self.order), spans=[], sheet=self.sheet, layers=layers, is_guess=self.is_guess)

    def layer_rows(self) -> list[LayerRows | None]:
        return [layer.rows for layer in self.layers]

    def objects(self, spans: Sequence[Span]) -> dict[str, bytes]:
        """The path and the layers of each piece, by name."""
        found = {path_name(index): _npy(self.path[path_rows(span, self.frame_pts)]) for index, span in enumerate(spans)}
        for number, layer in enumerate(self.layers):
            for index, span in enumerate(spans):
                if layer.rows is not None:
                    found[layer_name(number, index)] = layer.rows.between(*self._reach(span, layer)).to_bytes()
        return found

    def _reach(self, span: Span, layer: Layer) -> tuple[int, int]:
        """The piece's own frames, those that its encoder looks ahead at, and what the painter looks back at."""
        last = self.frame_pts[path_rows(span, self.frame_pts)][-1]
        return span.start_pts - layer.back_pts, int(last) + 1


class LayerPlan(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    order: dict[str, Any]
    has_rows: bool


class FilmPlan(BaseModel):
    """What whoever renders, or joins, has to know. Rows of path and layers are objects: `path_name` and `layer_name` of
    each span."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order: dict[str, Any]  # of backend.media.cropper.CropOrder, but for files and layers
    spans: list[Span]
    sheet: SheetPlan
    layers: list[LayerPlan] = Field(default_factory=list)
    is_guess: bool = False

    def render_order(self, folder: Path, path: bytes, rows: Sequence[bytes | None], target: Path) -> dict[str, Any]:
        """All that CropOrder wants, what is large written into files of the folder."""
        path_file = folder / "path.npy"
        path_file.write_bytes(path)
        order = self.order | {
            "path_file": str(path_file),
            "output_file": str(target),
            "stills": self.sheet.order(),
            "layers": [
                layer.order | _data_file(folder / f"layer_{number:02d}.npz", data)
                for number, (layer, data) in enumerate(zip(self.layers, rows, strict=True))
            ],
        }
        return order

    def stored_rows(self, earlier: Earlier, index: int) -> list[bytes | None]:
        """Of each layer, as they were stored for this piece."""
        return [
            earlier.object(layer_name(number, index)) if layer.has_rows else None
            for number, layer in enumerate(self.layers)
        ]

    def whole_path(self, earlier: Earlier) -> Rows:
        """Put together again from those of the pieces."""
        parts = [_loaded(earlier.object(path_name(index)))[: span.frames] for index, span in enumerate(self.spans)]
        return np.concatenate(parts)

    def whole_rows(self, earlier: Earlier, folder: Path) -> list[LayerRows | None]:
        parts: list[list[LayerRows]] = [[] for _ in self.layers]
        for index, span in enumerate(self.spans):
            for number, data in enumerate(self.stored_rows(earlier, index)):
                if data is not None:
                    file = folder / layer_name(number, index)
                    file.write_bytes(data)
                    rows = load_rows(str(file))
                    # The last piece has no end; nothing comes after its rows.
                    parts[number].append(
                        rows.between(span.start_pts, 2**63 - 1 if span.end_pts is None else span.end_pts)
                    )
        return [joined_rows(each) if each else None for each in parts]


def path_name(index: int) -> str:
    return f"path_{index:04d}.npy"


def layer_name(number: int, index: int) -> str:
    return f"layer_{number:02d}_{index:04d}.npz"


def path_bytes(path: Rows) -> bytes:
    """As `path_name` of a piece holds them."""
    return _npy(path)


def source_order(facts: VideoFacts, settings: Settings, first_pts: int) -> dict[str, Any]:
    """What every order says of the source. A kind adds the output's size and look."""
    return {
        "upright_width": facts.width,
        "upright_height": facts.height,
        "clock": facts.clock,
        **facts.coded_shape(),
        "fps": facts.fps or FALLBACK_FPS,
        "origin_pts": first_pts,
        "appearance": facts.appearance.model_dump() if facts.appearance else None,
        "max_pixels": settings.max_pixels,
        "threads": settings.threads or RENDER_THREADS,
    }


def laid_on(frame_pts: Pts, path: Rows, origin_pts: int) -> Rows:
    """A path for other frames than those it was made for: of the same times where it knows them, else in between."""
    ticks = (frame_pts - origin_pts).astype(np.float64)
    return np.column_stack([ticks, *(np.interp(ticks, path[:, 0], path[:, at]) for at in range(1, path.shape[1]))])


def _data_file(file: Path, data: bytes | None) -> dict[str, str]:
    if data is None:
        return {}
    file.write_bytes(data)
    return {"data_file": str(file)}


def _npy(rows: Rows) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, rows)
    return buffer.getvalue()


def _loaded(data: bytes) -> Rows:
    rows: Rows = np.load(io.BytesIO(data), allow_pickle=False)
    return rows
