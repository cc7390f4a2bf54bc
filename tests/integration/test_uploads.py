"""Uploads in parts, over both stores, as a client sends them: whatever breaks, what is joined is what was sent."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from flask.testing import FlaskClient

from backend.api import new_job
from backend.api.app import create_app
from backend.db.engine import Database
from backend.errors import InvalidRequest, UploadBusy, UploadNotFound
from backend.jobs.retention import Retention
from backend.jobs.uploads import NewUpload, Uploads
from backend.settings import Settings
from backend.storage.local_parts import FOLDER
from backend.storage.s3 import make_client
from tests.conftest import empty_database
from tests.integration.rows import sql
from tests.moto_s3 import moto_server

UPLOADS, JOBS = "/api/v1/uploads", "/api/v1/jobs"
BUCKET = "uploads-in-parts"
LOCAL_PART, S3_PART = 64 * 1024, 5 * 2**20
FOREIGN = str(uuid.uuid4())


class Place:
    """An API over one store, and what a client does there."""

    def __init__(self, settings: Settings, *, signs: bool) -> None:
        self.settings = settings
        self.signs = signs
        self.part_bytes = S3_PART if signs else LOCAL_PART
        self.app = create_app(settings)
        self.client = self.app.test_client()
        self.database: Database = self.app.extensions["framefleet"].database
        self.store = self.app.extensions["framefleet"].store

    def bytes_of(self, parts: float) -> bytes:
        return os.urandom(int(parts * self.part_bytes))

    def begin(self, data: bytes, name: str = "talk.mp4", **more: Any) -> dict[str, Any]:
        answer = self.client.post(UPLOADS, json={"name": name, "size_bytes": len(data), **more})
        assert answer.status_code == 201, answer.get_json()
        return dict(answer.get_json())

    def send(self, upload: dict[str, Any], number: int, data: bytes, *, sha256: str | None = None) -> int:
        """The status. `data` is the part's, sent where and as the API says."""
        wanted = {"number": number, "sha256": sha256} if sha256 else {"number": number}
        answer = self.client.post(upload["links"]["parts"], json={"parts": [wanted]})
        assert answer.status_code == 200, answer.get_json()
        (link,) = answer.get_json()["parts"]
        if link["url"].startswith("/"):
            return self.client.put(link["url"], data=data, headers=_without_length(link["headers"])).status_code
        return urllib3.request("PUT", link["url"], body=data, headers=link["headers"] | PLAIN).status

    def send_all(self, upload: dict[str, Any], data: bytes, numbers: list[int] | None = None) -> None:
        for number in numbers or range(1, upload["parts"] + 1):
            part = self.part(upload, number, data)
            assert self.send(upload, number, part, sha256=hashlib.sha256(part).hexdigest()) == 200

    def part(self, upload: dict[str, Any], number: int, data: bytes) -> bytes:
        start = (number - 1) * upload["part_bytes"]
        return data[start : start + upload["part_bytes"]]

    def complete(self, upload: dict[str, Any]) -> Any:
        return self.client.post(upload["links"]["complete"])

    def get(self, upload: dict[str, Any]) -> dict[str, Any]:
        return dict(self.client.get(upload["links"]["self"]).get_json())

    def left(self) -> list[str]:
        """Unfinished files and multipart uploads, and objects."""
        if not self.signs:
            folder = Path(urlsplit(self.settings.storage_root_url).path) / FOLDER
            return [*(path.name for path in folder.glob("*")), *self.store.list("jobs/")]
        client = make_client(self.settings)
        begun = client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return [*(each["Key"] for each in begun), *self.store.list("jobs/")]


PLAIN = {"Content-Type": "application/octet-stream"}


