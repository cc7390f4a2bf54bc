"""The camera path: a window for every frame, solved for each shot with knowledge of the whole of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backend.vision.calm import larger_windows, unrest
from backend.vision.composition import aimed, composed
from backend.vision.heads import head_boxes, heads_first
from backend.vision.keyframes import Keyframe, Pins
from backend.vision.limbs import Bodies
from backend.vision.path_memory import PathMemory, digest
from backend.vision.path_qp import PathUnsolved
from backend.vision.path_solver import Axis, axis_path, clock_sec
from backend.vision.timeline import Timeline
from backend.vision.window import (
    MAX_PANELS,
    CropSpec,
    Floats,
    Shot,
    bands,
    inside_picture,
    keeps_shape,
    padded_share,
    panel_areas,
    require,
    smallest_width,
    wanted_bands,
    window_sizes,
)
from backend.vision.zoom import zoom_factors

# Somebody is one person of whom so much is known that nobody else is in the box; the rest is bridged.
_MOSTLY_ALONE = 0.8


@dataclass(frozen=True, eq=False)
class CameraPath:
    """Per frame the window's top-left corner and size in source pixels, each (n_frames,); shots as [start, stop).

    `panels` (n_frames, 2, 4): x, y, width and height of the second and the third panel where the picture is split, NaN
    where there is none; the window is the first panel's then. `stretches`: as `shots`, and cut where a layout ends too;
    only between two of them does the window jump.
    """

    x: Floats
    y: Floats
    width: Floats
    height: Floats
    shots: tuple[Shot, ...]
    output_size: tuple[int, int]
    panels: Floats | None = None
    layout_parts: tuple[Shot, ...] | None = None

    @property
    def stretches(self) -> tuple[Shot, ...]:
        return self.shots if self.layout_parts is None else self.layout_parts

    @property
    def panel_counts(self) -> NDArray[np.int64]:
        """(n_frames,): how many windows each frame shows."""
        if self.panels is None:
            return np.ones(len(self.x), np.int64)
        return np.asarray(1 + np.isfinite(self.panels[:, :, 0]).sum(axis=1))

    @property
    def filled_sizes(self) -> NDArray[np.int64]:
        """(n_frames, 2): width and height in the output of what each of a frame's windows fills."""
        sizes = {1: self.output_size} | {n: panel_areas(self.output_size, n)[0][2:] for n in range(2, MAX_PANELS + 1)}
        return np.array([sizes[count] for count in range(1, MAX_PANELS + 1)])[self.panel_counts - 1]

    @property
    def sizes(self) -> Floats:
        """(n_frames, 2): width, height."""
        return np.stack([self.width, self.height], axis=1)

    @property
    def centres(self) -> Floats:
        """(n_frames, 2): the window's centre in pixels."""
        return np.stack([self.x, self.y], axis=1) + self.sizes / 2


def solve_path(
    subject_boxes: Floats,
    timeline: Timeline,
    spec: CropSpec,
    smoothing: Literal["optimal", "ema"] = "optimal",
    smooth_alpha: float = 0.85,
    shots: Sequence[Shot] | None = None,
    keyframes: Sequence[Keyframe] = (),
    memory: PathMemory | None = None,
    near: bool = False,
    bars: Sequence[bool] | None = None,
    bodies: Bodies | None = None,
    bars_for_calm: bool = False,
) -> CameraPath:
    """The window on every frame; it never leaves the picture. `subject_boxes` (n_frames, 4), NaN where nobody is known;
    `bodies`: what of them has to be held, where the rest is only wanted.

    `shots` are frame ranges [start, stop) that cover the video in order; each is solved for itself. `keyframes` pin the
    window. `memory`, `near`: as in `axis_path`; `bars`: which shots may have some; `bars_for_calm`: whether the others
    may too where one person is too lively for any window without them.

    Raises InvalidParams (smoothing, an output that max_upscale forbids, a keyframe that cannot be met), PathUnsolved,
    ValueError for wrong shapes.
    """
    require(smoothing in ("optimal", "ema"), "smoothing must be 'optimal' or 'ema'")
    require(0 <= smooth_alpha < 1, "smooth_alpha must be at least 0 and below 1")
    require(smoothing == "optimal" or not keyframes, "keyframes need smoothing=optimal")
    count, frame_size = len(timeline), timeline.frame_size
    cuts = _checked_shots(shots, count)
    boxes = inside_picture(subject_boxes, count, frame_size)
    shot_sizes, output = window_sizes(spec, boxes, cuts, frame_size, bars)
    core = boxes if bodies is None else inside_picture(bodies.cores, count, frame_size)
    alone = np.ones(count, dtype=np.bool_) if bodies is None else bodies.alone
    heads = head_boxes(boxes, frame_size) if bodies is None else bodies.heads
    aims = np.full((count, 2), np.nan) if bodies is None or bodies.aims is None else bodies.aims
    film = _Film(boxes, core, heads, alone, aims, clock_sec(timeline), frame_size, spec, output, memory, near)
    shot_sizes = _largest_where_aimed(shot_sizes, film.aimed_at, cuts, frame_size)
    pins = Pins(keyframes, timeline.times_sec, cuts)
    shot_sizes = pins.sizes(shot_sizes, output, frame_size, spec.max_upscale)
    sizes = film.sizes(shot_sizes, cuts, pins)
    if smoothing == "ema":
        return ema_path(boxes, sizes, frame_size, cuts, output, smooth_alpha)
    pins.require_inside(sizes, frame_size)
    try:
        centres = film.centres(sizes, cuts, pins)
    except PathUnsolved as error:
        require(not keyframes, "The keyframes cannot be met together; leave more time between those far apart")
        raise error
    pins.require_met(centres)
    if bodies is not None:
        for index, (start, stop) in enumerate(cuts):
            if not pins.any_in(start, stop):
                part = slice(start, stop)
                sizes[part], centres[part] = film.part(part).calmed(
                    shot_sizes[index], sizes[part], centres[part], bars=bars_for_calm
                )
    return path_of(centres, sizes, frame_size, cuts, output)


