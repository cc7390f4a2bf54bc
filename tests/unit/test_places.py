"""One object, many spellings: what is closed to clients stays closed under all of them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from backend.errors import UnsupportedInput
from backend.settings import Settings
from backend.storage.places import ClientPlaces, Spot, spot_of

OWN = "http://s3.films.example:9000"


def places(
    allowed: str = "s3://films, gs://films, s3://FILMS", endpoint: str | None = OWN, **changes: Any
) -> ClientPlaces:
    given = {"storage_url": "s3://films/store", "s3_endpoint_url": endpoint, **changes}
    return ClientPlaces(allowed, Settings.model_validate(given))


OURS = [
    "s3://films/store/jobs/x/source",
    "gs://films/store/jobs/x/source",
    "S3://films/store/jobs/x/source",
    "Gs://films/store/tenants/t/jobs/x/output/a.mp4",
    "s3://FILMS/store/jobs/x/source",
    "s3://films/STORE/jobs/x/source",
    "s3://films//store/jobs/x/source",
    "s3://films/store//jobs//x/source",
    "s3://films/store\\jobs\\x",
    "s3://films/store%2Fjobs%2Fx",
    "s3://films/%73tore/jobs/x",
    "s3://films/%2573tore/jobs/x",
    "s3://films/in/%2e%2e/store/jobs/x",
    "s3://films/store",
    "s3://films/store/anything",
]


@pytest.mark.parametrize("endpoint", [OWN, None])
@pytest.mark.parametrize("uri", OURS)
def test_our_own_store_is_closed_under_every_spelling_whatever_is_allowed(uri: str, endpoint: str | None) -> None:
    for check in (places(endpoint=endpoint).check_input, places(endpoint=endpoint).check_output):
        with pytest.raises(UnsupportedInput, match=r"^field: this place is not open to clients"):
            check(uri, "field")


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        (f"{OWN}/films/store/jobs/x/film.mp4?X-Amz-Signature=s", OWN),
        ("http://S3.Films.Example:9000/films/store/jobs/x/film.mp4", OWN),
        ("http://s3.films.example.:9000/films/store/jobs/x/film.mp4", OWN),
        ("http://films.s3.films.example:9000/store/jobs/x/film.mp4", OWN),
        (f"{OWN}/films/%73tore/jobs/x/film.mp4", OWN),
        (f"{OWN}//films//store/jobs/x/film.mp4", OWN),
        ("https://films.s3.amazonaws.com/store/jobs/x/film.mp4?X-Amz-Signature=s", None),
        ("https://films.s3.eu-west-1.amazonaws.com/store/jobs/x/film.mp4", None),
        ("https://films.s3-accelerate.amazonaws.com/store/jobs/x/film.mp4", None),
        ("https://s3.dualstack.eu-west-1.amazonaws.com/films/store/jobs/x/film.mp4", None),
        ("https://s3-eu-west-1.amazonaws.com/films/store/jobs/x/film.mp4", None),
        ("https://s3.cn-north-1.amazonaws.com.cn/films/store/jobs/x/film.mp4", None),
        ("https://s3.eu-west-1.amazonaws.com/films/store/jobs/x/film.mp4", "https://s3.us-east-1.amazonaws.com"),
        ("https://storage.googleapis.com/films/store/jobs/x/film.mp4", "https://storage.googleapis.com"),
        ("https://films.storage.googleapis.com/store/jobs/x/film.mp4", "https://storage.googleapis.com"),
    ],
)
def test_no_signed_link_leads_into_our_own_store(url: str, endpoint: str | None) -> None:
    with pytest.raises(UnsupportedInput, match="output_put_url: this place is not open"):
        places(endpoint=endpoint).check_put_url(url, "output_put_url")


@pytest.mark.parametrize(
    "url",
    [
        f"{OWN}/films/in/film.mp4",
        f"{OWN}/storefront/store/jobs/x",
        "http://s3.films.example:9001/films/store/jobs/x",
        "https://example.com/films/store/jobs/x",
        "https://films.s3.amazonaws.com/store/jobs/x",  # another store than our endpoint's
    ],
)
def test_signed_links_to_elsewhere_are_the_clients_own(url: str) -> None:
    places().check_put_url(url, "output_put_url")


def test_nothing_is_open_until_it_is_named_and_the_refusal_says_what_to_set() -> None:
    closed = places(allowed="")
    for check in (closed.check_input, closed.check_output):
        with pytest.raises(UnsupportedInput, match="ALLOWED_PREFIXES"):
            check("s3://theirs/in/a.mp4", "input")
    closed.check_input("https://example.com/a.mp4", "input")


@pytest.mark.parametrize(
    ("allowed", "uri", "is_open"),
    [
        ("s3://bkt/pre", "s3://bkt/pre/a.mp4", True),
        ("s3://bkt/pre", "s3://bkt/pre", True),
        ("s3://bkt/pre", "s3://bkt/prefix-evil/a.mp4", False),
        ("s3://bkt/pre/", "s3://bkt/pre/deep/a.mp4", True),
        ("s3://bkt/pre/", "s3://bkt/prefix-evil/a.mp4", False),
        ("s3://bkt/pre/", "s3://bkt/pre/%2e%2e/secret", False),
        ("s3://bkt/pre/", "s3://bkt/pre\\..\\secret", False),
        ("s3://bkt", "s3://bkt/anything", True),
        ("s3://bkt", "s3://bkt-evil/anything", False),
        ("S3://bkt/in/", "s3://bkt/in/a.mp4", True),
        ("s3://bkt/in/", "s3://bkt/IN/a.mp4", False),
        (" s3://other/x , s3://bkt/in/ ,", "s3://bkt/in/100%25 ?#.mp4", True),
        ("s3://bkt/in/", "gs://bkt/in/a.mp4", True),  # one endpoint serves both
    ],
)
def test_prefixes_end_where_a_step_of_the_key_does(allowed: str, uri: str, is_open: bool) -> None:
    for check in (places(allowed).check_input, places(allowed).check_output):
        if is_open:
            check(uri, "input")
        else:
            with pytest.raises(UnsupportedInput):
                check(uri, "input")


def test_without_an_endpoint_of_ones_own_gs_and_s3_are_two_stores() -> None:
    with pytest.raises(UnsupportedInput):
        places("s3://bkt/in/", endpoint=None).check_input("gs://bkt/in/a.mp4", "input")
    settings = Settings(s3_endpoint_url=None)
    assert spot_of("gs://bkt/a", settings) == spot_of("https://storage.googleapis.com/bkt/a", settings)
    assert spot_of("s3://bkt/a", settings) == spot_of("https://bkt.s3.eu-west-1.amazonaws.com/a?v=1", settings)
    assert spot_of("s3://bkt/a//b", settings) == Spot("aws", "bkt", "a//b")
    assert spot_of("https://example.com/bkt/a", settings) is None


def test_a_film_goes_beside_its_input_only_where_that_folder_is_open() -> None:
    places("s3://bkt/in/").check_beside("s3://bkt/in/a.mp4", "input")
    with pytest.raises(UnsupportedInput, match="give output_uri"):
        places("s3://bkt/in/a.mp4").check_beside("s3://bkt/in/a.mp4", "input")


@pytest.mark.parametrize("allowed", ["bkt/in/", "https://bkt/", "s3://", "s3:///in", "s3://a b/", "file:///tmp/"])
def test_what_names_no_bucket_is_no_setting(allowed: str) -> None:
    with pytest.raises(ValidationError, match="ALLOWED_PREFIXES"):
        Settings.model_validate({"allowed_prefixes": allowed})
