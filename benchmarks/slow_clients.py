"""Slow clients and many that poll: `python -m benchmarks.slow_clients [slow] [poll] [all] [--gthread]`.

An API of its own (gunicorn, --threads, embedded PostgreSQL with fsync, a folder as the store) on loopback, and in
processes of their own the clients and a probe that asks /health twenty times a second over a connection kept alive.

slow: --clients, a third of them with a head, a third with a body that stops, a third that read nothing of a download.
poll: --pollers ask for one job that is in work, once a second each, with If-None-Match, over connections kept alive.
all:  50 jobs created at once, --clients uploads that drip 1 KiB/s, --pollers as above.

All of them come from one address, so the rate limit is off.

With --gthread: by gunicorn's own threads, as before. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from rich.console import Console

from backend.db.embedded import EmbeddedPostgres
from backend.db.engine import Database
from backend.db.migrate import upgrade
from backend.db.models import Chunk, Job
from backend.settings import Settings
from backend.storage import open_store

PROBES_PER_SEC = 20
FILM_BYTES = 64 * 2**20
CHUNKS = 20
JOBS_AT_ONCE = 50
console = Console(width=120)
Times = list[float]


@contextmanager
def api(arguments: argparse.Namespace) -> Iterator[tuple[int, UUID]]:
    """Its port, and a job that is in work; beside it a finished one with a film (of the next id)."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="framefleet-bench-")))
        url = stack.enter_context(EmbeddedPostgres(folder / "db")).url
        database = Database(url)
        stack.callback(database.close)
        upgrade(database)
        settings = Settings.model_validate({"database_url": url, "data_dir": folder})
        job_id = _jobs(database, settings)
        port = _free_port()
        place = {"DATABASE_URL": url, "FRAMEFLEET_DATA_DIR": str(folder), "RATE_LIMIT": "off"}
        log = stack.enter_context((folder / "api.log").open("wb"))
        server = subprocess.Popen(
            _command(port, arguments), env={**os.environ, **place}, stdout=log, stderr=log, start_new_session=True
        )
        stack.callback(server.wait)
        stack.callback(server.terminate)
        _wait_for(port)
        yield port, job_id
        if arguments.log:
            console.print((folder / "api.log").read_text(errors="replace"), markup=False)


def _command(port: int, arguments: argparse.Namespace) -> list[str]:
    own = ["--worker-class", "gthread"] if arguments.gthread else []
    config = ["--config", "python:backend.api.server.config"]
    threads = ["--threads", str(arguments.threads)]
    bind = ["--bind", f"127.0.0.1:{port}"]
    return [sys.executable, "-m", "gunicorn", *config, *bind, *threads, *own, "backend.api.app:create_app()"]