@dataclass(frozen=True, eq=False)
class _Film:
    """What windows are found for: `boxes` of the subject (n, 4), what of them has to be held, and `heads`, whether it
    is one person `alone` (n,), `aims` (n, 2) or NaN."""

    boxes: Floats
    core: Floats
    heads: Floats
    alone: NDArray[np.bool_]
    aims: Floats
    clock_sec: Floats
    frame_size: tuple[int, int]
    spec: CropSpec
    output: tuple[int, int]
    memory: PathMemory | None
    near: bool

    @property
    def aimed_at(self) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(self.aims).any(axis=1))

    def part(self, frames: slice) -> _Film:
        names = ("boxes", "core", "heads", "alone", "aims", "clock_sec")
        return replace(self, **{name: getattr(self, name)[frames] for name in names})

    def sizes(self, shot_sizes: Floats, shots: Sequence[Shot], pins: Pins, times: float = 1.0) -> Floats:
        """Of the window on each frame (n, 2). `times`: by how much shots' windows are larger than the subject asks."""
        factors = np.ones(len(self.boxes))
        for (start, stop), size in zip(shots, shot_sizes, strict=True):
            if self.spec.zoom and keeps_shape(size, self.output) and not pins.set_width(start, stop):
                smallest = smallest_width(self.spec, float(size[0]), self.output, self.frame_size) / float(size[0])
                part = slice(start, stop)
                needs = times * padded_share(self.boxes[part], size, self.spec)
                factors[part] = zoom_factors(np.where(self.aimed_at[part], 1.0, needs), self.clock_sec[part], smallest)
        return np.asarray(np.repeat(shot_sizes, [stop - start for start, stop in shots], axis=0) * factors[:, None])

    def centres(self, sizes: Floats, shots: Sequence[Shot], pins: Pins) -> Floats:
        """(n, 2) of windows of these sizes (n, 2). Raises PathUnsolved."""
        held, wanted = (heads_first(each, self.heads, sizes, self.frame_size) for each in (self.core, self.boxes))
        padded = wanted_bands(wanted, sizes, self.spec.padding_ratio)
        wished = composed(padded, wanted, self.heads, self.alone, sizes, self.clock_sec, shots, self.frame_size)
        whole = wanted_bands(wanted, sizes, 0.0)
        wished = aimed(wished, self.aims, whole, self.frame_size)
        bands_px = (*bands(held, sizes), *wished, *whole)
        found = np.empty_like(sizes)
        for start, stop in shots:
            part = slice(start, stop)
            for axis in range(2):
                low, high, wanted_low, wanted_high, whole_low, whole_high = (side[part, axis] for side in bands_px)
                floor, ceiling = sizes[part, axis] / 2, self.frame_size[axis] - sizes[part, axis] / 2
                pinned = pins.of(start, stop, axis, self.clock_sec)
                held_px, wished_px, whole_px = (low, high), (wanted_low, wanted_high), (whole_low, whole_high)
                wish = Axis(*held_px, *wished_px, *whole_px, floor, ceiling, self.clock_sec[part], pinned)
                found[part, axis] = axis_path(wish, self.frame_size[0], self.memory, near=self.near)
        return found

    def calmed(self, size: Floats, sizes: Floats, centres: Floats, *, bars: bool) -> tuple[Floats, Floats]:
        """Of one shot without pins, whose window was to have `size`: its sizes and centres (n, 2), or those of a larger
        window where one person is held so much better that it pays. Raises PathUnsolved."""
        known = np.isfinite(self.boxes[:, 0])
        if self.aimed_at.any() or not known.any() or self.alone[known].mean() < _MOSTLY_ALONE:
            return sizes, centres
        key = digest([self.boxes.ravel(), self.core.ravel(), self.clock_sec], *size, self.spec.padding_ratio, bars)
        before = None if self.memory is None else self.memory.window(key)
        if before is not None:  # how much larger it came out the last time
            return self._sized(before[:2], before[2]) if before[2] > 1.0 else (sizes, centres)
        found = 1.0, size, sizes, centres
        best_price = self._unrest(sizes, centres)
        for larger in larger_windows(size, self.frame_size, self.boxes[known], bars=bars):
            if larger.price >= best_price:
                break
            tried = self._sized(larger.size, larger.times)
            price = larger.price + self._unrest(*tried)
            if price < best_price:
                best_price, found = price, (larger.times, larger.size, *tried)
        times, size, sizes, centres = found
        if self.memory is not None:
            self.memory.keep_window(key, np.array([*size, times]))
        return sizes, centres

    def _sized(self, size: Floats, times: float) -> tuple[Floats, Floats]:
        """Sizes and centres of one shot without pins, by a window of `size`, `times` as large as its subject asks."""
        whole, none = [(0, len(self.boxes))], Pins((), self.clock_sec, ())
        sizes = self.sizes(size[None], whole, none, times)
        return sizes, self.centres(sizes, whole, none)

    def _unrest(self, sizes: Floats, centres: Floats) -> float:
        seconds = float(self.clock_sec[-1] - self.clock_sec[0])
        wanted = heads_first(self.boxes, self.heads, sizes, self.frame_size)
        return unrest(wanted, centres, sizes, self.spec.padding_ratio, seconds, self.frame_size)


