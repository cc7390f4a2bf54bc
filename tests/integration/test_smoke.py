"""The smoke test of a deployment passes on a fleet that works, and on no other."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from backend.api.app import create_app
from backend.db.engine import Database
from backend.jobs.service import JobService
from backend.queue.surroundings import Surroundings
from backend.settings import Settings
from backend.storage import open_store
from backend.workers.one_job import OneJob
from deploy.film_length import NotAFilm, film_seconds
from deploy.smoke import CLIP, main
from tests.integration.conftest import wait_until
from tests.loopback import Request, loopback

JOB = "/api/v1/jobs/7"


@contextmanager
def live_api(settings: Settings) -> Iterator[str]:
    app = create_app(settings)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        app.extensions["framefleet"].planners.shutdown()
        app.extensions["framefleet"].database.close()


@contextmanager
def fleet_of_one(database: Database, settings: Settings) -> Iterator[None]:
    """Works on the first job that comes."""

    def work() -> None:
        (job,) = wait_until(lambda: JobService(database).list(limit=1), 60, "a job")
        store = open_store(settings)
        OneJob(job.id, database, store, settings, Surroundings(store)).run(listens=False)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    thread.join(timeout=60)
    assert not thread.is_alive()


def smoke(url: str, *more: str) -> Result:
    return CliRunner().invoke(main, [url, "--poll", "0.05", "--retries", "1", *more])


def test_a_film_goes_through_a_whole_fleet(database: Database, settings: Settings) -> None:
    hasty = settings.model_copy(update={"detector": "hog", "poll_seconds": 0.05})
    with ExitStack() as stack:
        url = stack.enter_context(live_api(hasty))
        stack.enter_context(fleet_of_one(database, hasty))
        done = smoke(url, "--timeout", "60")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["kind"], told["film_seconds"]) == ("crop", pytest.approx(film_seconds(CLIP.read_bytes()), abs=0.1))
    assert told["film_bytes"] > 1000
    (job,) = JobService(database).list(limit=2)
    assert (str(job.id), job.status) == (told["job_id"], "done")


Answer = Callable[[Request], tuple[int, bytes] | tuple[int, bytes, dict[str, str]]]


def fake_api(status: str = "done", film: bytes | None = None, ready: int = 200, **job: Any) -> Answer:
    def answer(request: Request) -> tuple[int, bytes]:
        match request.path:
            case "/ready":
                return ready, b'{"ok": true}'
            case "/api/v1/jobs":
                return 202, b'{"id": "7"}'
            case "/api/v1/jobs/7":
                return 200, json.dumps({"id": "7", "status": status, "stage": "RENDERING", **job}).encode()
        return 200, CLIP.read_bytes() if film is None else film

    return answer


def resized(film: bytes, factor: int) -> bytes:
    """The film, with another duration in its movie header."""
    at = film.index(b"mvhd") + 4 + 12
    scale, duration = struct.unpack_from(">II", film, at)
    return film[:at] + struct.pack(">II", scale, duration * factor) + film[at + 8 :]


def without_media(film: bytes) -> bytes:
    return film[: film.index(b"mdat") - 4]


@pytest.mark.parametrize(
    ("api", "words"),
    [
        (fake_api(ready=503), "answered 503 instead of 200"),
        (fake_api("failed", error={"code": "model_missing", "message": "No weights."}), "model_missing: No weights."),
        (fake_api("cancelled"), "is cancelled"),
        (fake_api("processing"), "is still processing (RENDERING) after 0 s"),
        (fake_api(film=b"<html>sign in</html>"), "is no film"),
        (fake_api(film=b""), "is no film"),
        (fake_api(film=without_media(CLIP.read_bytes())), "no media"),
        (fake_api(film=resized(CLIP.read_bytes(), 2)), "has 4.00 s, and the clip 2.00 s"),
    ],
)
def test_a_fleet_that_does_not_do_it_fails_with_why(api: Answer, words: str) -> None:
    with loopback(api) as url:
        done = smoke(url, "--timeout", "0")
    assert done.exit_code == 1
    assert words in done.stderr


def test_a_fleet_that_answers_as_it_should_passes_the_fake_too() -> None:
    """So that the failures above are those of what they name."""
    with loopback(fake_api()) as url:
        assert smoke(url, "--timeout", "0").exit_code == 0


def test_nobody_there_is_a_failure() -> None:
    done = smoke("http://127.0.0.1:9")
    assert done.exit_code == 1 and "does not answer" in done.stderr


def test_a_film_that_breaks_off_on_its_way_is_a_failure() -> None:
    """Its first piece is announced, behind the end of the headers, and does not come."""
    film = CLIP.read_bytes()

    def api(request: Request) -> tuple[int, bytes] | tuple[int, bytes, dict[str, str]]:
        if not request.path.endswith("/output"):
            return fake_api()(request)
        return 200, b"", {"Transfer-Encoding": "chunked", "X": f"\r\n\r\n{len(film) + 1:x}\r\n"}

    with loopback(api) as url:
        done = smoke(url)
    assert done.exit_code == 1 and "breaks off" in done.stderr


def test_what_is_no_url_is_a_bad_argument() -> None:
    assert smoke("films.example").exit_code == 2


def test_the_headers_for_the_proxy_go_to_the_api_alone(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("X-Proxy-Token: t0ken\n\n")
    seen: dict[str, str | None] = {}

    def store(request: Request) -> tuple[int, bytes]:
        seen["store"] = request.headers.get("x-proxy-token")
        return 200, CLIP.read_bytes()

    with loopback(store) as elsewhere:

        def api(request: Request) -> tuple[int, bytes] | tuple[int, bytes, dict[str, str]]:
            seen[request.path] = request.headers.get("x-proxy-token")
            if request.path.endswith("/output"):
                return 302, b"", {"Location": f"{elsewhere}/signed?X-Amz-Signature=1"}
            return fake_api()(request)  # type: ignore[return-value]

        with loopback(api) as url:
            done = smoke(url, "--header-file", str(tmp_path / "headers"))
    assert done.exit_code == 0, done.output
    assert seen == dict.fromkeys(("/ready", "/api/v1/jobs", JOB, f"{JOB}/output"), "t0ken") | {"store": None}


def test_the_key_of_the_file_opens_a_fleet_that_asks_for_one(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("ff_abc\n")

    def api(request: Request) -> tuple[int, bytes] | tuple[int, bytes, dict[str, str]]:
        is_open = request.path == "/ready" or request.headers.get("authorization") == "Bearer ff_abc"
        return fake_api()(request) if is_open else (401, b'{"code": "key_missing"}')

    with loopback(api) as url:
        assert smoke(url, "--key-file", str(tmp_path / "key")).exit_code == 0
        assert "401" in smoke(url).stderr


def test_lines_that_are_no_headers_are_a_bad_argument(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("token\n")
    assert smoke("http://127.0.0.1:9", "--header-file", str(tmp_path / "headers")).exit_code == 2


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def test_durations_of_64_bits_and_large_boxes_are_read() -> None:
    header = box(b"mvhd", b"\x01\x00\x00\x00" + bytes(16) + struct.pack(">IQ", 1000, 3_600_000))
    large = struct.pack(">I4sQ", 1, b"mdat", 16 + 3) + b"abc"
    assert film_seconds(box(b"ftyp", b"isom") + box(b"moov", header) + large) == 3600
    assert film_seconds(box(b"ftyp", b"isom") + box(b"moov", header) + struct.pack(">I4s", 0, b"mdat") + b"abc") == 3600


@pytest.mark.parametrize("cut", [1, 30, 200, 1500])
def test_a_film_that_is_cut_off_is_none(cut: int) -> None:
    with pytest.raises(NotAFilm):
        film_seconds(CLIP.read_bytes()[:cut])


@pytest.mark.parametrize(
    "data",
    [struct.pack(">I4s", 4, b"ftyp"), struct.pack(">I4sQ", 1, b"ftyp", 2**63), struct.pack(">I4s", 2**31, b"moov"),
     box(b"ftyp", b"") + box(b"moov", box(b"mvhd", b"\x00")) + box(b"mdat", b"a")],
)  # fmt: skip
def test_sizes_that_lie_end_in_the_same_words(data: bytes) -> None:
    with pytest.raises(NotAFilm):
        film_seconds(data)
