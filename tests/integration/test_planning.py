"""Planning real files: every decoded frame falls in exactly one chunk, and what is no video says so in its job."""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from backend.db.engine import Database
from backend.db.models import Chunk, Job
from backend.jobs import manifest
from backend.jobs.layout import manifest_key
from backend.jobs.plan import Planner
from backend.jobs.service import JobService, NewJob
from backend.media.decode import FrameReader, open_container, open_video
from backend.media.facts import VideoFacts
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode, JobStatus, Stage
from backend.storage import open_store
from backend.storage.base import ObjectStore
from tests.conftest import SHARED, shared_file
from tests.integration.rendering import probe
from tests.integration.test_every_film import SLOW as SLOW_FILMS

MAX_PIXELS = 8192 * 8192
LONG = "media3_long_1080p_lowbitrate.mp4"
MEDIA = SHARED / "media"
FILES = sorted(str(path.relative_to(MEDIA)) for path in MEDIA.rglob("*.*") if path.parent.name != "bad")
FILES = [name for name in FILES if not name.endswith((".md", ".txt"))]
# Those that test_every_film.py does not crop in chunks of 2 s, since they take minutes, and the strange ones; then
# those of more than 30 s, or so by their clocks.
STRANGE = [name for name in FILES if name.startswith("found/")]
SLOW = [name for name in FILES if name in SLOW_FILMS]
CUTS = [(name, 2.0) for name in STRANGE + SLOW if name != LONG]
CUTS += [(name, 30.0) for name in FILES if name.startswith("found/live") or name in (LONG, *SLOW)]
BAD = sorted(path.name for path in (MEDIA / "bad").glob("*.*"))
SOURCE_ERRORS = {"empty_file", "not_a_video", "no_video_stream", "media_undecodable", "media_too_large"}


class Planning:
    """One planner over a real database and a real store."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.service = JobService(database)
        self.store: ObjectStore = open_store(settings)
        self.queue = Queue(database, settings)
        self._database = database
        self._settings = settings

    def plan(
        self, source: Path | str, chunk_seconds: float = 30.0, deep_mode: DeepMode = DeepMode.GPU
    ) -> tuple[Job, list[Chunk]]:
        uri = source if isinstance(source, str) else source.as_uri()
        job = self.service.create(NewJob("crop", uri, Path(uri).name, deep_mode=deep_mode))
        claim = self.queue.claim_job(JobStatus.QUEUED, job.id)
        assert claim is not None
        settings = self._settings.model_copy(update={"chunk_seconds": chunk_seconds})
        Planner(self._database, self.queue, self.store, settings).plan(claim)
        return self.service.get(job.id), list(self.service.chunks(job.id))

    def manifest(self, job: Job) -> dict[str, object]:
        return manifest.load(self.store.get(manifest_key(job.id)))


@pytest.fixture
def planning(database: Database, settings: Settings) -> Planning:
    return Planning(database, settings)


def frame_pts(path: Path, start_pts: int | None, end_pts: int | None) -> list[int]:
    """PTS of the frames of an interval, decoded as a worker does it."""
    with path.open("rb") as file, open_container(file) as container:
        stream = open_video(container, max_pixels=MAX_PIXELS, threads=2)
        reader = FrameReader(container, stream, clock=probed(path).clock)
        found = []
        for frame in reader.frames_from(start_pts):
            assert frame.pts is not None
            if end_pts is not None and frame.pts >= end_pts:
                break
            found.append(frame.pts)
    return found


@lru_cache
def probed(path: Path) -> VideoFacts:
    return probe(path)


@lru_cache
def every_frame_pts(path: Path) -> list[int]:
    return frame_pts(path, None, None)


def by_chunk(path: Path, chunks: list[Chunk], total_chunks: int) -> Iterator[list[int]]:
    """The first worker also takes what comes before its interval, the last one what comes after."""
    for chunk in chunks:
        is_first, is_last = chunk.chunk_index == 0, chunk.chunk_index == total_chunks - 1
        yield frame_pts(path, None if is_first else chunk.start_pts, None if is_last else chunk.end_pts)


def make_video(path: Path, pts: list[int], *, keyframes: Sequence[int] = (0,), end_gap: int = 0) -> Path:
    """Small pictures at these times in milliseconds; the last one moved by `end_gap`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"g": "600"})
        stream.width, stream.height, stream.time_base = 64, 48, Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        packets = []
        for number, when in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 20 % 255, np.uint8), format="rgb24")
            frame.pts, frame.time_base = when, Fraction(1, 1000)
            frame.pict_type = PictureType.I if number in keyframes else PictureType.NONE
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in packets:
            if packet is packets[-1] and end_gap:
                packet.pts = packet.dts = pts[-1] + end_gap
            container.mux(packet)
    return path


