"""One contract, two stores: what a caller of ObjectStore and Source may count on."""

from __future__ import annotations

import io
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3

from backend.errors import (
    FramefleetError,
    MediaTooLarge,
    ObjectExists,
    ObjectNotFound,
    SourceChanged,
    SourceNotFound,
    SourceUnreachable,
    StorageError,
    UnsupportedInput,
    UploadTooLarge,
)
from backend.settings import Settings
from backend.storage import open_source, open_store
from backend.storage.base import ObjectStore
from backend.storage.names import content_disposition, split_object_uri
from backend.storage.s3 import PART_BYTES, make_client

KEY = "jobs/7f/chunks/chunk_0001.json"
HOSTILE_KEYS = [
    "", "/", "/etc/passwd", "..", "../x", "jobs/../../x", "jobs/./x", "jobs//x", "jobs/", "a\\b", "a\0b", "a\nb",
    "ä", "a b", ".tmp/x", "-x", "a?b", "%2e%2e/x", "a" * 513, "a/" + "b" * 201,
]  # fmt: skip


class Dribble(io.RawIOBase):
    """A stream like a socket: short reads, no seeking, no length."""

    def __init__(self, size_bytes: int, breaks: bool = False) -> None:
        self._left = size_bytes
        self._breaks = breaks
        self.largest_read = 0

    def read(self, size: int = -1) -> bytes:
        if self._left == 0 and self._breaks:
            raise ConnectionResetError("the client hung up")
        self.largest_read = max(self.largest_read, size)
        part = min(self._left, 100_000, size if size >= 0 else self._left)
        self._left -= part
        return b"x" * part


def test_bytes_come_back_as_they_were_put(store: ObjectStore) -> None:
    store.put(KEY, b"one")
    store.put(KEY, b"second", content_type="application/json")
    info = store.head(KEY)
    assert store.get(KEY) == b"second"
    assert info is not None and info.size_bytes == 6 and info.etag


def test_etag_stays_while_bytes_stay_and_changes_with_them(store: ObjectStore) -> None:
    store.put(KEY, b"one")
    first = store.head(KEY)
    assert store.head(KEY) == first == store.source(KEY).info
    store.put(KEY, b"two")
    assert store.head(KEY) != first


def test_absent_object_is_told_apart_from_trouble(store: ObjectStore, tmp_path: Path) -> None:
    store.put("jobs/7f/x", b"")
    assert store.head(KEY) is None
    assert store.head("jobs/7f") is None  # a folder in one store, nothing in the other
    assert store.head("jobs/7f/x/y") is None
    with pytest.raises(ObjectNotFound, match="chunk_0001"):
        store.get(KEY)
    with pytest.raises(ObjectNotFound, match="chunk_0001"):
        store.get_file(KEY, tmp_path / "never")
    with pytest.raises(SourceNotFound):
        store.source(KEY)
    assert not (tmp_path / "never").exists()


def test_put_if_absent_refuses_a_taken_key(store: ObjectStore) -> None:
    store.put_if_absent(KEY, b"first")
    with pytest.raises(ObjectExists):
        store.put_if_absent(KEY, b"later")
    assert store.get(KEY) == b"first"


def test_of_eight_racing_writers_exactly_one_wins(store: ObjectStore) -> None:
    for round_number in range(5):
        key = f"race/{round_number}"
        start = threading.Barrier(8)

        def write(writer: int, key: str = key, start: threading.Barrier = start) -> int | None:
            start.wait()
            try:
                store.put_if_absent(key, b"%d" % writer)
            except ObjectExists:
                return None
            return writer

        with ThreadPoolExecutor(8) as pool:
            winners = [writer for writer in pool.map(write, range(8)) if writer is not None]
        assert [b"%d" % winner for winner in winners] == [store.get(key)]


