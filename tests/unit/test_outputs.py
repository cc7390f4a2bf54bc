"""Where the film goes and what it is called: a user's file name never becomes a path."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.jobs.claims import JobClaim
from backend.jobs.outputs import MAX_STEM_CHARACTERS, OutputPlace, output_name, output_place, source_key
from backend.jobs.service import NewJob
from backend.local.run import place_input
from backend.settings import Settings
from backend.states import DeepMode, JobStatus
from backend.storage import open_store
from backend.storage.names import check_key

JOB = UUID("11111111-2222-3333-4444-555555555555")
NASTY = st.text() | st.text(alphabet="./\\ _-:%~$\x00\n\r\u202e\u2044aZ", max_size=300)


@given(NASTY)
def test_an_output_name_has_only_safe_characters_and_is_never_empty(name: str) -> None:
    made = output_name(name, "_cropped")
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*_cropped\.mp4", made), made
    assert ".." not in made.split("/")
    assert len(made) <= MAX_STEM_CHARACTERS + len("_cropped.mp4")


@given(NASTY)
def test_an_output_name_is_a_key_of_one_part(name: str) -> None:
    key = f"jobs/{JOB}/output/{output_name(name, '_cropped')}"
    assert check_key(key) == key
    assert key.count("/") == 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test.mp4", "test_cropped.mp4"),
        ("My film (1).MOV", "My_film_1_cropped.mp4"),
        ("../../etc/passwd", "passwd_cropped.mp4"),
        ("C:\\Users\\me\\clip.avi", "clip_cropped.mp4"),
        ("a.b.c.mkv", "a.b.c_cropped.mp4"),
        ("映画.mp4", "video_cropped.mp4"),
        ("...", "video_cropped.mp4"),
        ("", "video_cropped.mp4"),
        ("-rf.mp4", "-rf_cropped.mp4"),
        ("x" * 500 + ".mp4", "x" * 100 + "_cropped.mp4"),
    ],
)
def test_the_output_is_named_after_the_input(name: str, expected: str) -> None:
    assert output_name(name, "_cropped") == expected


def claim(input_uri: str, name: str = "test.mp4", output_uri: str | None = None) -> JobClaim:
    return JobClaim(
        job_id=JOB,
        attempts=1,
        status=JobStatus.AGGREGATING,
        kind="crop",
        params={},
        input_uri=input_uri,
        input_name=name,
        deep_mode=DeepMode.GPU,
        priority=0,
        source_etag="e",
        source_size=1,
        probe=None,
        output_uri=output_uri,
        total_chunks=1,
        tenant="default",
        trace_context=None,
    )


def place(tmp_path: Path, wanted: JobClaim, **changes: Any) -> OutputPlace:
    keys = {"s3_access_key_id": "k", "s3_secret_access_key": "s", "s3_region": "us-east-1"}
    settings = Settings(storage_url=(tmp_path / "objects").as_uri(), **keys, **changes)
    return output_place(wanted, "_cropped", open_store(settings), settings)


def test_an_upload_goes_to_the_jobs_own_folder(tmp_path: Path) -> None:
    found = place(tmp_path, claim((tmp_path / "in.mp4").as_uri()))
    assert (found.key, found.is_own) == (f"jobs/{JOB}/output/test_cropped.mp4", True)


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_an_upload_into_a_bucket_stays_in_the_jobs_own_folder(scheme: str) -> None:
    keys = {"s3_access_key_id": "k", "s3_secret_access_key": "s", "s3_region": "us-east-1"}
    settings = Settings(storage_url=f"{scheme}://ours/prefix", **keys)
    own = open_store(settings)
    found = output_place(claim(own.uri(source_key(JOB))), "_cropped", own, settings)
    assert (found.key, found.is_own) == (f"jobs/{JOB}/output/test_cropped.mp4", True)
    assert found.store is own


class Uploads:
    """As much of a store as an upload needs."""

    def __init__(self) -> None:
        self.put: list[tuple[str, Path]] = []

    def put_file(self, key: str, path: Path) -> None:
        self.put.append((key, path))

    def uri(self, key: str) -> str:
        return f"s3://ours/{key}"


def test_a_local_file_sent_to_a_bucket_keeps_the_output_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"film")
    asked = NewJob("crop", "", "clip.mp4", {}, output_uri="s3://theirs/film.mp4")
    store: Any = Uploads()
    placed = place_input(str(tmp_path / "clip.mp4"), asked, Settings(storage_url="s3://ours"), store)
    assert store.put == [(source_key(asked.job_id), tmp_path / "clip.mp4")]
    assert (placed.input_uri, placed.output_uri) == (f"s3://ours/jobs/{asked.job_id}/source", "s3://theirs/film.mp4")


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_bucket_input_gets_its_output_beside_it(tmp_path: Path, scheme: str) -> None:
    found = place(tmp_path, claim(f"{scheme}://bkt/p/test.mp4"))
    assert (found.store.uri(found.key), found.is_own) == (f"{scheme}://bkt/p/test_cropped.mp4", False)


def test_a_bucket_input_at_the_top_gets_its_output_there(tmp_path: Path) -> None:
    found = place(tmp_path, claim("s3://bkt/test.mp4"))
    assert found.store.uri(found.key) == "s3://bkt/test_cropped.mp4"


@pytest.mark.parametrize("bucket", ["films", "s3://films"])
def test_a_web_input_goes_to_the_output_bucket(tmp_path: Path, bucket: str) -> None:
    found = place(tmp_path, claim("https://example.org/p/test.mp4?token=1"), output_bucket=bucket)
    assert found.store.uri(found.key) == "s3://films/test_cropped.mp4"


def test_a_web_input_without_an_output_bucket_goes_to_the_jobs_own_folder(tmp_path: Path) -> None:
    found = place(tmp_path, claim("https://example.org/p/test.mp4"))
    assert (found.key, found.is_own) == (f"jobs/{JOB}/output/test_cropped.mp4", True)


def test_the_requests_output_uri_wins(tmp_path: Path) -> None:
    found = place(tmp_path, claim("s3://bkt/p/test.mp4", output_uri="s3://other/x/y.mp4"))
    assert (found.store.uri(found.key), found.is_own) == ("s3://other/x/y.mp4", False)