def make_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        for number in range(40):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, number * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("name", "chunk_seconds"), CUTS)
def test_every_decoded_frame_is_in_exactly_one_chunk(planning: Planning, name: str, chunk_seconds: float) -> None:
    path = shared_file("media", name)
    job, chunks = planning.plan(path, chunk_seconds)
    assert (job.status, job.stage, job.total_chunks) == (JobStatus.QUEUED, Stage.DEEP_QUEUED, len(chunks)), (
        job.error_message
    )

    expected = every_frame_pts(path)
    assert chunks[0].start_pts == expected[0]
    assert chunks[0].start_sec == 0
    assert all(chunk.start_pts < chunk.end_pts and chunk.start_sec < chunk.end_sec for chunk in chunks)
    assert all(one.end_pts == two.start_pts and one.end_sec == two.start_sec for one, two in pairwise(chunks))
    assert_manifest_matches(planning, job, chunks)

    if name == LONG and chunk_seconds != 30.0:  # once is enough for ten thousand frames; its beginning shows the same
        chunks = [chunk for chunk in chunks if chunk.end_sec <= 60]
        expected = [pts for pts in expected if pts < chunks[-1].end_pts]
    found = list(by_chunk(path, chunks, job.total_chunks or 0))
    assert [pts for part in found for pts in part] == expected
    assert all(part == sorted(set(part)) for part in found)


def assert_manifest_matches(planning: Planning, job: Job, chunks: list[Chunk]) -> None:
    written = planning.manifest(job)
    assert written["job_id"] == str(job.id)
    assert written["segment_count"] == len(chunks)
    assert written["source"] == {"etag": job.source_etag, "size": job.source_size}
    fields = ("start_pts", "end_pts", "start_sec", "end_sec")
    assert written["segments"] == [
        {
            "segment_number": chunk.chunk_index,
            **{name: getattr(chunk, name) for name in fields},
            "artifact_key": f"jobs/{job.id}/chunks/chunk_{chunk.chunk_index:04d}.json",
            "artifact_sha256": None,
            "attempts": 0,
        }
        for chunk in chunks
    ]


@pytest.mark.parametrize("name", [LONG, "dancer.avi"])
def test_the_job_keeps_the_facts_and_none_of_the_keyframes(planning: Planning, name: str) -> None:
    job, chunks = planning.plan(shared_file("media", name))
    size, frames, seconds, count = {
        LONG: ((1920, 1080), 10_883, 362, 12),
        "dancer.avi": ((518, 496), 1571, 63, 2),  # its header says 1572
    }[name]
    assert (job.width, job.height) == size
    assert job.frame_count == frames
    assert job.duration_seconds == pytest.approx(seconds, abs=1)
    assert (job.fps_num or 0) / (job.fps_den or 1) == pytest.approx(frames / seconds, rel=0.02)
    assert job.has_audio is True
    assert job.probe is not None and job.probe["keyframe_pts"] == []
    assert len(json.dumps(job.probe)) < 2000
    assert abs(len(chunks) - count) <= 1


def test_a_cpu_job_is_one_chunk_whatever_its_length(planning: Planning) -> None:
    job, chunks = planning.plan(shared_file("media", "dancer.avi"), 2.0, DeepMode.CPU)
    assert (job.total_chunks, len(chunks)) == (1, 1)


def test_a_rotated_video_has_its_upright_size(planning: Planning) -> None:
    job, _ = planning.plan(shared_file("media", "streamio_sideways.mov"))
    assert job.rotation == -90
    assert (job.width, job.height) == (480, 640)