def _jobs(database: Database, settings: Settings) -> UUID:
    in_work, done = uuid4(), UUID(int=1)
    key = f"jobs/{done}/output/film_cropped.mp4"
    open_store(settings).put(key, os.urandom(2**20) * (FILM_BYTES // 2**20))
    facts = {"kind": "crop", "input_uri": "https://example.com/film.mp4", "input_name": "film.mp4", "width": 1920}
    facts |= {"height": 1080, "fps_num": 30, "fps_den": 1, "duration_seconds": 600.0, "has_audio": True, "rotation": 0}
    with database.session() as session:
        session.add(Job(id=in_work, status="processing", stage="PROCESSING", total_chunks=CHUNKS, **facts))
        session.add(Job(id=done, status="done", stage="DONE", output_key=key, total_chunks=0, **facts))
    with database.session() as session:
        for index in range(CHUNKS):
            bounds = {"start_pts": index, "end_pts": index + 1, "start_sec": 30 * index, "end_sec": 30 * index + 30}
            is_over = index < CHUNKS // 2
            state = {"status": "completed", "runtime_ms": 20_000, "progress": 1.0} if is_over else {}
            session.add(Chunk(job_id=in_work, chunk_index=index, **bounds, **state))
    return in_work


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
            sock.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if b"200" in sock.recv(100):
                return
        time.sleep(0.1)
    raise SystemExit("the API does not answer")


# ---- clients ----


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lines: str) -> tuple[int, dict[str, str]]:
    """Status and headers of the answer to one request."""
    writer.write(f"{lines}\r\nHost: localhost\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    status = int(head[0].split()[1])
    if status != 304:
        await reader.readexactly(int(headers.get("content-length", 0)))
    return status, headers


async def _poll(port: int, path: str, until: float, times: Times, statuses: list[int], wait_sec: float) -> None:
    await asyncio.sleep(wait_sec)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    etag = '"none"'
    while (began := time.monotonic()) < until:
        status, headers = await _ask(reader, writer, f"GET {path} HTTP/1.1\r\nIf-None-Match: {etag}")
        times.append(time.monotonic() - began)
        statuses.append(status)
        etag = headers.get("etag", etag)
        await asyncio.sleep(max(0.0, began + 1 - time.monotonic()))
    writer.close()


def pollers(port: int, path: str, count: int, until: float, told: Any) -> None:
    times: Times = []
    statuses: list[int] = []

    async def run() -> None:
        each = [_poll(port, path, until, times, statuses, index / count) for index in range(count)]
        await asyncio.gather(*each, return_exceptions=True)

    asyncio.run(run())
    told.put(("poll", times, statuses))


def probe(port: int, until: float, told: Any) -> None:
    """/health at a steady pace; a request that is not answered counts with the time that it was waited for."""
    times: Times = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    while (began := time.monotonic()) < until:
        try:
            connection.request("GET", "/health")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            connection.close()
        times.append(time.monotonic() - began)
        time.sleep(max(0.0, began + 1 / PROBES_PER_SEC - time.monotonic()))
    told.put(("health", times, []))


async def _drip(port: int, until: float, first: bytes, drip: bytes, every_sec: float) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    writer.write(first)
    while time.monotonic() < until:
        await asyncio.sleep(every_sec)
        if drip:
            writer.write(drip)
    writer.close()


def slow_ones(port: int, kinds: list[str], count: int, until: float, told: Any) -> None:
    post = "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    film = f"GET /api/v1/jobs/{UUID(int=1)}/output HTTP/1.1\r\nHost: localhost\r\n\r\n"
    starts = {
        "head": (b"GET /health HTTP/1.1\r\nHo", b""),
        "body": (f"{post}Content-Length: 4000000\r\n\r\n--x\r\n".encode(), b""),
        "unread": (film.encode(), b""),
        "drip": (f"{post}Content-Length: 8388608\r\n\r\n--x\r\n".encode(), b"." * 1024),
    }

    async def run() -> None:
        each = [_drip(port, until, *starts[kinds[i % len(kinds)]], every_sec=1) for i in range(count)]
        await asyncio.gather(*each, return_exceptions=True)

    asyncio.run(run())
    told.put(("slow", [], []))


def creators(port: int, count: int, until: float, told: Any) -> None:
    """So many jobs at once."""
    times: Times = []
    statuses: list[int] = []
    body = json.dumps({"input": "https://example.com/film.mp4"})
    lines = f"POST /api/v1/jobs HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"

    async def create() -> None:
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{lines}\r\nHost: localhost\r\n\r\n{body}".encode())
        status = await reader.readline()
        times.append(time.monotonic() - began)
        statuses.append(int(status.split()[1]))
        writer.close()

    async def run() -> None:
        await asyncio.gather(*[create() for _ in range(count)], return_exceptions=True)

    time.sleep(max(0.0, until - time.monotonic()) / 2)
    asyncio.run(run())
    told.put(("create", times, statuses))


# ---- scenes ----


def scene(name: str, clients: list[tuple[Callable[..., None], tuple[Any, ...]]]) -> None:
    told: Any = multiprocessing.Queue()
    running = [multiprocessing.Process(target=target, args=(*args, told)) for target, args in clients]
    for each in running:
        each.start()
    results = [told.get(timeout=300) for _ in running]
    for each in running:
        each.join()
    for what, times, statuses in results:
        if times:
            counts = {status: statuses.count(status) for status in sorted(set(statuses))}
            console.print(f"{name:5} {what:7} {_percentiles(times)}  {counts or ''}", markup=False)


def _percentiles(times: Times) -> str:
    ordered = sorted(times)
    at = {p: 1000 * ordered[min(len(ordered) - 1, int(p / 100 * len(ordered)))] for p in (50, 95, 99)}
    shown = "  ".join(f"p{p} {value:7.1f}" for p, value in at.items())
    return f"{len(times):6} answers  {shown}  max {1000 * ordered[-1]:7.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", default=["slow", "poll", "all"])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--pollers", type=int)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--gthread", action="store_true")
    parser.add_argument("--log", action="store_true")
    arguments = parser.parse_args()
    with api(arguments) as (port, job_id):
        path = f"/api/v1/jobs/{job_id}"
        for name in arguments.scenes:
            until = time.monotonic() + arguments.seconds
            clients: list[tuple[Callable[..., None], tuple[Any, ...]]] = [(probe, (port, until))]
            if name == "slow":
                clients.append((slow_ones, (port, ["head", "body", "unread"], arguments.clients, until)))
            if name == "all":
                clients.append((slow_ones, (port, ["drip"], arguments.clients, until)))
                clients.append((creators, (port, JOBS_AT_ONCE, until)))
            if name in ("poll", "all"):
                count = arguments.pollers or (200 if name == "poll" else 300)
                clients.append((pollers, (port, path, count, until)))
            scene(name, clients)


if __name__ == "__main__":
    main()