def _largest_where_aimed(
    shot_sizes: Floats, aimed_at: NDArray[np.bool_], shots: tuple[Shot, ...], frame_size: tuple[int, int]
) -> Floats:
    """An aim is that of the largest window of its shape: a smaller one would have to move for what it leaves out."""
    frame, found = np.array(frame_size, dtype=np.float64), shot_sizes.copy()
    for index, (start, stop) in enumerate(shots):
        if aimed_at[start:stop].any():
            found[index] *= (frame / found[index]).min()
    return found


def _checked_shots(shots: Sequence[Shot] | None, count: int) -> tuple[Shot, ...]:
    whole_video = [(0, count)] if count else []
    cuts = tuple((int(start), int(stop)) for start, stop in (whole_video if shots is None else shots))
    edges = [0, *(stop for _, stop in cuts)]
    if [start for start, _ in cuts] != edges[:-1] or edges[-1] != count or any(start >= stop for start, stop in cuts):
        raise ValueError(f"shots must cover the frames 0 to {count} in order")
    return cuts


def path_of(
    centres: Floats, sizes: Floats, frame_size: tuple[int, int], shots: tuple[Shot, ...], output: tuple[int, int]
) -> CameraPath:
    corners = np.clip(centres - sizes / 2, 0.0, np.array(frame_size, dtype=np.float64) - sizes)
    return CameraPath(corners[:, 0], corners[:, 1], sizes[:, 0], sizes[:, 1], shots, output)


def ema_path(
    boxes: Floats,
    sizes: Floats,
    frame_size: tuple[int, int],
    shots: tuple[Shot, ...],
    output: tuple[int, int],
    alpha: float,
    causal: bool = False,
) -> CameraPath:
    """Exponential smoothing of the subject's centre, frame by frame.

    Zero-phase: forwards, then backwards, gaps interpolated. Causal, as live systems and the predecessors have it:
    forwards only, and a gap holds the last centre.
    """
    targets = (boxes[:, :2] + boxes[:, 2:]) / 2
    centres = np.empty((len(boxes), 2))
    for start, stop in shots:
        known = np.flatnonzero(np.isfinite(targets[start:stop, 0]))
        for axis in range(2):
            seen = targets[start:stop, axis][known]
            if not len(known):
                centres[start:stop, axis] = frame_size[axis] / 2
            elif causal:
                last = np.searchsorted(known, np.arange(stop - start), side="right") - 1
                centres[start:stop, axis] = _ema(seen[np.maximum(last, 0)], alpha)
            else:
                filled = np.interp(np.arange(stop - start), known, seen)
                centres[start:stop, axis] = _ema(_ema(filled, alpha)[::-1], alpha)[::-1]
    return path_of(centres, sizes, frame_size, shots, output)


def _ema(values: Floats, alpha: float) -> Floats:
    """Each value mixed with what was kept of those before. In Python: scipy.signal takes longer to import than this."""
    return np.fromiter(accumulate(values.tolist(), lambda kept, value: alpha * kept + (1 - alpha) * value), np.float64)