@pytest.mark.parametrize("name", BAD)
def test_a_damaged_file_is_planned_or_fails_with_a_typed_error(planning: Planning, name: str) -> None:
    began = time.monotonic()
    job, chunks = planning.plan(shared_file("media", "bad", name))
    assert time.monotonic() - began < 20
    if job.status == JobStatus.FAILED:
        assert job.error_code in SOURCE_ERRORS
        assert job.error_message and job.error_retryable is False
        assert chunks == []
    else:
        assert job.status == JobStatus.QUEUED and job.total_chunks == len(chunks) > 0
        assert all(one.end_pts == two.start_pts for one, two in pairwise(chunks))
        assert_manifest_matches(planning, job, chunks)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("photoprism_zero_byte.mov", "empty_file"),
        ("phpffmpeg_WrongFile.mp4", "not_a_video"),
        ("streamio_broken.mp4", "not_a_video"),
        ("mp4parse_invalid_userdata.mp4", "media_undecodable"),
    ],
)
def test_a_hopeless_file_fails_its_job_at_once_with_its_reason(planning: Planning, name: str, code: str) -> None:
    job, chunks = planning.plan(shared_file("media", "bad", name))
    assert (job.status, job.error_code, chunks) == (JobStatus.FAILED, code, [])
    assert planning.queue.claim_job(JobStatus.QUEUED) is None
    assert planning.store.head(manifest_key(job.id)) is None


def test_an_empty_file_is_called_empty(planning: Planning, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").touch()
    job, _ = planning.plan(tmp_path / "film.mp4")
    assert (job.status, job.error_code) == (JobStatus.FAILED, "empty_file")


def test_a_text_file_is_not_a_video(planning: Planning, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_text("Dear diary,\n" * 1000)
    job, _ = planning.plan(tmp_path / "film.mp4")
    assert (job.status, job.error_code) == (JobStatus.FAILED, "not_a_video")


@pytest.mark.parametrize("name", ["sound.m4a", "sound.mp4"])
def test_a_file_with_sound_alone_has_no_video_stream(planning: Planning, tmp_path: Path, name: str) -> None:
    job, _ = planning.plan(make_sound(tmp_path / name))
    assert (job.status, job.error_code) == (JobStatus.FAILED, "no_video_stream")


def test_a_missing_file_is_not_found(planning: Planning, tmp_path: Path) -> None:
    job, _ = planning.plan(tmp_path / "nowhere.mp4")
    assert (job.status, job.error_code) == (JobStatus.FAILED, "input_not_found")


def test_a_folder_is_not_found_as_a_file(planning: Planning, tmp_path: Path) -> None:
    job, _ = planning.plan(tmp_path)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "input_not_found")


def test_a_file_above_the_limit_is_refused(database: Database, settings: Settings, tmp_path: Path) -> None:
    small = settings.model_copy(update={"max_source_bytes": 100})
    job, _ = Planning(database, small).plan(make_video(tmp_path / "film.mp4", [0, 40]))
    assert (job.status, job.error_code) == (JobStatus.FAILED, "media_too_large")


LISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{named}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile '{named}'\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT10S" profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{named}</BaseURL><SegmentBase/>'
    "</Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\na=tool:{named}\r\n"
    "m=video {port} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n",
}


@pytest.mark.parametrize("named_by", ["file", "address"])
@pytest.mark.parametrize("kind", LISTS)
def test_a_list_of_others_named_mp4_is_refused_and_opens_nothing_it_names(
    planning: Planning, tmp_path: Path, kind: str, named_by: str
) -> None:
    secret = make_video(tmp_path / "secret.mp4", [0, 40, 80])
    opened_at = secret.stat().st_atime_ns
    time.sleep(0.02)
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.setblocking(False)
        port = canary.getsockname()[1]
        named = f"http://127.0.0.1:{port}/secret.mp4" if named_by == "address" else secret
        (tmp_path / "film.mp4").write_text(LISTS[kind].format(named=named, port=port))
        job, _ = planning.plan(tmp_path / "film.mp4")
        with pytest.raises(BlockingIOError):
            canary.accept()
    assert (job.status, job.error_code) == (JobStatus.FAILED, "unsupported_container")
    assert secret.stat().st_atime_ns == opened_at


