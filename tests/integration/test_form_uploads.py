"""Files in forms, as curl -F and browsers send them: written once, whatever they are called, and never half."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.api.app import create_app
from backend.api.form_stream import BLOCK_BYTES, MAX_FIELDS_BYTES, FormStream
from backend.db.engine import Database
from backend.settings import Settings
from backend.storage import open_store
from backend.storage.base import ObjectStore
from tests.conftest import empty_database
from tests.integration.rows import sql

JOBS = "/api/v1/jobs"
BOUNDARY = b"----x--7"
FORM = f"multipart/form-data; boundary={BOUNDARY.decode()}"


class Api:
    def __init__(self, settings: Settings) -> None:
        app = create_app(settings)
        self.client: FlaskClient = app.test_client()
        self.database: Database = app.extensions["framefleet"].database
        self.store: ObjectStore = open_store(settings)
        self.planners = app.extensions["framefleet"].planners

    def send(self, *parts: bytes, end: bytes = b"--" + BOUNDARY + b"--\r\n", **more: Any) -> Any:
        body = b"".join(b"--" + BOUNDARY + b"\r\n" + part + b"\r\n" for part in parts) + end
        return self.client.post(
            JOBS, data=body, content_type=f"multipart/form-data; boundary={BOUNDARY.decode()}", **more
        )

    def stored(self) -> list[str]:
        return list(self.store.list("jobs/"))


@pytest.fixture(scope="module")
def shared_api(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("forms")
    with empty_database(postgres) as url:
        given = {"database_url": url, "data_dir": folder, "storage_url": (folder / "objects").as_uri()}
        api = Api(Settings.model_validate(given))
        with closing(api.database):
            yield api
            api.planners.shutdown()


@pytest.fixture
def api(shared_api: Api) -> Iterator[Api]:
    """Jobs are made, and planned by nobody: these are no films."""
    yield shared_api
    sql(shared_api.database, "DELETE FROM video_analysis_jobs")
    for key in shared_api.stored():
        shared_api.store.delete(key)


def field(name: str, value: bytes) -> bytes:
    return b'Content-Disposition: form-data; name="%s"\r\n\r\n%s' % (name.encode(), value)


def file(data: bytes, name: bytes = b"a.mp4", field_name: bytes = b"file") -> bytes:
    head = b'Content-Disposition: form-data; name="%s"; filename="%s"\r\nContent-Type: video/mp4\r\n\r\n'
    return head % (field_name, name) + data


TRICKY = [
    b"", b"\r\n", b"\n", b"\r", b"--", b"\r\n--" + BOUNDARY[:-1], b"\r\n--" + BOUNDARY + b"x", b"-" + BOUNDARY,
    os.urandom(3 * BLOCK_BYTES + 17), b"\r\n" * BLOCK_BYTES, b"-" * (BLOCK_BYTES + 1),
    os.urandom(BLOCK_BYTES - 3) + b"\r\n--" + BOUNDARY[:4],
]  # fmt: skip


@pytest.mark.parametrize("data", TRICKY, ids=range(len(TRICKY)))
def test_a_forms_file_is_stored_byte_for_byte(api: Api, data: bytes) -> None:
    answer = api.send(file(data), field("priority", b"7"))
    assert answer.status_code == 202, answer.get_json()
    job_id = answer.get_json()["id"]
    assert api.store.get(f"jobs/{job_id}/source") == data
    rows = sql(api.database, "SELECT priority FROM video_analysis_jobs WHERE id = :id", id=job_id)
    assert rows == [{"priority": 7}]


def test_a_store_may_ask_for_more_behind_the_files_end() -> None:
    """S3's transfers do."""
    body = b"".join(b"--" + BOUNDARY + b"\r\n" + part + b"\r\n" for part in (file(b"film"), field("kind", b"crop")))
    form = FormStream(io.BytesIO(body + b"--" + BOUNDARY + b"--\r\n"), BOUNDARY.decode())
    assert [form.read() for _ in range(4)] == [b"film", b"", b"", b""]
    assert form.fields == {"kind": "crop"}


def test_nothing_is_written_to_the_temporary_folder(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))  # whoever writes there fails
    answer = api.send(file(os.urandom(4 * 2**20)))
    assert answer.status_code == 202


