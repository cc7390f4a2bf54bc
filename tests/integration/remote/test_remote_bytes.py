"""What a remote worker reads and writes: over signed links of the store, and through the API where it signs none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import urllib3
from pydantic import SecretStr

from backend.db.engine import Database
from backend.errors import (
    ClaimLost,
    FramefleetError,
    InvalidRequest,
    ObjectExists,
    ObjectNotFound,
    ServerUnavailable,
    SourceChanged,
    SourceForbidden,
    UnsupportedInput,
    UploadTooLarge,
)
from backend.jobs.layout import plan_key, source_key
from backend.kinds import kind_named
from backend.queue import messages as m
from backend.queue.claims import ChunkClaim
from backend.queue.executor import Hold, Nobody
from backend.queue.lease import LeaseKeeper
from backend.queue.remote_workers import add_remote_worker, revoke_remote_worker
from backend.queue.stall import StallWatch
from backend.queue.surroundings import Surroundings
from backend.settings import Settings
from backend.storage import open_store
from backend.storage.base import ObjectStore
from backend.storage.guard import safe_url
from backend.storage.s3 import make_client
from backend.workers.remote.files import ProbeObject, RemoteFiles
from backend.workers.remote.queue import RemoteQueue
from backend.workers.remote.server import Server, claim_path
from backend.workers.remote.transport import HttpTransport
from tests.integration.queue.helpers import claim_of, complete, planned_job, sql

FILM = bytes(range(256)) * 1000
SUBTITLES = b"1\n00:00:00,000 --> 00:00:01,000\nHello\n"


class Heard(StallWatch):
    """Writes down each sign of progress."""

    def __init__(self, moved: list[None]) -> None:
        super().__init__()
        self._signs_heard = moved

    def moved(self) -> None:
        super().moved()
        self._signs_heard.append(None)


@dataclass
class Desk:
    """A claim on one chunk of a job of kind `encode` with subtitles, held by a remote worker."""

    database: Database
    settings: Settings
    store: ObjectStore
    server: Server
    queue: RemoteQueue
    claim: ChunkClaim
    subtitles: str
    moved: list[None]

    @property
    def files(self) -> RemoteFiles:
        lease = LeaseKeeper(lambda progress: None, self.settings.lease_seconds, Heard(self.moved))
        return RemoteFiles(self.claim, Hold(lease, Nobody()), self.server, self.settings)


@pytest.fixture(params=["s3", "folder"])
def desk(request: pytest.FixtureRequest, api: Callable[..., str], database: Database, settings: Settings) -> Desk:
    if request.param == "s3":
        request.getfixturevalue("s3_server")
        settings = Settings.model_validate(
            settings.model_dump(exclude_unset=True) | {"storage_url": "s3://films/store"}
        )
        make_client(settings).create_bucket(Bucket="films")
    store = open_store(settings)
    job_id = planned_job(database, 1)
    store.put(source_key(job_id), FILM)
    store.put("given/titles.srt", SUBTITLES)
    store.put(plan_key(job_id, "render", 3, "rows-0"), b"rows")
    sql(
        database,
        "UPDATE video_analysis_jobs SET input_uri = :uri, source_etag = :etag, params = CAST(:params AS jsonb),"
        " kind = 'encode', phase = 'render', phase_plan = '{\"phase\": \"render\", \"attempt\": 3}'",
        uri=store.uri(source_key(job_id)),
        etag=store.source(source_key(job_id)).info.etag,
        params=f'{{"subtitles_uri": "{store.uri("given/titles.srt")}"}}',
    )
    sql(database, "UPDATE video_analysis_chunks SET phase = 'render'")
    transport = HttpTransport(api(**{name: getattr(settings, name) for name in Settings.model_fields}))
    server = Server(transport, SecretStr(add_remote_worker(database, "desk")), "desk")
    queue = RemoteQueue(server)
    claim = claim_of(queue)  # type: ignore[arg-type]
    # A worker on the other side of the world refuses private addresses of others; its own server may have one.
    guarded = settings.model_copy(update={"http_allow_private": False})
    return Desk(database, guarded, store, server, queue, claim, store.uri("given/titles.srt"), [])


def test_the_source_is_read_by_range_in_the_version_that_was_planned(desk: Desk) -> None:
    source = desk.files.source()
    assert (source.info.size_bytes, source.info.etag) == (len(FILM), desk.claim.source_etag)
    assert source.read_at(200_001, 1000) == FILM[200_001:201_001]
    assert source.read_at(len(FILM) - 5, 100) == FILM[-5:]
    assert desk.files.source().uri == source.uri, "what one chunk has read serves the next"
    desk.store.put(source_key(desk.claim.job_id), FILM[::-1])
    with pytest.raises(SourceChanged):
        source.read_at(100_000, 1000)
    with pytest.raises(SourceChanged):
        desk.files.source()


def test_a_copy_of_a_source_without_ranges_is_read_and_else_the_source_past_the_workers_own_guard(desk: Desk) -> None:
    etag = "sha256-" + hashlib.sha256(FILM).hexdigest()
    copy = source_key(desk.claim.job_id, etag)
    desk.store.put(copy, FILM)
    uri = "http://127.0.0.1:9/film.mp4"
    sql(desk.database, "UPDATE video_analysis_jobs SET input_uri = :uri, source_etag = :etag", uri=uri, etag=etag)
    desk.claim = replace(desk.claim, input_uri=uri, source_etag=etag)
    source = desk.files.source()
    assert (source.info.etag, source.read_at(70_000, 100)) == (etag, FILM[70_000:70_100])
    desk.store.delete(copy)
    with pytest.raises(UnsupportedInput, match="not on the public internet"):
        desk.files.source()
    with pytest.raises(InvalidRequest, match="fetches nothing for others"):
        sql(desk.database, "UPDATE video_analysis_jobs SET source_etag = 'etag'")
        desk.server.ask(claim_path(desk.claim, "input"), m.WantedInput(), m.InputPlace)


def test_a_further_input_is_given_where_the_parameters_name_it(desk: Desk) -> None:
    params = kind_named("encode").parse_params({"subtitles_uri": desk.subtitles})
    assert desk.files.further_input(params, desk.subtitles).read_at(0, 100) == SUBTITLES
    for uri in (desk.store.uri(source_key(desk.claim.job_id)), "file:///etc/passwd", "s3://films/other"):
        with pytest.raises(InvalidRequest, match="do not name it"):
            desk.files.further_input(params, uri)


def test_an_artifact_is_written_once_and_read_again(desk: Desk) -> None:
    assert desk.files.artifact() is None
    desk.files.put_if_absent(FILM * 3)
    assert len(desk.moved) > 1, "a slow upload is not a hung one"
    assert desk.files.artifact() == FILM * 3
    with pytest.raises(ObjectExists):
        desk.files.put_if_absent(b"other")
    assert desk.files.artifact() == FILM * 3
    desk.files.put(b"sound")
    assert desk.files.artifact() == b"sound"
    assert complete(desk.queue, desk.claim) == "aggregating"  # type: ignore[arg-type]


def test_what_may_be_written_over_is_open_for_two_minutes_only(desk: Desk) -> None:
    for if_absent, conditional in ((True, True), (True, False), (False, True)):
        wanted = m.WantedUpload(size_bytes=3, if_absent=if_absent, conditional=conditional)
        place = desk.server.ask(claim_path(desk.claim, "upload"), wanted, m.UploadPlace)
        if place.url is None:
            continue  # through the API it ends with the claim
        query = dict(parse_qsl(urlsplit(place.url).query))
        is_guarded = "if-none-match" in query["X-Amz-SignedHeaders"]
        assert is_guarded == (if_absent and conditional)
        assert {"content-length", "content-type"} <= set(query["X-Amz-SignedHeaders"].split(";"))
        assert int(query["X-Amz-Expires"]) == (900 if is_guarded else 120)


def test_what_the_step_before_wrote_is_read_and_nothing_else(desk: Desk) -> None:
    assert desk.files.object("rows-0") == b"rows"
    with pytest.raises(ObjectNotFound):
        desk.files.object("rows-1")
    for name in ("../detect-1/x", "..", "%2e%2e%2fx", ".", "a b"):
        with pytest.raises(FramefleetError) as refused:
            desk.files.object(name)
        assert not isinstance(refused.value, ServerUnavailable)


def test_a_link_serves_only_its_claim_and_only_while_that_holds(desk: Desk) -> None:
    place = desk.server.ask(claim_path(desk.claim, "input"), m.WantedInput(), m.InputPlace)
    url = desk.server.base_url + place.path

    def status(link: str) -> int:
        return urllib3.request("GET", link, headers={"Range": "bytes=0-9"}).status

    assert status(url) == 206
    forged = [
        url[:-1] + ("0" if url[-1] != "0" else "1"),
        url.replace("/0?", "/1?"),
        url.replace("/links/1/", "/links/2/"),
        url.replace(f"/{desk.claim.chunk_id}/1/", f"/{desk.claim.chunk_id}/2/"),
    ]
    assert {status(link) for link in forged if link != url} == {401}
    assert "signature" not in safe_url(url) and len(url) > len(safe_url(url)) + 64, "what messages show opens nothing"
    source = desk.files.source()
    desk.queue.release_chunk(desk.claim)
    assert status(url) == 409
    if "s3" in desk.store.uri("given/titles.srt"):
        return  # what S3 has signed already is in force for minutes
    with pytest.raises(FramefleetError):
        source.read_at(100_000, 10)


def test_a_revoked_worker_reads_and_writes_nothing_more(desk: Desk) -> None:
    place = desk.server.ask(claim_path(desk.claim, "input"), m.WantedInput(), m.InputPlace)
    revoke_remote_worker(desk.database, "desk")
    assert urllib3.request("GET", desk.server.base_url + place.path).status == 401
    for act in (desk.files.source, desk.files.artifact, lambda: desk.files.put(b"x")):
        with pytest.raises((ClaimLost, SourceForbidden)):
            act()
    assert desk.store.head(f"jobs/{desk.claim.job_id}/pieces/piece_0000.mp4") is None


def test_a_worker_tries_its_way_to_the_store(desk: Desk, tmp_path: Path) -> None:
    surroundings = Surroundings(ProbeObject(desk.server, desk.settings))
    assert surroundings.probe() is None
    assert list(desk.store.list("probes/")) == ["probes/remote-1"]


def test_a_preview_is_written_once_beside_the_artifact_and_no_larger_than_it_may_be(desk: Desk, tmp_path: Path) -> None:
    film = tmp_path / "preview.mp4"
    film.write_bytes(FILM)
    with pytest.raises(InvalidRequest, match="no previews"):
        desk.files.put_preview(film)
    sql(desk.database, "UPDATE video_analysis_jobs SET kind = 'crop', phase = 'detect', params = '{}'")
    sql(desk.database, "UPDATE video_analysis_chunks SET phase = 'detect'")
    desk.files.put_preview(film)
    key = f"jobs/{desk.claim.job_id}/chunks/chunk_0000.preview.mp4"
    assert desk.store.get(key) == FILM
    film.write_bytes(b"other")
    with pytest.raises(ObjectExists):
        desk.files.put_preview(film)
    assert desk.store.get(key) == FILM
    for wanted, refused in (
        (m.WantedUpload(size_bytes=m.MAX_PREVIEW_BYTES + 1), UploadTooLarge),
        (m.WantedUpload(size_bytes=5, if_absent=False), ObjectExists),
    ):
        with pytest.raises(refused):
            desk.server.ask(claim_path(desk.claim, "preview/upload"), wanted, m.UploadPlace)