@pytest.mark.parametrize(
    "make", [lambda fifo: f"#EXTM3U\n#EXTINF:10,\n{fifo}\n", lambda fifo: f"ffconcat version 1.0\nfile '{fifo}'\n"]
)
def test_a_playlist_that_names_a_pipe_does_not_wait_for_its_writer(
    planning: Planning, tmp_path: Path, make: Callable[[Path], str]
) -> None:
    fifo = tmp_path / "fifo.ts"
    os.mkfifo(fifo)
    (tmp_path / "film.mp4").write_text(make(fifo))
    began = time.monotonic()
    job, _ = planning.plan(tmp_path / "film.mp4")
    assert time.monotonic() - began < 10
    assert job.error_code == "unsupported_container"


@pytest.mark.timeout(30)
def test_a_film_that_claims_to_last_for_centuries_does_not_become_millions_of_chunks(
    planning: Planning, tmp_path: Path
) -> None:
    century_ms = 100 * 365 * 86_400 * 1000
    path = make_video(tmp_path / "film.mkv", [0, 40, 80], end_gap=century_ms)
    began = time.monotonic()
    job, chunks = planning.plan(path, 2.0)
    assert time.monotonic() - began < 20
    assert len(chunks) <= 3  # as many as there are frames
    assert job.status == JobStatus.FAILED or job.total_chunks == len(chunks)


def test_a_header_that_promises_less_than_the_index_holds_does_not_break_the_cut(
    planning: Planning, tmp_path: Path
) -> None:
    path = make_video(tmp_path / "film.avi", list(range(0, 33_000, 200)), keyframes=(0, 160))
    data = path.read_bytes()
    at = data.index(b"strh") + 8 + 32  # dwLength, in frames of a millisecond or of the rate
    (length,) = struct.unpack_from("<I", data, at)
    path.write_bytes(data[:at] + struct.pack("<I", length * 315 // 330) + data[at + 4 :])
    job, chunks = planning.plan(path, 30.0)
    assert job.status == JobStatus.QUEUED, job.error_message
    assert all(chunk.start_pts < chunk.end_pts for chunk in chunks)
    assert [pts for part in by_chunk(path, chunks, len(chunks)) for pts in part] == every_frame_pts(path)


def test_a_cancelled_job_gets_no_chunks(
    planning: Planning, database: Database, settings: Settings, tmp_path: Path
) -> None:
    job = planning.service.create(NewJob("crop", make_video(tmp_path / "film.mp4", [0, 40]).as_uri(), "film.mp4"))
    claim = planning.queue.claim_job(JobStatus.QUEUED)
    assert claim is not None
    planning.service.cancel(job.id)
    Planner(database, planning.queue, planning.store, settings).plan(claim)
    assert planning.service.chunks(job.id) == []
    assert planning.service.get(job.id).status == JobStatus.CANCELLED


def test_a_stale_planner_adds_no_second_set_of_chunks(
    planning: Planning, database: Database, settings: Settings, tmp_path: Path
) -> None:
    job, chunks = planning.plan(make_video(tmp_path / "film.mp4", list(range(0, 4000, 40))), 2.0)
    again = planning.service.create(NewJob("crop", (tmp_path / "film.mp4").as_uri(), "film.mp4"))
    stale = planning.queue.claim_job(JobStatus.QUEUED, again.id)
    assert stale is not None
    planning.queue.release_job(stale)
    fresh = planning.queue.claim_job(JobStatus.QUEUED, again.id)
    assert fresh is not None
    planner = Planner(database, planning.queue, planning.store, settings)
    planner.plan(stale)
    assert planning.service.chunks(again.id) == []
    planner.plan(fresh)
    planner.plan(fresh)
    assert len(planning.service.chunks(again.id)) == 1
    assert len(chunks) == job.total_chunks == 2


def test_a_planned_job_is_ready_to_be_claimed_chunk_by_chunk(planning: Planning) -> None:
    job, chunks = planning.plan(shared_file("media", "dancer.avi"), 7.0)
    claims = [planning.queue.claim_chunk(DeepMode.GPU) for _ in chunks]
    assert [claim and (claim.start_pts, claim.end_pts) for claim in claims] == [
        (c.start_pts, c.end_pts) for c in chunks
    ]
    first, last = claims[0], claims[-1]
    assert first is not None and first.is_first and first.source_etag == job.source_etag
    assert last is not None and last.is_last