NAMES = [
    b"../../etc/passwd", b"..\\..\\x.mp4", b"a\r\nSet-Cookie: x=1", b"<img src=x onerror=alert(1)>.mp4", b"caf\xe9.mp4",
    b"x" * 300 + b".mp4", b"\xe2\x80\xaegpj.exe", b"%0d%0aX: y", b"'; DROP TABLE jobs; --.mp4",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_stored_shown_and_downloaded_harmlessly(api: Api, name: bytes) -> None:
    sent = name.replace(b"\r\n", b"%0D%0A")  # as browsers and curl do
    made = api.send(file(b"x", sent.replace(b"\\", b"\\\\")))
    assert made.status_code == 202, made.get_json()
    check_harmless(api, made.get_json(), sent.decode("utf-8", "replace"))


@pytest.mark.parametrize("name", [each.decode("utf-8", "replace") for each in NAMES])
def test_any_name_of_an_upload_in_parts_is_harmless_too(api: Api, name: str) -> None:
    upload = api.client.post("/api/v1/uploads", json={"name": name, "size_bytes": 1}).get_json()
    assert api.client.put(f"{upload['links']['parts']}/1", data=b"x").status_code == 200
    assert api.client.post(upload["links"]["complete"]).status_code == 200
    check_harmless(api, api.client.post(JOBS, json={"upload": upload["id"]}).get_json(), name)


def test_a_name_that_no_database_takes_is_refused(api: Api) -> None:
    for name in ("a\0b.mp4", "\ud800.mp4"):
        answer = api.client.post("/api/v1/uploads", json={"name": name, "size_bytes": 1})
        assert answer.status_code in (400, 422)
        assert answer.mimetype == "application/problem+json"


def check_harmless(api: Api, job: dict[str, Any], name: str) -> None:
    shown = job["input"]["name"]
    assert len(shown) <= 255 and "\0" not in shown
    assert shown[:8] == name[:8].replace("\0", "\ufffd")
    assert f"jobs/{job['id']}/source" in api.stored()
    assert all(key.startswith(f"jobs/{job['id']}/") for key in api.stored())
    api.store.put(f"jobs/{job['id']}/output/film.mp4", b"film")
    done = "UPDATE video_analysis_jobs SET status = 'done', stage = 'DONE', output_uri = 'x', output_key = :key"
    sql(api.database, done, key=f"jobs/{job['id']}/output/film.mp4")
    saved = api.client.get(f"{JOBS}/{job['id']}/output?download=true")
    assert saved.data == b"film"
    assert "Set-Cookie" not in saved.headers and "X" not in saved.headers
    disposition = saved.headers["Content-Disposition"]
    assert disposition.startswith("attachment; filename=") and disposition.isascii()
    plain = disposition.partition('filename="')[2].partition('"')[0]
    assert not set(plain) & set('/\\<>\r\n"')
    assert not plain.startswith(".")


@pytest.mark.parametrize(
    ("parts", "end", "status"),
    [
        ((), b"--%s--\r\n" % BOUNDARY, 422),
        ((file(b"x"), file(b"y")), b"--%s--\r\n" % BOUNDARY, 422),
        ((file(b"x", field_name=b"video"),), b"--%s--\r\n" % BOUNDARY, 422),
        ((file(b"x", name=b""),), b"--%s--\r\n" % BOUNDARY, 422),
        ((field("file", b"x"),), b"--%s--\r\n" % BOUNDARY, 422),
        ((file(b"x"),), b"", 400),
        ((file(b"x"), b"no headers at all"), b"--%s--\r\n" % BOUNDARY, 400),
        ((b"X-Other: y\r\n\r\nz",), b"--%s--\r\n" % BOUNDARY, 400),
        ((b"X" * 2**20,), b"--%s--\r\n" % BOUNDARY, 413),
        ((field("params", b" " * (MAX_FIELDS_BYTES + 1)), file(b"x")), b"--%s--\r\n" % BOUNDARY, 413),
        ((file(b"x"), field("params", b" " * (MAX_FIELDS_BYTES + 1))), b"--%s--\r\n" % BOUNDARY, 413),
        ((*[field(f"f{n}", b"") for n in range(40)], file(b"x")), b"--%s--\r\n" % BOUNDARY, 413),
        ((file(b"x"), field("kind", b"knit")), b"--%s--\r\n" % BOUNDARY, 422),
        ((file(b"x"), field("colour", b"red")), b"--%s--\r\n" % BOUNDARY, 422),
        ((file(b"x"),), b"--%s--\r\n" % BOUNDARY + b"y" * 2**20, 413),
    ],
    ids=range(15),
)
def test_a_strange_form_is_refused_and_nothing_stored(
    api: Api, parts: tuple[bytes, ...], end: bytes, status: int
) -> None:
    answer = api.send(*parts, end=end)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json"), answer.get_json()
    assert api.stored() == []
    assert api.client.get(JOBS).get_json()["jobs"] == []


@pytest.mark.parametrize("header", ["", "; boundary=", "; boundary=\u00e4"])
def test_a_form_without_a_boundary_is_refused(api: Api, header: str) -> None:
    answer = api.client.post(JOBS, data=file(b"x"), content_type=f"multipart/form-data{header}")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_request")


class _Breaking(io.RawIOBase):
    """A client that hangs up after so many bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readinto(self, block: Any) -> int:
        return self._data.readinto(block)


def test_a_form_that_breaks_off_leaves_nothing(api: Api) -> None:
    begun = b"--" + BOUNDARY + b"\r\n" + file(os.urandom(2 * BLOCK_BYTES))
    over = {"CONTENT_TYPE": FORM, "wsgi.input": _Breaking(begun), "CONTENT_LENGTH": str(10 * len(begun))}
    answer = api.client.post(JOBS, environ_overrides=over)
    assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_request")
    assert api.stored() == []


def test_fields_before_the_file_are_checked_before_it_is_read(api: Api) -> None:
    begun = b"--" + BOUNDARY + b"\r\n" + field("kind", b"crop") + b"\r\n--" + BOUNDARY + b"\r\n"
    begun += field("params", b'{"aspect": "wide"}') + b"\r\n--" + BOUNDARY + b"\r\n" + file(b"x" * 4 * BLOCK_BYTES)
    stream = _Breaking(begun)
    over = {"CONTENT_TYPE": FORM, "wsgi.input": stream, "CONTENT_LENGTH": str(100 * len(begun))}
    answer = api.client.post(JOBS, environ_overrides=over)
    assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid_params")
    assert len(stream._data.read()) >= 3 * BLOCK_BYTES
