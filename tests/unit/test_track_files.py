"""The track files hold a row for every frame a person is on, numbered from 1, in pixels of the source."""

from __future__ import annotations

import csv
import io
import json
from fractions import Fraction
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from backend.errors import ArtifactCorrupt
from backend.vision.stitch import Track
from backend.vision.timeline import Timeline
from backend.vision.track_files import csv_of_parquet, tracks_csv, tracks_json, tracks_mot, tracks_parquet

TIMELINE = Timeline(np.array([7, 17, 27, 37, 47]), Fraction(1, 90), (640, 360))
TRACKS = [
    Track(1, np.array([17, 47]), np.array([[0.0, 10, 20, 50], [30, 10, 50, 50]]), np.array([0.9, 0.6])),
    Track(2, np.array([7]), np.array([[1.234, 2, 3, 4]]), np.array([0.5]), "traffic light"),
]


def test_mot_has_a_row_on_every_frame_in_order() -> None:
    assert tracks_mot(TRACKS, TIMELINE).decode().splitlines() == [
        "1,2,1.23,2.00,1.77,2.00,0.5000,-1,-1,-1",
        "2,1,0.00,10.00,20.00,40.00,0.9000,-1,-1,-1",
        "3,1,10.00,10.00,20.00,40.00,0.8000,-1,-1,-1",
        "4,1,20.00,10.00,20.00,40.00,0.7000,-1,-1,-1",
        "5,1,30.00,10.00,20.00,40.00,0.6000,-1,-1,-1",
    ]


def test_parquet_says_the_same_as_mot() -> None:
    table = pq.read_table(io.BytesIO(tracks_parquet(TRACKS, TIMELINE)))
    assert table.column_names == ["frame", "pts", "id", "x", "y", "w", "h", "conf", "class", "time_sec"]
    assert table["frame"].to_pylist() == [2, 3, 4, 5, 1]
    assert table["pts"].to_pylist() == [17, 27, 37, 47, 7]
    assert table["x"].to_pylist() == pytest.approx([0, 10, 20, 30, 1.234])


def test_parquet_loads_into_duckdb_with_the_documented_types(tmp_path: Path) -> None:
    file = tmp_path / "tracks.parquet"
    file.write_bytes(tracks_parquet(TRACKS, TIMELINE))
    types = duckdb.sql(f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM '{file}')").fetchall()
    whole, real = ["frame", "pts", "id"], ["x", "y", "w", "h", "conf"]
    expected = [(name, "BIGINT") for name in whole] + [(name, "DOUBLE") for name in real]
    assert types == [*expected, ("class", "VARCHAR"), ("time_sec", "DOUBLE")]
    rows = duckdb.sql(f"SELECT id, class, count(*), max(time_sec) FROM '{file}' GROUP BY ALL ORDER BY id").fetchall()
    assert rows == [(1, "person", 4, pytest.approx(40 / 90)), (2, "traffic light", 1, 0.0)]


def test_csv_says_the_same_in_the_order_of_frames() -> None:
    assert tracks_csv(TRACKS, TIMELINE).decode().splitlines() == [
        "frame,pts,time_sec,id,class,x,y,w,h,conf",
        "1,7,0.000000,2,traffic light,1.23,2.00,1.77,2.00,0.5000",
        "2,17,0.111111,1,person,0.00,10.00,20.00,40.00,0.9000",
        "3,27,0.222222,1,person,10.00,10.00,20.00,40.00,0.8000",
        "4,37,0.333333,1,person,20.00,10.00,20.00,40.00,0.7000",
        "5,47,0.444444,1,person,30.00,10.00,20.00,40.00,0.6000",
    ]


def test_json_keeps_the_samples() -> None:
    document = json.loads(tracks_json(TRACKS, TIMELINE))
    assert {key: document[key] for key in ("schema", "time_base", "frame_size", "frame_pts_count")} == {
        "schema": "framefleet.tracks/1",
        "time_base": [1, 90],
        "frame_size": [640, 360],
        "frame_pts_count": 5,
    }
    assert [(track["id"], track["pts"]) for track in document["tracks"]] == [(1, [17, 47]), (2, [7])]
    assert [track["class"] for track in document["tracks"]] == ["person", "traffic light"]
    assert document["tracks"][1]["boxes"] == [[1.23, 2.0, 3.0, 4.0]]


def test_no_tracks_give_empty_files() -> None:
    assert tracks_mot([], TIMELINE) == b""
    assert tracks_csv([], TIMELINE) == b"frame,pts,time_sec,id,class,x,y,w,h,conf\n"
    assert pq.read_table(io.BytesIO(tracks_parquet([], TIMELINE))).num_rows == 0
    assert json.loads(tracks_json([], TIMELINE))["tracks"] == []


@pytest.mark.parametrize("damage", ["no Parquet", "cut off", "other columns"])
def test_csv_of_what_is_no_such_file_is_refused_before_its_first_row(damage: str) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"frame": [1]}), sink)
    bytes_of = {"no Parquet": b"{}", "cut off": tracks_parquet(TRACKS, TIMELINE)[:-9], "other columns": sink.getvalue()}
    with pytest.raises(ArtifactCorrupt):
        csv_of_parquet(bytes_of[damage])


def test_csv_made_of_the_parquet_file_has_the_rows_of_the_csv_file() -> None:
    def rows(text: bytes) -> list[list[str]]:
        head, *lines = csv.reader(text.decode().splitlines())
        numbers = [place for place, name in enumerate(head) if name != "class"]
        return sorted([repr(float(each)) if at in numbers else each for at, each in enumerate(line)] for line in lines)

    made = b"".join(csv_of_parquet(tracks_parquet(TRACKS, TIMELINE)))
    assert len(rows(made)) > 0
    assert rows(made) == rows(tracks_csv(TRACKS, TIMELINE))
