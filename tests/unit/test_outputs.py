"""Where the film goes and what it is called: a user's file name never becomes a path."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import InvalidRequest
from backend.jobs.layout import source_key
from backend.jobs.outputs import (
    MAX_STEM_CHARACTERS,
    OutputPlace,
    check_output_uri,
    output_name,
    output_places,
)
from backend.jobs.service import NewJob
from backend.kinds.crop import CROP
from backend.local.given import place_input
from backend.queue.claims import JobClaim
from backend.settings import Settings
from backend.states import DeepMode, JobStatus
from backend.storage import open_store
from backend.storage.names import check_key

JOB = UUID("11111111-2222-3333-4444-555555555555")
NASTY = st.text() | st.text(alphabet="./\\ _-:%~$\x00\n\r\u202e\u2044aZ", max_size=300)


@given(NASTY)
def test_an_output_name_has_only_safe_characters_and_is_never_empty(name: str) -> None:
    made = output_name(name, "_cropped.mp4")
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*_cropped\.mp4", made), made
    assert ".." not in made.split("/")
    assert len(made) <= MAX_STEM_CHARACTERS + len("_cropped.mp4")


@given(NASTY)
def test_an_output_name_is_a_key_of_one_part(name: str) -> None:
    key = f"jobs/{JOB}/output/{output_name(name, '_cropped.mp4')}"
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
    assert output_name(name, "_cropped.mp4") == expected


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
        phase="detect",
        phase_plan={},
        tenant="default",
        trace_context=None,
    )


def place(tmp_path: Path, wanted: JobClaim, **changes: Any) -> OutputPlace:
    keys = {"s3_access_key_id": "k", "s3_secret_access_key": "s", "s3_region": "us-east-1"}
    settings = Settings(storage_url=(tmp_path / "objects").as_uri(), **keys, **changes)
    return next(output_places(wanted, CROP.output, open_store(settings), settings))


def test_an_upload_goes_to_the_jobs_own_folder(tmp_path: Path) -> None:
    found = place(tmp_path, claim((tmp_path / "in.mp4").as_uri()))
    assert found.own_key == f"jobs/{JOB}/output/test_cropped.mp4"


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_an_upload_into_a_bucket_stays_in_the_jobs_own_folder(scheme: str) -> None:
    keys = {"s3_access_key_id": "k", "s3_secret_access_key": "s", "s3_region": "us-east-1"}
    settings = Settings(storage_url=f"{scheme}://ours/prefix", **keys)
    own = open_store(settings)
    (found,) = output_places(claim(own.uri(source_key(JOB))), CROP.output, own, settings)
    assert found.own_key == f"jobs/{JOB}/output/test_cropped.mp4"
    assert found.uri == own.uri(found.own_key)


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
    assert (found.uri, found.own_key) == (f"{scheme}://bkt/p/test_cropped.mp4", None)


def test_a_bucket_input_at_the_top_gets_its_output_there(tmp_path: Path) -> None:
    found = place(tmp_path, claim("s3://bkt/test.mp4"))
    assert found.uri == "s3://bkt/test_cropped.mp4"


@pytest.mark.parametrize("bucket", ["films", "s3://films"])
def test_a_web_input_goes_to_the_output_bucket(tmp_path: Path, bucket: str) -> None:
    found = place(tmp_path, claim("https://example.org/p/test.mp4?token=1"), output_bucket=bucket)
    assert found.uri == "s3://films/test_cropped.mp4"


def test_a_web_input_without_an_output_bucket_goes_to_the_jobs_own_folder(tmp_path: Path) -> None:
    found = place(tmp_path, claim("https://example.org/p/test.mp4"))
    assert found.own_key == f"jobs/{JOB}/output/test_cropped.mp4"


def test_the_requests_output_uri_wins(tmp_path: Path) -> None:
    found = place(tmp_path, claim("s3://bkt/p/test.mp4", output_uri="s3://other/x/y.mp4"))
    assert (found.uri, found.own_key) == ("s3://other/x/y.mp4", None)


@pytest.mark.parametrize(
    ("key", "film"),
    [
        ("in/東京.mp4", "in/東京_cropped.mp4"),
        ("talks/Иван.mov", "talks/Иван_cropped.mp4"),
        ("in/a b.mp4", "in/a b_cropped.mp4"),
        ("in/a+b.mp4", "in/a+b_cropped.mp4"),
        ("in/100%25.mp4", "in/100%25_cropped.mp4"),
        ("in//what?#1.mp4", "in//what?#1_cropped.mp4"),
        ("вход/👩\u200d👩.mp4", "вход/👩\u200d👩_cropped.mp4"),
        ("-rf \"'\n.mp4", "-rf \"'\n_cropped.mp4"),
        ("x/" + "長" * 80 + ".mp4", "x/" + "長" * 80 + "_cropped.mp4"),
        (".mp4", ".mp4_cropped.mp4"),
        ("folder/", "folder/video_cropped.mp4"),
    ],
)
def test_a_film_lies_beside_its_object_under_its_own_name(tmp_path: Path, key: str, film: str) -> None:
    assert place(tmp_path, claim(f"s3://bkt/{key}")).uri == f"s3://bkt/{film}"


def test_names_too_long_for_a_key_still_differ(tmp_path: Path) -> None:
    keys = [f"in/{'長' * 330}{end}.mp4" for end in "甲乙"]
    films = [place(tmp_path, claim(f"s3://bkt/{key}")).uri.removeprefix("s3://bkt/") for key in keys]
    assert films[0] != films[1]
    for film in films:
        assert len(film.encode()) <= 1024
        assert film.startswith("in/長長長") and film.endswith("_cropped.mp4")


@pytest.mark.parametrize(
    ("path", "film"),
    [
        ("my%20clip.mp4?sig=a/b", "my clip_cropped.mp4"),
        ("%E6%9D%B1%E4%BA%AC.mp4", "東京_cropped.mp4"),
        ("%E5%A4%A7%E9%98%AA.mp4", "大阪_cropped.mp4"),
        ("x%2F..%2Fy%0A.mp4", "y__cropped.mp4"),
        ("caf%E9.mp4", "caf\ufffd_cropped.mp4"),
    ],
)
def test_a_web_film_is_named_as_its_url_reads(tmp_path: Path, path: str, film: str) -> None:
    assert place(tmp_path, claim(f"https://h/p/{path}"), output_bucket="films").uri == f"s3://films/{film}"


@pytest.mark.parametrize("place", ["s3://bkt/in/a.mp4", "gs://bkt/in/a.mp4", "S3://bkt/in/a.mp4"])
def test_the_input_is_no_place_for_its_film(place: str) -> None:
    with pytest.raises(InvalidRequest, match="is the input itself"):
        check_output_uri("s3://bkt/in/a.mp4", place, CROP.output)


@pytest.mark.parametrize("place", ["s3://bkt/a.mkv", "s3://bkt/a.MOV", "gs://bkt/x/a.webm"])
def test_another_container_is_refused_by_its_name(place: str) -> None:
    with pytest.raises(InvalidRequest, match=r"ends in \.mp4 or \.m4v"):
        check_output_uri("s3://bkt/in.mp4", place, CROP.output)


@pytest.mark.parametrize(
    "place", ["s3://bkt/", "s3://bkt/folder/", "file:///tmp/x.mp4", "https://h/x.mp4", "s3://bkt/../x.mp4"]
)
def test_what_names_no_object_is_refused(place: str) -> None:
    with pytest.raises(InvalidRequest):
        check_output_uri("s3://bkt/in.mp4", place, CROP.output)


@pytest.mark.parametrize("place", ["s3://bkt/a.mp4", "s3://bkt/a.M4V", "s3://bkt/film", "gs://bkt/東 京.mp4"])
def test_a_place_of_its_own_is_taken(place: str) -> None:
    check_output_uri("s3://bkt/in.mp4", place, CROP.output)
