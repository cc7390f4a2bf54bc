"""The workers of a peer, for benchmarks.queue; runs in an interpreter that has the peers and not us.

`PEER install|fill|work URL …`; `work` prints the latencies of its claims (ms) as JSON. Each peer is asked through its
own library for one job and told that the job is done, as its worker would, with no polling or task code in between.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

WARM_UP = 10  # as in queue.py
OFFSET_WORKERS = 32
Step = Callable[[], Awaitable[float]]


class Procrastinate:
    async def open(self, url: str) -> None:
        import procrastinate

        logging.disable(logging.WARNING)  # that the app is made here, once for each worker
        self.app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url, min_size=1, max_size=1))
        await self.app.open_async()
        self.worker = None

    async def install(self) -> None:
        await self.app.schema_manager.apply_schema_async()

    async def fill(self, count: int) -> None:
        from procrastinate.jobs import Job

        jobs = [Job(queue="q", lock=None, queueing_lock=None, task_name="t", task_kwargs={}) for _ in range(1000)]
        for _ in range(-(-count // 1000)):
            await self.app.job_manager.batch_defer_jobs_async(jobs)

    async def step(self) -> float:
        from procrastinate.jobs import Status

        if self.worker is None:
            self.worker = await self.app.job_manager.register_worker()
        began = time.perf_counter()
        job = await self.app.job_manager.fetch_job(queues=["q"], worker_id=self.worker)
        took_ms = (time.perf_counter() - began) * 1000
        assert job is not None, "the queue ran dry"
        await self.app.job_manager.finish_job(job, Status.SUCCEEDED, delete_job=False)
        return took_ms


class PgQueuer:
    async def open(self, url: str) -> None:
        import psycopg
        from pgqueuer.db import PsycopgDriver
        from pgqueuer.queries import EntrypointExecutionParameter, Queries

        connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
        self.queries = Queries(PsycopgDriver(connection))
        self.entrypoints = {"q": EntrypointExecutionParameter(concurrency_limit=0)}
        self.manager = uuid.uuid4()

    async def install(self) -> None:
        await self.queries.install()

    async def fill(self, count: int) -> None:
        for _ in range(-(-count // 1000)):
            await self.queries.enqueue(["q"] * 1000, [None] * 1000, [0] * 1000)

    async def step(self) -> float:
        began = time.perf_counter()
        jobs = await self.queries.dequeue(1, self.entrypoints, self.manager, None, timedelta(seconds=30))
        took_ms = (time.perf_counter() - began) * 1000
        assert jobs, "the queue ran dry"
        await self.queries.log_jobs([(jobs[0], "successful", None)])
        return took_ms


async def work(step: Step, number: int, begin_at: float, seconds: float, per_sec: float) -> list[float]:
    latencies = []
    turn = 0
    while True:
        due = begin_at + ((turn + number / OFFSET_WORKERS) / per_sec if per_sec else 0)
        if max(due, time.time()) >= begin_at + seconds:
            return latencies
        await asyncio.sleep(max(0.0, due - time.time()))
        latencies.append(await step())
        turn += 1


PEERS = {"procrastinate": Procrastinate, "pgqueuer": PgQueuer}


async def one_worker(ready: Any, peer: str, url: str, number: int, seconds: float, per_sec: float) -> list[float]:
    queue = PEERS[peer]()
    await queue.open(url)
    for _ in range(WARM_UP):
        await queue.step()
    ready.wait()
    latencies = await work(queue.step, number, time.time(), seconds, per_sec)
    ready.wait()
    return latencies


def answer(answers: Any, *arguments: Any) -> None:
    answers.put(asyncio.run(one_worker(*arguments)))


def all_workers(peer: str, url: str, workers: int, seconds: float, per_sec: float) -> list[float]:
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    ready = context.Barrier(workers)
    for number in range(workers):
        context.Process(target=answer, args=(answers, ready, peer, url, number, seconds, per_sec)).start()
    return [value for _ in range(workers) for value in answers.get(timeout=seconds + 60)]


async def prepare(peer: str, verb: str, url: str, *rest: str) -> None:
    queue = PEERS[peer]()
    await queue.open(url)
    await (queue.install() if verb == "install" else queue.fill(int(rest[0])))


if __name__ == "__main__":
    peer, verb, url, *rest = sys.argv[1:]
    if verb == "work":
        print(json.dumps(all_workers(peer, url, int(rest[0]), float(rest[1]), float(rest[2]))))
    else:
        asyncio.run(prepare(peer, verb, url, *rest))