def test_put_while_neighbours_are_deleted_loses_nothing(store: ObjectStore) -> None:
    def churn(worker: int) -> None:
        for _ in range(20):
            store.put(f"jobs/a/{worker}", b"x")
            assert store.get(f"jobs/a/{worker}") == b"x"
            store.delete(f"jobs/a/{worker}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(churn, range(4)))
    assert list(store.list("")) == []


def test_files_go_in_and_come_out_whole(store: ObjectStore, tmp_path: Path) -> None:
    data = os.urandom(PART_BYTES + 12345)  # more than one part of a multipart upload
    (tmp_path / "in.bin").write_bytes(data)
    moved: list[int] = []
    store.put_file("jobs/7f/output/x.mp4", tmp_path / "in.bin", content_type="video/mp4", moved=moved.append)
    assert sum(moved) >= len(data) and len(moved) > 1  # told on the way, so that a slow upload is not a hung one
    store.get_file("jobs/7f/output/x.mp4", tmp_path / "out.bin")
    assert (tmp_path / "out.bin").read_bytes() == data
    assert {path.name for path in tmp_path.iterdir()} - {"some objects"} == {"in.bin", "out.bin"}


@pytest.mark.parametrize("size_bytes", [0, 1, PART_BYTES, 2 * PART_BYTES + 7])
def test_stream_with_short_reads_is_stored_whole_in_bounded_reads(store: ObjectStore, size_bytes: int) -> None:
    stream = Dribble(size_bytes)
    info = store.put_stream(KEY, stream, max_bytes=size_bytes)  # type: ignore[arg-type]
    assert info == store.head(KEY)
    assert info.size_bytes == size_bytes
    assert store.get(KEY) == b"x" * size_bytes
    assert stream.largest_read <= PART_BYTES


@pytest.mark.parametrize("max_bytes", [0, 10, PART_BYTES + 1])
def test_stream_too_large_leaves_nothing_behind(store: ObjectStore, settings: Settings, max_bytes: int) -> None:
    with pytest.raises(UploadTooLarge, match=str(max_bytes)):
        store.put_stream(KEY, Dribble(3 * PART_BYTES), max_bytes=max_bytes)  # type: ignore[arg-type]
    assert store.head(KEY) is None
    assert_nothing_left(settings)


def test_stream_that_breaks_off_leaves_nothing_behind(store: ObjectStore, settings: Settings) -> None:
    with pytest.raises(ConnectionResetError):
        store.put_stream(KEY, Dribble(PART_BYTES + 5, breaks=True), max_bytes=10**9)  # type: ignore[arg-type]
    assert store.head(KEY) is None
    assert_nothing_left(settings)


def assert_nothing_left(settings: Settings) -> None:
    url = settings.storage_root_url
    if url.startswith("s3://"):
        bucket, _ = split_object_uri(url)
        client = make_client(settings)
        assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
        assert "Contents" not in client.list_objects_v2(Bucket=bucket)
    else:
        root = Path(urllib3.util.parse_url(url).path.replace("%20", " "))  # type: ignore[union-attr]
        assert [path for path in root.rglob("*") if path.is_file()] == []


def test_delete_removes_and_forgives_absence(store: ObjectStore) -> None:
    store.put(KEY, b"x")
    store.delete(KEY)
    store.delete(KEY)
    assert store.head(KEY) is None


def test_list_gives_keys_by_prefix_in_order(store: ObjectStore) -> None:
    keys = ["jobs/a/chunks/0", "jobs/a-b", "jobs/a.json", "jobs/a/manifest.json", "jobs/ab/x", "other"]
    for key in reversed(keys):
        store.put(key, b"x")
    assert list(store.list("")) == sorted(keys)
    assert list(store.list("jobs/a")) == sorted(keys[:-1])
    assert list(store.list("jobs/a/")) == ["jobs/a/chunks/0", "jobs/a/manifest.json"]
    assert list(store.list("nowhere/")) == []


def test_list_goes_past_one_page(store: ObjectStore) -> None:
    keys = [f"many/{number:04d}" for number in range(1005)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: store.put(key, b""), keys))
    assert list(store.list("many/")) == keys


