"""The stitched tracks as files for people and tools: JSON, Parquet, CSV, and MOTChallenge text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import ArtifactCorrupt
from backend.vision.artifacts import rounded_boxes
from backend.vision.stitch import Track, interpolate
from backend.vision.timeline import Timeline

TRACKS_SCHEMA = "framefleet.tracks/1"
CSV_HEAD = ("frame", "pts", "time_sec", "id", "class", "x", "y", "w", "h", "conf")
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
    rows = (_json(_samples(track)) for track in tracks)
    return _json(head)[:-1] + b',"tracks":[' + b",".join(rows) + b"]}"


def _samples(track: Track) -> dict[str, Any]:
    boxes = rounded_boxes(track.boxes, track.confidence)
    return {"id": track.id, "class": track.class_name, "pts": track.pts.tolist(), **boxes}


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


def tracks_parquet(tracks: Sequence[Track], timeline: Timeline) -> bytes:
    """A row for each track on every frame between its first and last sample, track by track.

    `frame` is the 1-based number of the decoded frame, `time_sec` counts from the first one; x, y, w, h are pixels, x
    and y the top-left corner. Every type is plain, so that any engine reads it (docs/kinds/annotate.md).
    """
    import pyarrow as pa  # type: ignore[import-untyped]  # slow to import, and only aggregators write this
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    whole = [(name, pa.int64()) for name in ("frame", "pts", "id")]
    real = [(name, pa.float64()) for name in ("x", "y", "w", "h", "conf")]
    schema = pa.schema([*whole, *real, ("class", pa.string()), ("time_sec", pa.float64())])
    sink, times_sec = io.BytesIO(), timeline.times_sec
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for track, frames in _on_every_frame(tracks, timeline):
            ids = np.full(len(frames), track.id, dtype=np.int64)
            columns = [frames, track.pts, ids, *_corner_and_size(track), track.confidence]
            named = [pa.repeat(track.class_name, len(frames)), pa.array(times_sec[frames - 1])]
            writer.write_table(pa.Table.from_arrays([*map(pa.array, columns), *named], schema=schema))
    return sink.getvalue()


def tracks_csv(tracks: Sequence[Track], timeline: Timeline) -> bytes:
    """The rows of the Parquet file as text with a head, in the order of frames, then ids."""
    classes, times_sec = {track.id: track.class_name for track in tracks}, timeline.times_sec
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for row in _in_order(tracks, timeline):
        frame, number = int(row[0]), int(row[1])
        place = [f"{value:.2f}" for value in row[2:6]]
        when = (int(timeline.frame_pts[frame - 1]), f"{times_sec[frame - 1]:.6f}")
        writer.writerow((frame, *when, number, classes[number], *place, f"{row[6]:.4f}"))
    return sink.getvalue().encode()


def csv_of_parquet(data: bytes) -> Iterator[bytes]:
    """The rows of a file that `tracks_parquet` wrote, as text with the head of `tracks_csv`, in the file's order: track
    by track. Some at a time: an hour of ten people has a million rows. Raises ArtifactCorrupt for bytes that
    are no such file, before the first row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(data))
    except (pa.ArrowInvalid, OSError) as error:
        raise ArtifactCorrupt("The tracks cannot be read; submit the video again.") from error
    if not set(CSV_HEAD).issubset(file.schema_arrow.names):
        raise ArtifactCorrupt("The tracks lack columns; submit the video again.")
    return _csv_lines(file)


def _csv_lines(file: Any) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.compute as pc  # type: ignore[import-untyped]
    from pyarrow import csv as arrow_csv

    decimals = {"time_sec": 6, "x": 2, "y": 2, "w": 2, "h": 2, "conf": 4}
    options = arrow_csv.WriteOptions(include_header=False, quoting_style="needed")
    yield (",".join(CSV_HEAD) + "\n").encode()
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(CSV_HEAD)):
        columns = [
            pc.round(batch.column(name), decimals[name]) if name in decimals else batch.column(name)
            for name in CSV_HEAD
        ]
        sink = io.BytesIO()
        arrow_csv.write_csv(pa.RecordBatch.from_arrays(columns, CSV_HEAD), sink, options)
        yield sink.getvalue()


def tracks_mot(tracks: Sequence[Track], timeline: Timeline) -> bytes:
    """MOTChallenge rows `frame,id,x,y,w,h,conf,-1,-1,-1` in the order of frames, then ids; `frame` counts from 1."""
    rows = _in_order(tracks, timeline)
    sink = io.BytesIO()
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        np.savetxt(sink, rows[start : start + _ROWS_AT_ONCE], fmt="%d,%d,%.2f,%.2f,%.2f,%.2f,%.4f,-1,-1,-1")
    return sink.getvalue()


def _in_order(tracks: Sequence[Track], timeline: Timeline) -> NDArray[np.float64]:
    """Rows of frame, id, x, y, w, h and confidence, in the order of frames, then ids."""
    parts = [
        np.column_stack([frames, np.full(len(frames), track.id), *_corner_and_size(track), track.confidence])
        for track, frames in _on_every_frame(tracks, timeline)
    ]
    rows = np.concatenate([np.zeros((0, 7)), *parts])
    del parts
    return np.asarray(rows[np.lexsort((rows[:, 1], rows[:, 0]))])


def _on_every_frame(tracks: Sequence[Track], timeline: Timeline) -> Iterator[tuple[Track, NDArray[np.int64]]]:
    """Each track interpolated, with the 1-based numbers of its frames."""
    for track in tracks:
        dense = interpolate(track, timeline.frame_pts, timeline.longest_gap)
        yield dense, np.searchsorted(timeline.frame_pts, dense.pts).astype(np.int64) + 1


def _corner_and_size(track: Track) -> list[NDArray[np.float64]]:
    left, top, right, bottom = track.boxes.T
    return [left, top, right - left, bottom - top]
