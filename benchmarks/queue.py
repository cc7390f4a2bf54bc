"""The queue under load, beside its peers: `python -m benchmarks.queue [--quick] [--hot-only] [--peers PYTHON]`.

Every figure is of one PostgreSQL server with fsync and synchronous_commit on, in this run, the systems in short bouts
in turn. A worker is a process with one connection that claims and finishes; a claim's latency is the whole call, in
Python. `offered` is 200 claims/s by 32 workers at fixed times. `hot` is as fast as they can: ours then finishes a chunk
and claims the next with one call, and that is its latency. The states: an empty table, a million finished rows (in a
database of its own), a transaction held open from the start of a minute's load, and after churn. PYTHON is an
interpreter that has procrastinate and pgqueuer (pip install procrastinate 'pgqueuer[psycopg]'); without one the peers
are left out. Asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import operator
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Protocol

import psycopg
from rich.console import Console

from backend.db.embedded import EmbeddedPostgres
from backend.db.engine import Database
from backend.db.migrate import upgrade
from backend.queue.claims import ChunkClaim
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode
from benchmarks.queue_load import heartbeat_hot_ratio, load_finished, load_queued

OFFERED_PER_SEC = 200
WORKERS = 32
HOT_WORKERS = (1, 8, 32)
OFFERED = f"{OFFERED_PER_SEC}/s, {WORKERS}"
WARM_UP = 10  # claims before the clock runs: connections are open then, and statements planned
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
    bouts: int = 4
    peers_churn_sec: float = 120.0  # what a peer does not get through by then is not waited for


QUICK = Sizes(finished=20_000, churn=4_000, offered_sec=4.0, held_sec=6.0, hot_sec=3.0, bouts=2)


@dataclass(frozen=True)
class Measured:
    claims: int
    seconds: float
    latencies_ms: list[float]

    def __add__(self, other: Measured) -> Measured:
        return Measured(
            self.claims + other.claims, self.seconds + other.seconds, self.latencies_ms + other.latencies_ms
        )

    def quantile(self, share: float) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class System(Protocol):
    """A queue in a database of its own."""

    name: str
    url: str
    table: str

    def offered(self, seconds: float) -> Measured: ...

    def hot(self, workers: int, seconds: float) -> Measured: ...


class Ours:
    name, table = "framefleet", "video_analysis_chunks"

    def __init__(self, server_url: str, database: str = "ours") -> None:
        self.url = new_database(server_url, database)

    def offered(self, seconds: float) -> Measured:
        load_queued(self.url, int(OFFERED_PER_SEC * seconds) + 2000)
        return fan_out(self.url, WORKERS, seconds, OFFERED_PER_SEC / WORKERS)

    def hot(self, workers: int, seconds: float) -> Measured:
        load_queued(self.url, int(seconds * 6000))
        return fan_out(self.url, workers, seconds, None)


class Peer:
    def __init__(self, server_url: str, name: str, python: str) -> None:
        self.name, self.table = name, {"procrastinate": "procrastinate_jobs", "pgqueuer": "pgqueuer"}[name]
        self.url = new_database(server_url, name, with_schema=False)
        self._python = python
        self._run("install", self.url)

    def offered(self, seconds: float) -> Measured:
        return self._work(int(OFFERED_PER_SEC * seconds) + 2000, WORKERS, seconds, OFFERED_PER_SEC / WORKERS)

    def hot(self, workers: int, seconds: float) -> Measured:
        return self._work(int(seconds * 6000), workers, seconds, 0)

    def _work(self, jobs: int, workers: int, seconds: float, per_sec: float) -> Measured:
        self._run("fill", self.url, str(jobs))
        latencies = json.loads(self._run("work", self.url, *map(str, (workers, seconds, per_sec))))
        return Measured(len(latencies), seconds, latencies)

    def _run(self, verb: str, *arguments: str) -> str:
        # -P: this folder's queue.py must not stand in for the standard library's.
        command = [self._python, "-P", PEER_SCRIPT, self.name, verb, *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    options = _options()
    sizes = QUICK if options.quick else Sizes()
    with tempfile.TemporaryDirectory(prefix="framefleet-bench-") as name, EmbeddedPostgres(Path(name)) as server:
        with psycopg.connect(server.url) as connection:
            shown = connection.execute("SELECT version(), current_setting('synchronous_commit')").fetchone()
        console.print(f"{shown} {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        console.print(f"{'system':15}{'state':24}{'load, workers':16}{'claims/s':>9}{'p50 ms':>9}{'p95':>9}{'p99':>9}")
        peers = [Peer(server.url, peer, options.peers) for peer in PEERS] if options.peers else []
        for row in hot_rows(server.url, peers, sizes) if options.hot_only else rows(server.url, peers, sizes):
            show(*row)
        if options.hot_only:
            return
        ratio = heartbeat_hot_ratio(new_database(server.url, "hot_ratio"))
        console.print(f"heartbeats that rewrote their row in place (HOT): {ratio:.1%}")


def rows(server_url: str, peers: list[Peer], sizes: Sizes) -> Iterator[Row]:
    """(system, state, load, what was measured), in the order in which the states follow one another."""
    ours = Ours(server_url)
    systems = [ours, *peers]
    yield from bouts(systems, sizes.bouts, "empty", OFFERED, lambda system, n: system.offered(sizes.offered_sec / n))
    yield from _hot(systems, "empty", sizes)
    full, state = _with_finished(server_url, sizes)
    yield full.name, state, OFFERED, full.offered(sizes.offered_sec)
    yield from _hot([full], state, sizes)
    with ExitStack() as held:
        for system in systems:
            held.enter_context(held_open(system.url, system.table))
        state = f"held open {sizes.held_sec:.0f} s"
        yield from bouts(systems, sizes.bouts, state, OFFERED, lambda system, n: system.offered(sizes.held_sec / n))
    for system in systems:
        churned, until = 0, time.monotonic() + sizes.peers_churn_sec
        while churned < sizes.churn and (system is ours or time.monotonic() < until):
            churned += system.hot(8, sizes.hot_sec).claims
        console.print(f"{system.name}: {churned:,} claims of churn")
    state = f"after {sizes.churn:,} claims"
    yield from bouts(systems, sizes.bouts, state, OFFERED, lambda system, n: system.offered(sizes.offered_sec / n))


def hot_rows(server_url: str, peers: list[Peer], sizes: Sizes) -> Iterator[Row]:
    systems: list[System] = [Ours(server_url), *peers]
    for system in systems:
        system.hot(1, 1.0)
        # In the long run autovacuum had time to. Without statistics procrastinate claims 40 jobs a second.
        with psycopg.connect(system.url, autocommit=True) as connection:
            connection.execute("ANALYZE")
    yield from _hot(systems, "empty", sizes)
    full, state = _with_finished(server_url, sizes)
    yield from _hot([full], state, sizes)


def _with_finished(server_url: str, sizes: Sizes) -> tuple[Ours, str]:
    full = Ours(server_url, "ours_full")
    load_finished(full.url, sizes.finished)
    return full, f"{sizes.finished:,} finished"


def _hot(systems: Sequence[System], state: str, sizes: Sizes) -> Iterator[Row]:
    for workers in HOT_WORKERS:
        yield from _hot_by(workers, systems, state, sizes)


def _hot_by(workers: int, systems: Sequence[System], state: str, sizes: Sizes) -> Iterator[Row]:
    load = f"hot, {workers}"
    return bouts(systems, sizes.bouts, state, load, lambda system, n: system.hot(workers, sizes.hot_sec / n))


def bouts(
    systems: Sequence[System], count: int, state: str, load: str, bout: Callable[[System, int], Measured]
) -> Iterator[Row]:
    """The systems in turn, `count` times: a machine that is slow for a minute is so for all of them."""
    measured = [[bout(system, count) for system in systems] for _ in range(count)]
    for system, parts in zip(systems, zip(*measured, strict=True), strict=True):
        yield system.name, state, load, reduce(operator.add, parts)


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
    """As the workers' loop: a claim when the last chunk is finished, or both at once while there is no wait between."""
    database = Database(url, pool_size=1)
    queue = Queue(database, Settings.model_validate({"database_url": url, "worker_id": f"w{number}"}))
    latencies: list[float] = []
    for _ in range(WARM_UP):
        _finish(queue, _claimed(queue.claim_chunk(DeepMode.GPU)))
    queue.rescue_expired()
    in_hand = _claimed(queue.claim_chunk(DeepMode.GPU)) if per_sec is None else None
    ready.wait()
    for _ in schedule(time.time(), seconds, per_sec, number):
        began = time.perf_counter()
        if in_hand is not None:
            in_hand = _claimed(_finish_and_claim(queue, in_hand))
            latencies.append((time.perf_counter() - began) * 1000)
        else:
            claim = _claimed(queue.claim_chunk(DeepMode.GPU))
            latencies.append((time.perf_counter() - began) * 1000)
            _finish(queue, claim)
        queue.tend()
    if in_hand is not None:
        _finish(queue, in_hand)
    ready.wait()  # 32 processes that end would be in the last claims' way
    answers.put(latencies)


def _claimed(claim: ChunkClaim | None) -> ChunkClaim:
    if claim is None:
        raise RuntimeError("The queue ran dry: give it more chunks.")
    return claim


def _finish(queue: Queue, claim: ChunkClaim) -> None:
    queue.complete_chunk(claim, f"chunks/{claim.chunk_id}", "0" * 64, {"name": "bench"})


def _finish_and_claim(queue: Queue, claim: ChunkClaim) -> ChunkClaim | None:
    finished = (claim, f"chunks/{claim.chunk_id}", "0" * 64, {"name": "bench"})
    return queue.complete_and_claim(*finished, deep_mode=DeepMode.GPU)[1]


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
    parser.add_argument("--hot-only", action="store_true", help="the hot loops alone (4 of 18 minutes)")
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter that has procrastinate and pgqueuer")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