@pytest.mark.parametrize("key", HOSTILE_KEYS)
def test_hostile_keys_never_reach_the_store(store: ObjectStore, key: str, tmp_path: Path) -> None:
    actions = [
        lambda: store.head(key),
        lambda: store.get(key),
        lambda: store.put(key, b""),
        lambda: store.put_if_absent(key, b""),
        lambda: store.put_stream(key, io.BytesIO(b""), max_bytes=1),
        lambda: store.get_file(key, tmp_path / "x"),
        lambda: store.delete(key),
        lambda: store.source(key),
        lambda: store.uri(key),
        lambda: store.presign_get(key, expires_sec=5),
        lambda: store.presign_put(key, size_bytes=1, content_type="a/b", expires_sec=5, if_absent=True),
    ]
    for action in actions:
        with pytest.raises(ValueError, match="not an object key"):
            action()


@pytest.mark.parametrize("prefix", ["/", "..", "../", "jobs/../", "a\0", ".tmp/"])
def test_hostile_prefixes_are_refused(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(ValueError, match="not an object key"):
        store.list(prefix)


def test_source_reads_ranges(store: ObjectStore) -> None:
    data = os.urandom(100_000)
    store.put(KEY, data)
    source = store.source(KEY)
    assert source.info == store.head(KEY)
    assert source.uri == store.uri(KEY)
    assert source.read_at(0, 10) == data[:10]
    assert source.read_at(99_990, 10) == data[-10:]
    assert source.read_at(99_990, 10**12) == data[-10:]
    assert source.read_at(100_000, 10) == b""
    assert source.read_at(10**12, 10) == b""
    assert source.read_at(5, 0) == b""


def test_empty_object_is_readable(store: ObjectStore) -> None:
    store.put(KEY, b"")
    assert store.source(KEY).read_at(0, 10) == b""


def test_source_shared_by_threads_gives_each_its_bytes(store: ObjectStore) -> None:
    data = os.urandom(64_000)
    store.put(KEY, data)
    source = store.source(KEY)
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda at: source.read_at(at, 1000), range(0, 64_000, 1000)))
    assert b"".join(parts) == data


def test_changed_object_is_never_read_as_the_old_one(store: ObjectStore) -> None:
    store.put(KEY, b"old bytes")
    source = store.source(KEY)
    store.put(KEY, b"new bytes")
    with pytest.raises(SourceChanged, match="submit the job again"):
        source.read_at(0, 4)


def test_deleted_object_is_not_found(store: ObjectStore) -> None:
    store.put(KEY, b"bytes")
    source = store.source(KEY)
    store.delete(KEY)
    with pytest.raises(SourceNotFound):
        source.read_at(0, 4)


def test_uri_opens_the_same_bytes(store: ObjectStore, settings: Settings) -> None:
    store.put(KEY, b"the bytes")
    source = open_source(store.uri(KEY), settings)
    assert source.read_at(0, 100) == b"the bytes"
    assert open_source(store.uri(KEY), settings, etag=source.info.etag).info == source.info
    with pytest.raises(SourceChanged):
        open_source(store.uri(KEY), settings, etag="another")
    with pytest.raises(MediaTooLarge):
        open_source(store.uri(KEY), settings.model_copy(update={"max_source_bytes": 8}))


@pytest.mark.parametrize(
    "uri", ["", "x", "/etc/passwd", "ftp://h/x", "s3://", "s3://b", "s3:///k", "s3://b/", "gs://bkt/a\0b",
            "s3://bkt/a/../b", "s3://b c/k",
            "file://host/x", "file:relative", "data:text/plain,x", "s3://arn:aws:s3:::b/k"]
)  # fmt: skip
def test_uris_that_are_not_read_are_refused(uri: str, s3_settings: Settings) -> None:
    with pytest.raises(UnsupportedInput):
        open_source(uri, s3_settings)


