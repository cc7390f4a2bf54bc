"""The stitched tracks as files for people and tools: JSON, Parquet, and MOTChallenge text."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.vision.artifacts import rounded_boxes
from backend.vision.stitch import Track, interpolate
from backend.vision.timeline import Timeline

TRACKS_SCHEMA = "framefleet.tracks/1"
_ROWS_AT_ONCE = 100_000


def tracks_json(tracks: Sequence[Track], timeline: Timeline) -> bytes:
    """The tracks' own samples, boxes as x1, y1, x2, y2 in pixels of the upright source."""
    head = {
        "schema": TRACKS_SCHEMA,
        "time_base": [timeline.time_base.numerator, timeline.time_base.denominator],
        "frame_size": list(timeline.frame_size),
        "frame_pts_count": len(timeline),
    }
    # Track by track: numbers as Python objects take ten times the room of their text.
    rows = (
        _json({"id": track.id, "pts": track.pts.tolist(), **rounded_boxes(track.boxes, track.confidence)})
        for track in tracks
    )
    return _json(head)[:-1] + b',"tracks":[' + b",".join(rows) + b"]}"


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


def tracks_parquet(tracks: Sequence[Track], timeline: Timeline) -> bytes:
    """A row for each track on every frame between its first and last sample, track by track.

    `frame` is the 1-based number of the decoded frame; x, y, w, h are pixels, x and y the top-left corner.
    """
    import pyarrow as pa  # type: ignore[import-untyped]  # slow to import, and only aggregators write this
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    whole = [(name, pa.int64()) for name in ("frame", "pts", "id")]
    schema = pa.schema([*whole, *((name, pa.float64()) for name in ("x", "y", "w", "h", "conf"))])
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for track, frames in _on_every_frame(tracks, timeline.frame_pts):
            ids = np.full(len(frames), track.id, dtype=np.int64)
            columns = [frames, track.pts, ids, *_corner_and_size(track), track.confidence]
            writer.write_table(pa.Table.from_arrays([pa.array(column) for column in columns], schema=schema))
    return sink.getvalue()


def tracks_mot(tracks: Sequence[Track], timeline: Timeline) -> bytes:
    """MOTChallenge rows `frame,id,x,y,w,h,conf,-1,-1,-1` in the order of frames, then ids; `frame` counts from 1."""
    parts = [
        np.column_stack([frames, np.full(len(frames), track.id), *_corner_and_size(track), track.confidence])
        for track, frames in _on_every_frame(tracks, timeline.frame_pts)
    ]
    rows = np.concatenate([np.zeros((0, 7)), *parts])
    del parts
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    sink = io.BytesIO()
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        np.savetxt(sink, rows[order[start : start + _ROWS_AT_ONCE]], fmt="%d,%d,%.2f,%.2f,%.2f,%.2f,%.4f,-1,-1,-1")
    return sink.getvalue()


def _on_every_frame(tracks: Sequence[Track], frame_pts: NDArray[np.int64]) -> Iterator[tuple[Track, NDArray[np.int64]]]:
    """Each track interpolated, with the 1-based numbers of its frames."""
    for track in tracks:
        dense = interpolate(track, frame_pts)
        yield dense, np.searchsorted(frame_pts, dense.pts).astype(np.int64) + 1


def _corner_and_size(track: Track) -> list[NDArray[np.float64]]:
    left, top, right, bottom = track.boxes.T
    return [left, top, right - left, bottom - top]
