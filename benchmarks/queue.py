"""The queue under load, beside its peers: `python -m benchmarks.queue [--quick] [--peers PYTHON]`.

Every figure is of one PostgreSQL server with fsync and synchronous_commit on, in this run. A worker is a process with
one connection that claims and finishes; a claim's latency is the whole call, in Python. `offered` is 200 claims/s by 32
workers at fixed times; `hot` is as fast as they can. The states: an empty table, a million finished rows, a transaction
held open from the start of a minute's load, and after churn. PYTHON is an interpreter that has procrastinate and
pgqueuer (pip install procrastinate 'pgqueuer[psycopg]'); without one the peers are left out. Asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console

from backend.db.embedded import EmbeddedPostgres
from backend.db.engine import Database
from backend.db.migrate import upgrade
from backend.jobs.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode
from benchmarks.queue_load import heartbeat_hot_ratio, load_finished, load_queued

OFFERED_PER_SEC = 200
WORKERS = 32
HOT_WORKERS = (1, 8, 32)
OFFERED = f"{OFFERED_PER_SEC}/s, {WORKERS}"
WARM_UP = 10  # claims before the clock runs: connections are open then, and statements planned
TEND_EVERY_SEC = 5.0  # as the workers' loop does
PEERS = ("procrastinate", "pgqueuer")
PEER_SCRIPT = Path(__file__).with_name("queue_peers.py")
console = Console(width=120)


Row = tuple[str, str, str, "Measured"]  # system, state, load, what was measured


@dataclass(frozen=True)
class Sizes:
    finished: int = 1_000_000
    churn: int = 200_000
    offered_sec: float = 20.0
    held_sec: float = 60.0
    hot_sec: float = 10.0
    peers_churn_sec: float = 120.0  # what a peer does not get through by then is not waited for


QUICK = Sizes(finished=20_000, churn=4_000, offered_sec=4.0, held_sec=6.0, hot_sec=3.0)


@dataclass(frozen=True)
class Measured:
    claims: int
    seconds: float
    latencies_ms: list[float]

    def quantile(self, share: float) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def main() -> None:
    options = _options()
    sizes = QUICK if options.quick else Sizes()
    with tempfile.TemporaryDirectory(prefix="framefleet-bench-") as name, EmbeddedPostgres(Path(name)) as server:
        with psycopg.connect(server.url) as connection:
            shown = connection.execute("SELECT version(), current_setting('synchronous_commit')").fetchone()
        console.print(f"{shown} {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        console.print(f"{'system':15}{'state':24}{'load, workers':16}{'claims/s':>9}{'p50 ms':>9}{'p95':>9}{'p99':>9}")
        for row in run_ours(server.url, sizes):
            show(*row)
        for peer in PEERS if options.peers else ():
            for row in run_peer(server.url, peer, options.peers, sizes):
                show(*row)
        ratio = heartbeat_hot_ratio(new_database(server.url, "hot_ratio"))
        console.print(f"heartbeats that rewrote their row in place (HOT): {ratio:.1%}")


def run_ours(server_url: str, sizes: Sizes) -> Iterator[Row]:
    """(system, state, load, what was measured), in the order in which the states follow one another."""
    url = new_database(server_url, "ours")

    def offered(seconds: float) -> Measured:
        load_queued(url, int(OFFERED_PER_SEC * seconds) + 2000)
        return fan_out(url, WORKERS, seconds, OFFERED_PER_SEC / WORKERS)

    def hot(workers: int, seconds: float) -> Measured:
        load_queued(url, int(seconds * 6000))
        return fan_out(url, workers, seconds, None)

    yield "framefleet", "empty", OFFERED, offered(sizes.offered_sec)
    for workers in HOT_WORKERS:
        yield "framefleet", "empty", f"hot, {workers}", hot(workers, sizes.hot_sec)
    load_finished(url, sizes.finished)
    state = f"{sizes.finished:,} finished"
    yield "framefleet", state, OFFERED, offered(sizes.offered_sec)
    for workers in HOT_WORKERS:
        yield "framefleet", state, f"hot, {workers}", hot(workers, sizes.hot_sec)
    with held_open(url, "video_analysis_chunks"):
        yield "framefleet", f"held open {sizes.held_sec:.0f} s", OFFERED, offered(sizes.held_sec)
    churned = 0
    while churned < sizes.churn:
        churned += hot(8, sizes.hot_sec).claims
    yield "framefleet", f"after {churned:,} claims", OFFERED, offered(sizes.offered_sec)


def run_peer(server_url: str, peer: str, python: str, sizes: Sizes) -> Iterator[Row]:
    """The states in which the peers are compared: empty, held open, after churn; the same workers, the same server."""
    url = new_database(server_url, peer, with_schema=False)

    def peers_worker(seconds: float, workers: int, per_sec: float | None) -> Measured:
        count = int(seconds * 6000) if per_sec is None else int(OFFERED_PER_SEC * seconds) + 2000
        _peer(python, peer, "fill", url, str(count))
        latencies = json.loads(_peer(python, peer, "work", url, *map(str, (workers, seconds, per_sec or 0))))
        return Measured(len(latencies), seconds, latencies)

    _peer(python, peer, "install", url)
    each = OFFERED_PER_SEC / WORKERS
    yield peer, "empty", OFFERED, peers_worker(sizes.offered_sec, WORKERS, each)
    for workers in HOT_WORKERS:
        yield peer, "empty", f"hot, {workers}", peers_worker(sizes.hot_sec, workers, None)
    with held_open(url, {"procrastinate": "procrastinate_jobs", "pgqueuer": "pgqueuer"}[peer]):
        yield peer, f"held open {sizes.held_sec:.0f} s", OFFERED, peers_worker(sizes.held_sec, WORKERS, each)
    churned, until = 0, time.monotonic() + sizes.peers_churn_sec
    while churned < sizes.churn and time.monotonic() < until:
        churned += peers_worker(sizes.hot_sec, 8, None).claims
    yield peer, f"after {churned:,} claims", OFFERED, peers_worker(sizes.offered_sec, WORKERS, each)


def fan_out(url: str, workers: int, seconds: float, per_sec: float | None) -> Measured:
    """Runs that many processes at once; `per_sec` is what each is offered, None for as much as it can."""
    context = multiprocessing.get_context("fork")  # nothing is connected yet, and nothing is imported 32 times
    answers: Any = context.Queue()
    ready = context.Barrier(workers)
    processes = [
        context.Process(target=_worker, args=(answers, ready, url, number, seconds, per_sec))
        for number in range(workers)
    ]
    for process in processes:
        process.start()
    merged = [value for _ in processes for value in answers.get(timeout=seconds + 60)]
    for process in processes:
        process.join()
    return Measured(len(merged), seconds, merged)


def _worker(answers: Any, ready: Any, url: str, number: int, seconds: float, per_sec: float | None) -> None:
    database = Database(url, pool_size=1)
    queue = Queue(database, Settings.model_validate({"database_url": url, "worker_id": f"w{number}"}))
    latencies: list[float] = []
    for _ in range(WARM_UP):
        _claim_and_finish(queue)
    ready.wait()
    begin_at = time.time()
    tended = begin_at + TEND_EVERY_SEC * (number / WORKERS)
    for _ in schedule(begin_at, seconds, per_sec, number):
        latencies.append(_claim_and_finish(queue))
        if time.time() - tended > TEND_EVERY_SEC:
            queue.rescue_expired()
            tended = time.time()
    answers.put(latencies)


def _claim_and_finish(queue: Queue) -> float:
    """Milliseconds of the claim."""
    began = time.perf_counter()
    claim = queue.claim_chunk(DeepMode.GPU)
    took_ms = (time.perf_counter() - began) * 1000
    if claim is None:
        raise RuntimeError("The queue ran dry: give it more chunks.")
    queue.complete_chunk(claim, f"chunks/{claim.chunk_id}", "0" * 64, {"name": "bench"})
    return took_ms


def _peer(python: str, peer: str, verb: str, *arguments: str) -> str:
    # -P: this folder's queue.py must not stand in for the standard library's.
    command = [python, "-P", PEER_SCRIPT, peer, verb, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def schedule(begin_at: float, seconds: float, per_sec: float | None, number: int) -> Iterator[int]:
    """Yields when the next claim is due; workers are spread evenly over the first period."""
    turn = 0
    while True:
        due = begin_at + ((turn + number / WORKERS) / per_sec if per_sec else 0)
        if max(due, time.time()) >= begin_at + seconds:
            return
        time.sleep(max(0.0, due - time.time()))
        yield turn
        turn += 1


@contextmanager
def held_open(url: str, table: str) -> Iterator[None]:
    """A reader that never ends: no vacuum may remove what it could still see."""
    with psycopg.connect(url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute(f"SELECT 1 FROM {table} LIMIT 1")  # type: ignore[arg-type]
        yield


def new_database(server_url: str, name: str, *, with_schema: bool = True) -> str:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")  # type: ignore[arg-type]
    url = server_url.replace("/postgres?", f"/{name}?")
    if with_schema:
        database = Database(url)
        upgrade(database)
        database.close()
    return url


def show(system: str, state: str, load: str, measured: Measured) -> None:
    figures = "".join(f"{measured.quantile(share):9.2f}" for share in (0.5, 0.95, 0.99))
    console.print(f"{system:15}{state:24}{load:16}{measured.claims / measured.seconds:9,.0f}{figures}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it runs, not how fast")
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter that has procrastinate and pgqueuer")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