def test_user_keys_may_hold_any_character(s3_settings: Settings) -> None:
    bucket, _ = split_object_uri(s3_settings.storage_root_url)
    client = make_client(s3_settings)
    for key in ("My Vidéo #1?.mp4", "a%20b+c.mp4", "deep//path/x", 'two lines "it\'s".mp4', "вход/👩\u200d👩.mp4"):
        client.put_object(Bucket=bucket, Key=key, Body=key.encode())
        assert open_source(f"s3://{bucket}/{key}", s3_settings).read_at(0, 99) == key.encode()


def test_signed_url_works_for_a_browser_without_credentials(s3_settings: Settings) -> None:
    store = open_store(s3_settings)
    store.put(KEY, b"the picture", content_type="video/mp4")
    url = store.presign_get(KEY, expires_sec=60, filename='été "1".mp4')
    assert url is not None and "testing-secret" not in url
    response = urllib3.request("GET", url)
    assert (response.status, response.data) == (200, b"the picture")
    assert response.headers["Content-Type"] == "video/mp4"
    disposition = response.headers["Content-Disposition"]
    assert disposition == "attachment; filename=\"ete _1_.mp4\"; filename*=UTF-8''%C3%A9t%C3%A9%20%221%22.mp4"


def test_who_has_a_signed_put_writes_that_one_object_of_that_size_once(s3_settings: Settings) -> None:
    store = open_store(s3_settings)
    signed = store.presign_put(KEY, size_bytes=5, content_type="video/mp4", expires_sec=60, if_absent=True)
    assert signed is not None and "testing-secret" not in signed.url and signed.url not in repr(signed)
    (names,) = parse_qs(urlsplit(signed.url).query)["X-Amz-SignedHeaders"]
    assert names.split(";") == ["content-length", "content-type", "host", "if-none-match"]
    statuses = [
        urllib3.request("PUT", signed.url, headers=dict(signed.headers), body=body).status
        for body in (b"first", b"again")
    ]
    assert (statuses, store.get(KEY)) == ([200, 412], b"first")
    over = store.presign_put(KEY, size_bytes=5, content_type="video/mp4", expires_sec=60, if_absent=False)
    assert over is not None
    assert urllib3.request("PUT", over.url, headers=dict(over.headers), body=b"other").status == 200
    assert store.get(KEY) == b"other"


def test_a_stream_for_a_key_that_is_taken_is_refused(store: ObjectStore) -> None:
    store.put_stream(KEY, io.BytesIO(b"first"), max_bytes=9, if_absent=True)
    with pytest.raises(ObjectExists):
        store.put_stream(KEY, io.BytesIO(b"again"), max_bytes=9, if_absent=True)
    assert store.get(KEY) == b"first"


def test_a_folder_signs_no_urls(local_settings: Settings) -> None:
    store = open_store(local_settings)
    assert store.presign_get(KEY, expires_sec=60) is None
    assert store.presign_put(KEY, size_bytes=1, content_type="a/b", expires_sec=60, if_absent=True) is None


@pytest.mark.parametrize(
    ("filename", "header"),
    [
        ("a.mp4", "attachment; filename=\"a.mp4\"; filename*=UTF-8''a.mp4"),
        ("../../etc/passwd", "attachment; filename=\"passwd\"; filename*=UTF-8''passwd"),
        ('a"\r\nSet-Cookie: x', "attachment; filename=\"a_Set-Cookie_ x\"; filename*=UTF-8''a%22Set-Cookie%3A%20x"),
        ("..", "attachment; filename=\"download\"; filename*=UTF-8''download"),
        ("日本", "attachment; filename=\"download\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC"),
        ("x\u202egpj.exe", "attachment; filename=\"xgpj.exe\"; filename*=UTF-8''xgpj.exe"),
    ],
)
def test_download_names_cannot_break_the_header(filename: str, header: str) -> None:
    assert content_disposition(filename) == header


