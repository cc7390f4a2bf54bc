"""Names that users give: found as inputs, kept in films' names, and harmless wherever they are shown."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import SourceNotFound, UnsupportedInput
from backend.jobs.service import NewJob
from backend.local.given import check_given, place_input
from backend.settings import Settings
from backend.storage import open_source, open_store
from backend.storage.guard import safe_url
from backend.storage.names import film_name, name_in, path_from_uri

NAMES = [
    b"my clip.mp4", b"a+b.mp4", b"100%.mp4", b"50%25.mp4", b"what?.mp4", b"a#1.mp4", b"it's \"it\".mp4",
    b"two\nlines.mp4", b"-rf.mp4", "東京.mp4".encode(), "👩\u200d👩.mp4".encode(), b"caf\xe9.mp4", b"x" * 250 + b".mp4",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_is_found_by_its_path_and_by_its_uri(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
    path.write_bytes(b"film")
    settings = Settings(storage_url=(tmp_path / "objects").as_uri())
    for given_ in (str(path), path.as_uri(), path.as_uri().replace("file://", "FILE://localhost")):
        assert check_given(given_) == path
        placed = place_input(given_, NewJob("crop", "", ""), settings, open_store(settings))
        assert open_source(placed.input_uri, settings).read_at(0, 9) == b"film"
        placed.input_uri.encode("ascii")
        assert placed.input_name == name.decode(errors="replace")


def test_a_uri_typed_by_hand_needs_no_escapes(tmp_path: Path) -> None:
    for name in ("my clip.mp4", "a#1?.mp4", "東京.mp4", "100%.mp4"):
        (tmp_path / name).touch()
        assert path_from_uri(f"file://{tmp_path}/{name}") == tmp_path / name


@pytest.mark.parametrize("given_", ["no.mp4", "file:///no%20.mp4", "x" * 300, "/etc/passwd/x", "caf\udce9.mp4"])
def test_what_is_no_file_is_said_so(given_: str) -> None:
    with pytest.raises(SourceNotFound) as caught:
        check_given(given_)
    caught.value.message.encode()  # as a database takes it


@pytest.mark.parametrize("uri", ["file://host/x", "file://", "file:///a%00b", "file:relative"])
def test_uris_that_name_no_file_of_this_machine_are_refused(uri: str) -> None:
    with pytest.raises(UnsupportedInput):
        path_from_uri(uri)


@given(st.text(st.characters(codec=None), max_size=400))
def test_a_films_file_name_fits_any_folder_and_shows_what_it_is(name: str) -> None:
    made = film_name(name, "_cropped.mp4")
    assert made.endswith("_cropped.mp4") and "/" not in made and "\\" not in made
    assert len(made.encode()) <= 255
    hidden = {char for char in made if unicodedata.category(char).startswith("C")}
    assert hidden <= {"\u200c", "\u200d"}


def test_a_films_file_name_keeps_letters_of_every_script() -> None:
    assert film_name("東京.mp4", "_cropped.mp4") == "東京_cropped.mp4"
    assert film_name("Иван 1.MOV", "_cropped.mp4") == "Иван 1_cropped.mp4"
    assert film_name("نیم\u200cرخ.mp4", "_cropped.mp4") == "نیم\u200cرخ_cropped.mp4"
    assert film_name("C:\\me\\a\u202e4pm.mp4", "_cropped.mp4") == "a_4pm_cropped.mp4"


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("s3://b/in/a?b#c%20d.mp4", "a?b#c%20d.mp4"),
        ("gs://b/x.mp4", "x.mp4"),
        ("https://h/p/my%20clip.mp4?x=/y.mp4", "my clip.mp4"),
        ("https://h/", "video"),
        ("s3://b", "video"),
    ],
)
def test_an_input_is_called_what_its_uri_says(uri: str, name: str) -> None:
    assert name_in(uri) == name


def test_an_objects_uri_is_shown_as_it_is() -> None:
    assert safe_url("s3://b/in/東 京?#1.mp4") == "s3://b/in/東 京?#1.mp4"