def _without_length(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != "Content-Length"}


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    server = moto_server()
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@contextmanager
def place_at(postgres: str, folder: Path, s3_endpoint: str | None = None, **changes: Any) -> Iterator[Place]:
    with empty_database(postgres) as url:
        given = {"database_url": url, "data_dir": folder / "data", "upload_part_bytes": LOCAL_PART}
        if s3_endpoint is None:
            given["storage_url"] = (folder / "objects").as_uri()
        else:
            given |= {"storage_url": f"s3://{BUCKET}/some", "s3_endpoint_url": s3_endpoint, "s3_region": "us-east-1"}
            given |= {"s3_access_key_id": "k", "s3_secret_access_key": "s", "s3_addressing_style": "path"}
        settings = Settings.model_validate(given | changes)
        if s3_endpoint is not None:
            make_client(settings).create_bucket(Bucket=BUCKET)
        place = Place(settings, signs=s3_endpoint is not None)
        with closing(place.database):
            yield place
            place.app.extensions["framefleet"].planners.shutdown()


@pytest.fixture(scope="module")
def local(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place_at(postgres, tmp_path_factory.mktemp("local")) as place:
        yield place


@pytest.fixture(scope="module")
def bucket(postgres: str, tmp_path_factory: pytest.TempPathFactory, s3_endpoint: str) -> Iterator[Place]:
    with place_at(postgres, tmp_path_factory.mktemp("s3"), s3_endpoint) as place:
        yield place


@pytest.fixture(params=["local", "bucket"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Over a folder and over a bucket; nothing is left in either afterwards."""
    found: Place = request.getfixturevalue(request.param)
    yield found
    sql(found.database, "UPDATE uploads SET expires_at = now() - interval '1 s'")
    sql(found.database, "DELETE FROM video_analysis_jobs")
    Retention(found.database, found.store, found.settings).expire_uploads()
    assert sql(found.database, "SELECT id FROM uploads") == []
    for key in list(found.store.list("jobs/")):  # those of jobs
        found.store.delete(key)
    assert found.left() == []


def test_a_file_in_parts_becomes_the_input_of_a_job_byte_for_byte(place: Place) -> None:
    data = place.bytes_of(2.5)
    upload = place.begin(data)
    assert (upload["parts"], upload["part_bytes"], upload["state"]) == (3, place.part_bytes, "open")
    place.send_all(upload, data)
    assert place.store.head(f"jobs/{upload['id']}/source") is None  # nobody sees it before it is whole
    done = place.complete(upload)
    assert (done.status_code, done.get_json()["state"]) == (200, "complete")
    assert place.store.get(f"jobs/{upload['id']}/source") == data
    job = place.client.post(JOBS, json={"upload": upload["id"]}).get_json()
    assert (job["id"], job["input"]["name"]) == (upload["id"], "talk.mp4")
    assert place.get(upload)["state"] == "used"


def test_after_a_break_only_the_missing_parts_are_sent(place: Place) -> None:
    data = place.bytes_of(2.5)
    upload = place.begin(data)
    place.send_all(upload, data, [3, 1])
    there = place.get(upload)
    assert [part["number"] for part in there["received"]] == [1, 3]
    assert there["received_bytes"] == len(data) - place.part_bytes
    early = place.complete(upload)
    assert (early.status_code, early.get_json()["code"]) == (409, "upload_incomplete")
    assert "2" in early.get_json()["detail"]
    place.send_all(upload, data, [2])
    assert place.complete(upload).status_code == 200
    assert place.store.get(f"jobs/{upload['id']}/source") == data


def test_a_part_sent_again_takes_the_place_of_the_first(place: Place) -> None:
    data = place.bytes_of(1.5)
    upload = place.begin(data)
    assert place.send(upload, 1, place.bytes_of(1)) == 200
    place.send_all(upload, data)
    assert place.complete(upload).status_code == 200
    assert place.store.get(f"jobs/{upload['id']}/source") == data


def test_completing_twice_changes_nothing_and_no_part_is_taken_afterwards(place: Place) -> None:
    data = place.bytes_of(0.5)
    upload = place.begin(data)
    place.send_all(upload, data)
    for _ in range(2):
        assert place.complete(upload).get_json()["state"] == "complete"
    for asked in (
        place.client.post(upload["links"]["parts"], json={"parts": [{"number": 1}]}),
        place.client.put(f"{upload['links']['parts']}/1", data=b"x" * len(data)),
    ):
        assert (asked.status_code, asked.get_json()["code"]) == (409, "invalid_state")
    assert place.store.get(f"jobs/{upload['id']}/source") == data


def test_a_link_of_before_takes_nothing_once_the_upload_is_complete(bucket: Place) -> None:
    data = bucket.bytes_of(0.5)
    upload = bucket.begin(data)
    (link,) = bucket.client.post(upload["links"]["parts"], json={"parts": [{"number": 1}]}).get_json()["parts"]
    bucket.send_all(upload, data)
    bucket.complete(upload)
    headers = link["headers"] | PLAIN
    answer = urllib3.request("PUT", link["url"], body=bucket.bytes_of(0.5), headers=headers)
    assert answer.status >= 400
    assert bucket.store.get(f"jobs/{upload['id']}/source") == data
    bucket.client.delete(upload["links"]["self"])


def test_an_aborted_upload_leaves_nothing(place: Place) -> None:
    data = place.bytes_of(1.5)
    upload, whole = place.begin(data), place.begin(data)
    place.send_all(upload, data, [1])
    place.send_all(whole, data)
    place.complete(whole)
    for each in (upload, whole):
        assert place.client.delete(each["links"]["self"]).status_code == 204
        assert place.client.get(each["links"]["self"]).status_code == 404
        assert place.client.delete(each["links"]["self"]).get_json()["code"] == "upload_not_found"
    assert place.left() == []


def test_what_is_abandoned_goes_with_all_its_bytes_and_what_is_sent_to_stays(place: Place) -> None:
    data = place.bytes_of(1.5)
    old, young, whole = (place.begin(data) for _ in range(3))
    for each in (old, young):
        place.send_all(each, data, [1])
    place.send_all(whole, data)
    place.complete(whole)
    for each in (old, whole):
        past = "UPDATE uploads SET expires_at = now() - interval '1 s' WHERE id = :id"
        sql(place.database, past, id=each["id"])
    sweep = Retention(place.database, place.store, place.settings)
    dry = Retention(place.database, place.store, place.settings, dry_run=True)
    gone = {uuid.UUID(old["id"]), uuid.UUID(whole["id"])}
    assert set(dry.expire_uploads()) == gone
    assert place.get(old)["state"] == "open"
    assert set(sweep.expire_uploads()) == gone
    assert len(place.left()) == 1
    assert place.get(young)["received_bytes"] == place.part_bytes
    place.send_all(young, data, [2])
    assert place.complete(young).status_code == 200


def test_a_beginning_that_died_before_it_was_written_down_keeps_no_room(local: Place) -> None:
    local.begin(local.bytes_of(1))
    sql(local.database, "UPDATE uploads SET handle = NULL, expires_at = now() - interval '1 s'")
    assert len(local.left()) == 1
    Retention(local.database, local.store, local.settings).expire_uploads()
    assert local.left() == []


def test_an_upload_is_no_orphan_and_its_job_keeps_it_when_its_time_is_over(place: Place) -> None:
    data = place.bytes_of(0.5)
    upload = place.begin(data)
    place.send_all(upload, data)
    place.complete(upload)
    retention = Retention(place.database, place.store, place.settings)
    assert list(retention._without_row([uuid.UUID(upload["id"])])) == []
    assert place.client.post(JOBS, json={"upload": upload["id"]}).status_code == 202
    sql(place.database, "UPDATE uploads SET expires_at = now() - interval '1 s'")
    assert retention.expire_uploads() == []
    assert place.store.get(f"jobs/{upload['id']}/source") == data
    assert place.client.get(upload["links"]["self"]).status_code == 404


def test_two_jobs_of_one_upload_are_one(place: Place) -> None:
    data = place.bytes_of(0.5)
    upload = place.begin(data)
    not_yet = place.client.post(JOBS, json={"upload": upload["id"]})
    assert (not_yet.status_code, not_yet.get_json()["code"]) == (409, "invalid_state")
    place.send_all(upload, data)
    place.complete(upload)
    statuses: list[int] = []
    clients = [place.app.test_client() for _ in range(4)]
    together(*[lambda c=c: statuses.append(c.post(JOBS, json={"upload": upload["id"]}).status_code) for c in clients])
    assert sorted(statuses) == [202, 409, 409, 409]
    refused = place.client.delete(upload["links"]["self"])
    assert (refused.status_code, refused.get_json()["code"]) == (409, "invalid_state")
    assert place.store.get(f"jobs/{upload['id']}/source") == data


def together(*acts: Callable[[], object]) -> None:
    gate = threading.Barrier(len(acts))
    threads = [threading.Thread(target=lambda act=act: (gate.wait(), act())) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("turn", range(2))
def test_of_completing_and_aborting_at_once_one_wins(place: Place, turn: int) -> None:
    data = place.bytes_of(1)
    upload = place.begin(data)
    place.send_all(upload, data)
    clients = [place.app.test_client() for _ in range(4)]
    answers: list[tuple[str, int]] = []

    def complete(client: FlaskClient) -> None:
        answers.append(("complete", client.post(upload["links"]["complete"]).status_code))

    def abort(client: FlaskClient) -> None:
        answers.append(("abort", client.delete(upload["links"]["self"]).status_code))

    together(*[lambda c=c: complete(c) for c in clients[:2]], *[lambda c=c: abort(c) for c in clients[2:]])
    assert sum(status == 204 for what, status in answers if what == "abort") == 1
    # moto breaks down over an upload that it does not know; S3 says 404.
    assert {status for _, status in answers} <= {200, 204, 404, 409, *([503] if place.signs else [])}
    assert place.client.get(upload["links"]["self"]).status_code == 404
    assert place.left() == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"name": "a.mp4"}, 422, "invalid_value"),
        ({"name": "a.mp4", "size_bytes": 0}, 422, "invalid_value"),
        ({"name": "a.mp4", "size_bytes": True}, 422, "invalid_value"),
        ({"name": "a.mp4", "size_bytes": "9"}, 422, "invalid_value"),
        ({"name": "a.mp4", "size_bytes": 2**70}, 413, "upload_too_large"),
        ({"name": "", "size_bytes": 9}, 422, "invalid_value"),
        ({"name": "a.mp4", "size_bytes": 9, "sha256": "00"}, 422, "invalid_value"),
        ({"name": "a.mp4", "size_bytes": 9, "key": "jobs/x"}, 422, "invalid_value"),
        ({"name": "a.mp4", "size_bytes": 9, "part_checksum": "md5"}, 422, "invalid_value"),
    ],
)
def test_a_bad_beginning_is_a_problem_and_nothing_is_begun(
    local: Place, body: dict[str, Any], status: int, code: str
) -> None:
    answer = local.client.post(UPLOADS, json=body)
    assert (answer.status_code, answer.get_json()["code"]) == (status, code)
    assert answer.mimetype == "application/problem+json"
    assert local.left() == []


def test_a_part_of_another_length_or_number_is_refused(place: Place) -> None:
    data = place.bytes_of(1.5)
    upload = place.begin(data)
    for number, sent in ((1, data[:-1]), (1, b"x"), (2, data), (2, data[: place.part_bytes]), (3, data), (0, data)):
        answer = place.client.put(f"{upload['links']['parts']}/{number}", data=sent)
        assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid_value"), number
    for numbers in ([3], [0], [True], list(range(1, 102))):
        asked = place.client.post(upload["links"]["parts"], json={"parts": [{"number": n} for n in numbers]})
        assert asked.status_code == 422
    unread = {"wsgi.input": _Unread(), "wsgi.input_terminated": True}
    no_length = place.client.put(f"{upload['links']['parts']}/1", environ_overrides=unread)
    assert (no_length.status_code, no_length.get_json()["code"]) == (411, "length_required")
    assert place.get(upload)["received"] == []


class _Unread:
    def read(self, size: int = -1) -> bytes:
        raise AssertionError("nothing is to be read of it")


def digest_header(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


@pytest.mark.parametrize("header", ["Content-Digest", "Repr-Digest"])
def test_a_part_with_other_bytes_than_its_digest_says_is_not_taken(place: Place, header: str) -> None:
    data = place.bytes_of(0.5)
    upload = place.begin(data, part_checksum="sha256")
    assert upload["part_checksum"] == "sha256"
    url = f"{upload['links']['parts']}/1"
    wrong = place.client.put(url, data=data, headers={header: digest_header(data + b"x")})
    assert (wrong.status_code, wrong.get_json()["code"]) == (400, "checksum_mismatch")
    for bad, status in (("sha-256=:AAAA:", 400), ("sha-256=:***:", 400), ("", 422)):
        assert place.client.put(url, data=data, headers={header: bad}).status_code == status, bad
    assert place.get(upload)["received"] == []
    right = place.client.put(url, data=data, headers={header: f"sha-512=:AAAA:, {digest_header(data)}"})
    assert right.get_json()["sha256"] == hashlib.sha256(data).hexdigest()
    assert place.complete(upload).get_json()["checked"] == "parts"
    assert place.store.get(f"jobs/{upload['id']}/source") == data


def test_the_whole_files_checksum_decides(local: Place) -> None:
    data = local.bytes_of(1.5)
    upload = local.begin(data, sha256=hashlib.sha256(data).hexdigest())
    assert upload["checked"] == "sha256"
    local.send_all(upload, data, [2])
    local.send_all(upload, local.bytes_of(1.5), [1])
    wrong = local.complete(upload)
    assert (wrong.status_code, wrong.get_json()["code"]) == (400, "checksum_mismatch")
    assert local.store.head(f"jobs/{upload['id']}/source") is None
    local.send_all(upload, data, [1])
    assert local.complete(upload).status_code == 200
    local.client.delete(upload["links"]["self"])


def test_a_signed_link_is_for_one_part_of_one_upload_in_its_length_and_with_its_checksum(bucket: Place) -> None:
    data = bucket.bytes_of(1.5)
    upload = bucket.begin(data, part_checksum="sha256")
    wanted = [{"number": number, "sha256": "ab" * 32} for number in (1, 2)]
    first, last = bucket.client.post(upload["links"]["parts"], json={"parts": wanted}).get_json()["parts"]
    for link, number in ((first, 1), (last, 2)):
        parts, query = urlsplit(link["url"]), parse_qs(urlsplit(link["url"]).query)
        assert parts.path == f"/{BUCKET}/some/jobs/{upload['id']}/source"
        assert query["partNumber"] == [str(number)]
        assert query["uploadId"] and int(query["X-Amz-Expires"][0]) <= 300
        signed = query["X-Amz-SignedHeaders"][0].split(";")
        assert {"content-length", "host", "x-amz-checksum-sha256"} <= set(signed)
    assert last["headers"]["Content-Length"] == str(len(data) - bucket.part_bytes)
    assert first["headers"]["x-amz-checksum-sha256"] == base64.b64encode(bytes.fromhex("ab" * 32)).decode()
    without = bucket.client.post(upload["links"]["parts"], json={"parts": [{"number": 1}]})
    assert without.status_code == 422
    bucket.client.delete(upload["links"]["self"])


@pytest.mark.parametrize("path", ["", "/parts", "/parts/1", "/complete"])
def test_an_upload_that_is_not_there_is_a_404_problem(local: Place, path: str) -> None:
    method = {"": "GET", "/parts/1": "PUT"}.get(path, "POST")
    more = {"json": {"parts": [{"number": 1}]}} if path == "/parts" else {"data": b"x"}
    answer = local.client.open(f"{UPLOADS}/{FOREIGN}{path}", method=method, **more)
    assert (answer.status_code, answer.get_json()["code"]) == (404, "upload_not_found")
    made = local.client.post(JOBS, json={"upload": FOREIGN})
    assert (made.status_code, made.get_json()["code"]) == (404, "upload_not_found")


def test_another_tenants_upload_is_not_there(place: Place) -> None:
    theirs = Uploads(place.database, place.store, place.settings, tenant="other")
    data = place.bytes_of(0.5)
    upload = place.begin(data)
    place.send_all(upload, data)
    known = uuid.UUID(upload["id"])
    for act in (
        lambda: theirs.get(known),
        lambda: theirs.links(known, [(1, None)]),
        lambda: theirs.put(known, 1, len(data), None, None),  # type: ignore[arg-type]
        lambda: theirs.complete(known),
        lambda: theirs.abort(known),
    ):
        with pytest.raises(UploadNotFound):
            act()
    assert place.get(upload)["received_bytes"] == len(data)


class _Torn:
    """A client that hangs up in the middle of a part, after it was looked at from outside."""

    def __init__(self, data: bytes, look: Callable[[], None] = lambda: None) -> None:
        self._blocks = [data]
        self._look = look

    def read(self, size: int = -1) -> bytes:
        self._look()
        if not self._blocks:
            raise ConnectionResetError("the client hung up")
        return self._blocks.pop()[:size]


def test_a_part_that_breaks_off_is_missing_even_where_it_was_there_before(place: Place) -> None:
    data = place.bytes_of(1.5)
    upload = place.begin(data)
    place.send_all(upload, data)
    uploads = Uploads(place.database, place.store, place.settings)
    known = uuid.UUID(upload["id"])
    before = [2] if not place.signs else [1, 2]  # a bucket keeps the part that it has until it has another
    for stream in (_Torn(data[:100]), _Short(data[:100])):
        with pytest.raises((ConnectionError, InvalidRequest)):
            uploads.put(known, 1, place.part_bytes, None, stream)  # type: ignore[arg-type]
        assert [part["number"] for part in place.get(upload)["received"]] == before
    place.send_all(upload, data, [1])
    assert place.complete(upload).status_code == 200
    assert place.store.get(f"jobs/{upload['id']}/source") == data


class _Short(_Torn):
    def read(self, size: int = -1) -> bytes:
        return self._blocks.pop()[:size] if self._blocks else b""


def test_while_a_part_is_written_nobody_else_writes_it_or_completes_the_upload(local: Place) -> None:
    data = local.bytes_of(2)
    upload = local.begin(data)
    local.send_all(upload, data)
    uploads = Uploads(local.database, local.store, local.settings)
    known = uuid.UUID(upload["id"])
    seen: list[str] = []

    def look() -> None:
        if seen:
            return
        seen.append("once")
        with pytest.raises(UploadBusy):
            uploads.put(known, 1, local.part_bytes, None, None)  # type: ignore[arg-type]
        with pytest.raises(UploadBusy):
            uploads.complete(known)
        local.send_all(upload, data, [2])  # another part is nobody's business

    uploads.put(known, 1, local.part_bytes, None, _Looking(data[: local.part_bytes], look))  # type: ignore[arg-type]
    assert seen
    assert local.complete(upload).status_code == 200
    assert local.store.get(f"jobs/{upload['id']}/source") == data
    local.client.delete(upload["links"]["self"])


class _Looking(_Torn):
    def read(self, size: int = -1) -> bytes:
        self._look()
        return self._blocks.pop()[:size]


@pytest.mark.parametrize("dies", [False, True], ids=["to its end", "and dies halfway"])
def test_a_part_whose_upload_is_aborted_meanwhile_is_not_there(local: Place, dies: bool) -> None:
    data = local.bytes_of(1)
    upload = local.begin(data)
    known = uuid.UUID(upload["id"])
    uploads = Uploads(local.database, local.store, local.settings)

    def abort() -> None:
        if dies:
            sql(local.database, "UPDATE uploads SET state = 'aborted' WHERE id = :id", id=known)
        else:
            uploads.abort(known)

    with pytest.raises(UploadNotFound):
        uploads.put(known, 1, len(data), None, _Looking(data, abort))  # type: ignore[arg-type]
    assert sql(local.database, "SELECT number FROM upload_parts") == []
    Retention(local.database, local.store, local.settings).expire_uploads()
    assert local.left() == []


def test_a_complete_that_died_halfway_is_finished_by_the_next(local: Place) -> None:
    """The file is in its place already, the row does not know yet."""
    data = local.bytes_of(1.5)
    upload = local.begin(data)
    local.send_all(upload, data)
    handle = sql(local.database, "SELECT handle FROM uploads")[0]["handle"]
    root = Path(urlsplit(local.settings.storage_root_url).path)
    target = root / "jobs" / upload["id"] / "source"
    target.parent.mkdir(parents=True)
    (root / FOLDER / handle).rename(target)
    refused = local.client.put(f"{upload['links']['parts']}/2", data=local.part(upload, 2, data))
    assert refused.status_code == 409
    assert local.complete(upload).get_json()["state"] == "complete"
    assert local.store.get(f"jobs/{upload['id']}/source") == data
    local.client.delete(upload["links"]["self"])
    assert local.left() == []


def test_what_does_not_fit_is_refused_before_it_begins(postgres: str, tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    free_bytes = disk.f_bavail * disk.f_frsize
    floor_bytes = free_bytes - 2 * 2**30
    with place_at(postgres, tmp_path, upload_free_bytes_min=floor_bytes) as place:
        first = place.client.post(UPLOADS, json={"name": "a", "size_bytes": 3 * 2**29})
        assert first.status_code == 201
        for asked in (
            place.client.post(UPLOADS, json={"name": "b", "size_bytes": 3 * 2**29}),  # the first may still fill its own
            place.client.post(JOBS, content_type=FORM, environ_overrides={"CONTENT_LENGTH": str(3 * 2**29)}),
        ):
            assert (asked.status_code, asked.get_json()["code"]) == (507, "storage_full")
        assert len(place.left()) == 1
        place.client.delete(first.get_json()["links"]["self"])
        assert place.client.post(UPLOADS, json={"name": "b", "size_bytes": 3 * 2**29}).status_code == 201


FORM = "multipart/form-data; boundary=x"


class _Fills(io.RawIOBase):
    """A form. While it comes in, others are promised what is left of the disk."""

    def __init__(self, data: bytes, promise: Path) -> None:
        self._data, self._promise = io.BytesIO(data), promise

    def readinto(self, block: Any) -> int:
        with self._promise.open("wb") as file:
            file.truncate(3 * 2**30)
        return self._data.readinto(block)


def test_a_form_that_comes_in_leaves_the_disk_its_floor(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_job, "LOOK_EVERY_BYTES", 2**18)
    disk = os.statvfs(tmp_path)
    floor_bytes = disk.f_bavail * disk.f_frsize - 2 * 2**30
    with place_at(postgres, tmp_path, upload_free_bytes_min=floor_bytes) as place:
        promises = tmp_path / "objects" / FOLDER
        promises.mkdir(exist_ok=True)
        head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        form = head + bytes(2**20) + b"\r\n--x--\r\n"
        over = {
            "CONTENT_TYPE": FORM,
            "CONTENT_LENGTH": str(len(form)),
            "wsgi.input": _Fills(form, promises / "of-others"),
        }
        answer = place.client.post(JOBS, environ_overrides=over)
        assert (answer.status_code, answer.get_json()["code"]) == (507, "storage_full")
        assert list(place.store.list("jobs/")) == []


def test_what_a_tenant_may_have_open_is_bounded(postgres: str, tmp_path: Path) -> None:
    with place_at(postgres, tmp_path, uploads_open_max=2, uploads_open_bytes_max=1000) as place:
        too_large = place.client.post(UPLOADS, json={"name": "a", "size_bytes": 1001})
        assert (too_large.status_code, too_large.get_json()["code"]) == (429, "upload_quota_reached")
        statuses: list[int] = []
        clients = [place.app.test_client() for _ in range(5)]

        def begin(client: FlaskClient) -> None:
            statuses.append(client.post(UPLOADS, json={"name": "a", "size_bytes": 400}).status_code)

        together(*[lambda c=c: begin(c) for c in clients])
        assert sorted(statuses) == [201, 201, 429, 429, 429]
        others = Uploads(place.database, place.store, place.settings, tenant="other")
        others.begin(NewUpload("b", 400))  # has its own
        one = sql(place.database, "SELECT id FROM uploads WHERE tenant = 'default' LIMIT 1")[0]["id"]
        place.client.delete(f"{UPLOADS}/{one}")
        assert place.client.post(UPLOADS, json={"name": "a", "size_bytes": 600}).status_code == 201
