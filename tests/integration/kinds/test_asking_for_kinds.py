"""What the API says of each kind, and which places a client's parameters may name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.api.app import create_app
from backend.kinds import KINDS
from backend.settings import Settings
from tests.integration.kinds.shop import Shop
from tests.loopback import loopback
from tests.samples import make_sample

JOBS = "/api/v1/jobs"
SIGNED = "https://example.org/put.mp4?X-Amz-Signature=secret"


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(settings)
    yield app.test_client()
    app.extensions["framefleet"].planners.shutdown()
    app.extensions["framefleet"].database.close()


def schema_at(spec: dict[str, Any], reference: str) -> dict[str, Any]:
    found: Any = spec
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)


def references(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*(references(value) for value in part.values()))
    return set().union(*(references(value) for value in part)) if isinstance(part, list) else set()


def test_the_document_has_the_parameters_of_every_kind_told_apart_by_its_name(client: FlaskClient) -> None:
    spec = client.get("/openapi.json").get_json()
    asked = spec["paths"][JOBS]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert asked["discriminator"]["propertyName"] == "kind"
    assert set(asked["discriminator"]["mapping"]) == set(KINDS)
    for name, reference in asked["discriminator"]["mapping"].items():
        request = schema_at(spec, reference)
        params = schema_at(spec, request["properties"]["params"]["$ref"])
        assert set(params["properties"]) == set(KINDS[name].params.model_fields)
        assert request["properties"]["kind"]["const"] == name
    for reference in references(asked) | references(spec["components"]["schemas"]):
        assert schema_at(spec, reference), reference


@pytest.mark.parametrize("place", ["file:///etc/passwd", "/etc/passwd", "ftp://h/a.wav", "own"])
@pytest.mark.parametrize("field", ["audio_uri", "subtitles_uri", "font_uris"])
def test_parameters_name_no_place_that_the_input_may_not_name(
    client: FlaskClient, settings: Settings, tmp_path: Path, field: str, place: str
) -> None:
    uri = settings.storage_root_url + "/jobs/x/source" if place == "own" else place
    params = {field: [uri] if field == "font_uris" else uri}
    answer = client.post(JOBS, json={"kind": "encode", "input": "https://example.org/a.mp4", "params": params})
    assert answer.status_code == 422
    assert answer.get_json()["code"] == "unsupported_input"
    assert f"params.{field}" in answer.get_json()["detail"]
    assert client.get(JOBS).get_json()["jobs"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "encode", "params": {"language": "English"}}, "language"),
        ({"kind": "downsample"}, "resolution"),
        ({"kind": "downsample", "params": {"resolution": "huge"}}, "resolution"),
        ({"kind": "audio_trim", "params": {"start_sec": -1}}, "start_sec"),
        ({"kind": "audio_trim", "params": {"duration_sec": "NaN"}}, "duration_sec"),
        ({"kind": "stage", "params": {"sha256": "abc"}}, "sha256"),
        ({"kind": "crop", "params": {"aspect": "wide"}}, "aspect"),
        ({"kind": "annotate", "params": {"draw": "halos"}}, "draw"),
        ({"kind": "pose", "params": {"sample_fps": 0}}, "sample_fps"),
        ({"kind": "overlay", "params": {"highlight_regions": [{"start_frame": -1}]}}, "start_frame"),
        ({"kind": "framing", "params": {"keyframes": [{"frame": 0, "x": 0, "y": 0, "width": -1}]}}, "keyframes"),
    ],
)
def test_a_bad_parameter_of_any_kind_is_named(client: FlaskClient, body: dict[str, Any], field: str) -> None:
    answer = client.post(JOBS, json={"input": "https://example.org/a.mp4", **body})
    assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid_params")
    assert field in answer.get_json()["detail"]
    assert client.get(JOBS).get_json()["jobs"] == []


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"zones": [{"name": "a\0b", "polygon": [[0, 0], [1, 0], [1, 1]]}]}, "params.zones.0.name"),
        ({"classes": "person,a\0b"}, "params.classes"),
    ],
)
def test_a_text_that_no_database_holds_is_named(client: FlaskClient, params: dict[str, Any], field: str) -> None:
    answer = client.post(JOBS, json={"kind": "annotate", "input": "https://example.org/a.mp4", "params": params})
    assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid_value")
    assert [each["field"] for each in answer.get_json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"kind": "stage", "output_put_url": "file:///tmp/x"}, "output_put_url"),
        ({"kind": "audio_trim", "output_put_url": "https://h/a.docx?X-Amz-Signature=secret"}, "docx"),
    ],
)
def test_a_place_that_cannot_be_is_named_without_its_query(
    client: FlaskClient, body: dict[str, Any], word: str
) -> None:
    answer = client.post(JOBS, json={"input": "https://example.org/a.mp4", **body})
    assert answer.status_code == 422
    assert word in answer.get_json()["detail"] and "secret" not in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "stage", "output_put_url": SIGNED},
        {"kind": "encode", "params": {"audio_uri": SIGNED, "font_uris": [SIGNED]}},
    ],
)
def test_a_signed_link_is_shown_to_nobody(client: FlaskClient, asked: dict[str, Any]) -> None:
    made = client.post(JOBS, json={"input": "http://127.0.0.1:9/a.mp4", **asked})
    assert made.status_code == 202
    shown = [client.get(f"{JOBS}/{made.get_json()['id']}").get_json(), client.get(JOBS).get_json(), made.get_json()]
    assert "secret" not in json.dumps(shown)


def test_a_further_input_that_is_not_there_fails_the_job_by_its_name(shop: Shop, tmp_path: Path) -> None:
    clip = make_sample(tmp_path / "clip.mp4", seconds=1)
    with loopback(lambda request: (404, b"")) as address:
        job = shop.made("encode", str(clip), {"subtitles_uri": f"{address}/words.srt?key=secret"})
    assert (job.status, job.error_code) == ("failed", "input_not_found")
    assert (job.error_message or "").startswith("subtitles_uri: ") and "secret" not in (job.error_message or "")