def test_missing_bucket_says_what_to_do(s3_settings: Settings) -> None:
    store = open_store(s3_settings.model_copy(update={"storage_url": "s3://no-such-bucket-here"}))
    with pytest.raises(StorageError, match="create it") as caught:
        store.put(KEY, b"x")
    assert "testing-" not in str(caught.value)
    with pytest.raises(StorageError, match="create it"):
        list(store.list(""))


@pytest.mark.timeout(60)
def test_unreachable_store_says_so_and_can_be_retried(s3_settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # closed again below: nothing listens there
    settings = s3_settings.model_copy(update={"s3_endpoint_url": f"http://127.0.0.1:{port}"})
    with pytest.raises(StorageError, match="S3_ENDPOINT_URL"):
        open_store(settings).get(KEY)
    with pytest.raises(SourceUnreachable, match="S3_ENDPOINT_URL") as caught:
        open_source("s3://bucket/key", settings)
    assert caught.value.retryable and "testing-" not in str(caught.value)


def test_half_a_key_pair_is_an_error(s3_settings: Settings) -> None:
    with pytest.raises(FramefleetError, match="both"):
        make_client(s3_settings.model_copy(update={"s3_secret_access_key": None}))


def test_gs_goes_to_google_when_no_endpoint_is_set(s3_settings: Settings) -> None:
    settings = s3_settings.model_copy(update={"s3_endpoint_url": None, "storage_url": "gs://bucket"})
    store = open_store(settings)
    assert store.uri(KEY) == f"gs://bucket/{KEY}"
    assert (store.presign_get(KEY, expires_sec=5) or "").startswith("https://storage.googleapis.com/bucket/jobs/")


def test_folder_store_follows_no_link_out_of_its_root(local_settings: Settings, tmp_path: Path) -> None:
    store = open_store(local_settings)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (tmp_path / "some objects" / "jobs").symlink_to(tmp_path / "outside")
    with pytest.raises(ValueError, match="link"):
        store.get("jobs/secret")
    assert list(store.list("")) == []


def test_only_regular_files_are_sources(tmp_path: Path, local_settings: Settings) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe"):
        with pytest.raises(SourceNotFound, match=path.name):
            open_source(path.as_uri(), local_settings)


def test_file_written_in_place_is_a_changed_source(tmp_path: Path, local_settings: Settings) -> None:
    path = tmp_path / "a video.mp4"
    path.write_bytes(b"old bytes")
    source = open_source(path.as_uri(), local_settings)
    path.write_bytes(b"other bytes and more")
    with pytest.raises(SourceChanged):
        source.read_at(0, 4)


def test_unusable_folder_says_which(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/objects"):
        open_store(Settings(storage_url=(tmp_path / "file" / "objects").as_uri()))


def test_folders_are_what_lies_between_the_prefix_and_the_next_slash(store: ObjectStore) -> None:
    for key in ("jobs/a/source", "jobs/a/chunks/chunk_0000.json", "jobs/b/output/x.mp4", "jobs/loose", "other/c/x"):
        store.put(key, b"x")
    assert list(store.folders("jobs/")) == ["a", "b"]
    assert list(store.folders("jobs/a/")) == ["chunks"]
    assert list(store.folders("nothing/")) == []
    store.delete("jobs/b/output/x.mp4")
    assert list(store.folders("jobs/")) == ["a"]


def test_untouched_seconds_counts_from_the_youngest_object(store: ObjectStore) -> None:
    assert store.untouched_seconds("jobs/a/") is None
    store.put("jobs/a/source", b"x")
    store.put("jobs/ab/source", b"x")
    untouched_sec = store.untouched_seconds("jobs/a/")
    assert untouched_sec is not None
    assert -2 < untouched_sec < 60


@pytest.mark.parametrize("prefix", ["", "jobs", "../", "/", "jobs/../"])
def test_only_a_folder_of_our_own_is_looked_into(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(ValueError, match=r"not an object key|not a folder"):
        list(store.folders(prefix))
    with pytest.raises(ValueError, match=r"not an object key|not a folder"):
        store.untouched_seconds(prefix)
