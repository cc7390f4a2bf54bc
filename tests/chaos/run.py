"""One chaos run: jobs, workers, faults chosen by a seed; then every promise is checked."""

from __future__ import annotations

import contextlib
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from backend.db.models import Job
from backend.errors import DatabaseUnavailable
from backend.jobs.service import JobService, NewJob
from tests.chaos import audit, results
from tests.chaos.ailments import small_folder
from tests.chaos.faults import ONE_WORKER, POLL_SEC, Strike, Traps, Trouble
from tests.chaos.fleet import ANALYSIS_WORKER, CHUNK_WORKER, Fleet, Nursery, Slot
from tests.chaos.idleness import MAX_IDLE_SEC, IdleWatch
from tests.chaos.proxies import Proxies
from tests.chaos.troubles import Troublemaker
from tests.chaos.world import KEY, World, open_world

LEASE_SEC = 1.5
MAX_PAUSE_SEC = 0.3
LOOK_EVERY_SEC = 0.2
# Jobs are added while strikes are left, however many that takes: each must find work to hit.
OPEN_JOBS = 3
WORKER_SETTINGS = {
    "DETECTOR": "hog",
    "CHUNK_SECONDS": "1",
    "RENDER_FANOUT_SECONDS": "2.5",  # some films are rendered in pieces, others in one go
    "LEASE_SECONDS": str(LEASE_SEC),
    "POLL_SECONDS": "0.1",
    "DRAIN_SECONDS": "0",
    # Faults come far more often than backoff is made for, and one chunk may meet many.
    "RETRY_BASE_SECONDS": "0.1",
    "RETRY_CAP_SECONDS": "0.5",
    "MAX_ATTEMPTS": "100",
    "STALL_GRACE_SECONDS": "1",
    "OVERLAP_SAMPLES": "3",
    "REUSE_CHUNKS": "false",  # the films are alike: whoever adopts decodes nothing and cannot be struck there
    "FRAMEFLEET_THREADS": "1",
    "S3_ADDRESSING_STYLE": "path",
    "S3_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": KEY,
    "AWS_SECRET_ACCESS_KEY": KEY,
}


@dataclass(frozen=True)
class Plan:
    """What a run does. The same seed gives the same faults, in the same order and at the same places."""

    seed: int
    jobs: int
    chunk_workers: int
    analysis_workers: int
    strikes: Sequence[Strike]
    troubles: Sequence[Trouble]
    film_seconds: Sequence[int]
    timeout_sec: float
    stall_sec: float  # longer than a client waits for the store, where one must


@dataclass
class Report:
    seed: int
    jobs: int
    seconds: float
    struck: list[tuple[float, str]]  # seconds from the start, and what was done
    missed: list[str]
    restarts: int
    stale_claims: int
    claims: int
    longest_idle_sec: float  # of a healthy worker, while chunks were due
    events: Counter[str]
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}: {self.jobs} jobs, {self.claims} claims, {self.stale_claims} made stale,"
            f" {self.restarts} restarts, {self.events['claim_lost']} claims lost,"
            f" {self.events['chunk_put_back'] + self.events['job_put_back']} put back,"
            f" idle for {self.longest_idle_sec:.1f} s at most, {self.seconds:.0f} s"
        ]
        lines += [f"  {at_sec:6.1f} s  {fault}" for at_sec, fault in sorted(self.struck)]
        lines += [f"   never     {fault}" for fault in self.missed]
        lines += [f"  BROKEN {promise}" for promise in self.broken] or ["  every promise kept"]
        return "\n".join(lines)


def run(plan: Plan) -> Report:
    with tempfile.TemporaryDirectory(prefix="framefleet-chaos-") as folder:
        nursery = Nursery(Path(folder))  # imports while the servers start
        try:
            with open_world(Path(folder)) as world:
                return ChaosRun(plan, world, nursery).run()
        finally:
            nursery.close()


class ChaosRun:
    def __init__(self, plan: Plan, world: World, nursery: Nursery) -> None:
        self._plan = plan
        self._nursery = nursery
        self._world = world
        self._films, self._pauses = self._generator("films"), self._generator("pauses")
        self._service = JobService(world.database)
        self._jobs: dict[UUID, int] = {}  # the seconds of its film
        self._open: set[UUID] = set()
        self._look_at = 0.0
        self._idle = IdleWatch(world)
        self._struck: list[tuple[float, str]] = []
        self._armed: dict[str, Strike] = {}
        self._arm_at: dict[str, float] = {}

    def _generator(self, purpose: str) -> random.Random:
        """One for each purpose: what one draws must not depend on when another is asked."""
        return random.Random(f"{self._plan.seed} {purpose}")

    def run(self) -> Report:
        self._began = time.monotonic()
        logs = self._world.folder / "logs"
        logs.mkdir()
        with self._fleet(logs) as fleet:
            troubles = Troublemaker(
                self._world, self._proxies, fleet.slots, self._plan.troubles, self._generator("troubles")
            )
            queues = self._queues(fleet.slots)
            fleet.start()
            troubles.start()
            try:
                finished = self._until_done(fleet, queues, troubles, self._began + self._plan.timeout_sec)
            finally:
                troubles.stop()
                fleet.stop()
        missed = [str(strike) for queue in queues.values() for strike in queue] + troubles.missed
        broken = [] if finished else [f"not done after {self._plan.timeout_sec} s: {self._states()}"]
        if self._idle.longest_sec > MAX_IDLE_SEC:
            broken.append(f"a healthy worker stood idle for {self._idle.longest_sec:.0f} s while chunks were due")
        broken += [f"{name} ended by itself" for name in fleet.unexplained_ends]
        broken += results.broken_results(self._world, self._jobs)
        found = audit.moves(self._world.database)
        broken += audit.broken_promises(found)
        events = _events(logs)
        broken += [f"an error in a log: {line}" for line in _errors(logs)]
        return Report(
            seed=self._plan.seed,
            jobs=len(self._jobs),
            seconds=time.monotonic() - self._began,
            struck=self._struck + [(at - self._began, fault) for at, fault in troubles.made],
            missed=missed,
            restarts=fleet.restarts,
            stale_claims=self._traps.stale_made,
            claims=sum(move.is_claim for move in found),
            longest_idle_sec=self._idle.longest_sec,
            events=events,
            broken=broken,
        )

    @contextlib.contextmanager
    def _fleet(self, logs: Path) -> Iterator[Fleet]:
        self._proxies = Proxies(
            self._world.postgres_socket, self._world.s3_address, lambda name, point: self._traps.gate(name, point)
        )
        modules = [CHUNK_WORKER] * self._plan.chunk_workers + [ANALYSIS_WORKER] * self._plan.analysis_workers
        slots = [self._slot(f"w{number}", module, logs) for number, module in enumerate(modules)]
        self._traps = Traps(slots, self._world, self._generator("delays"))
        try:
            yield Fleet(slots, self._generator("restarts"))
        finally:
            self._proxies.close()

    def _slot(self, name: str, module: str, logs: Path) -> Slot:
        user, _, _ = urlsplit(self._world.postgres.url).netloc.rpartition("@")
        database = f"postgresql://{user}@127.0.0.1:{self._proxies.postgres_port(name)}/postgres"
        environment = WORKER_SETTINGS | {
            "DATABASE_URL": f"{database}?sslmode=disable&gssencmode=disable",
            "STORAGE_URL": f"s3://{self._world.bucket}/store",
            "S3_ENDPOINT_URL": f"http://127.0.0.1:{self._proxies.s3_port(name)}",
            "FRAMEFLEET_DATA_DIR": str(self._world.folder / "data"),
            "TMPDIR": str(self._world.folder / "tmp" / name),
            "STALL_SECONDS": str(self._plan.stall_sec),
        }
        self._world.stack.enter_context(small_folder(Path(environment["TMPDIR"])))
        return Slot(name, module, environment, logs, self._nursery)

    def _queues(self, slots: Sequence[Slot]) -> dict[str, list[Strike]]:
        """Each slot's strikes, in the order in which they will come."""
        strikes = list(self._plan.strikes)
        self._generator("strikes").shuffle(strikes)
        queues: dict[str, list[Strike]] = {slot.name: [] for slot in slots}
        for strike in strikes:
            fitting = [slot.name for slot in slots if slot.module == strike.module]
            queues[min(fitting, key=lambda name: len(queues[name]))].append(strike)
        return queues

    def _until_done(
        self, fleet: Fleet, queues: dict[str, list[Strike]], troubles: Troublemaker, deadline: float
    ) -> bool:
        while time.monotonic() < deadline:
            faults_left = any(queues.values()) or not troubles.is_over
            if time.monotonic() >= self._look_at:
                self._look_at = time.monotonic() + LOOK_EVERY_SEC
                self._open &= self._world.unfinished()
                self._feed(faults_left)
                self._idle.look(fleet.slots, self._ailing(fleet.slots, troubles))
            for slot in fleet.slots:
                self._step(slot, queues[slot.name])
            self._traps.look_into_media()
            if not self._open and not faults_left and len(self._jobs) >= self._plan.jobs:
                return True
            time.sleep(POLL_SEC)
        return False

    def _ailing(self, slots: Sequence[Slot], troubles: Troublemaker) -> frozenset[str]:
        """Who cannot work right now: all while the store or the database is in trouble, else whoever it befell."""
        if troubles.now is None:
            return frozenset()
        if troubles.now in ONE_WORKER:
            return frozenset(self._proxies.sick)
        return frozenset(slot.name for slot in slots)

    def _feed(self, faults_left: bool) -> None:
        wanted = OPEN_JOBS if faults_left else 0
        few = len(self._jobs) < self._plan.jobs
        if few or len(self._open) < wanted:
            name, seconds = f"film-{len(self._jobs)}", self._films.choice(self._plan.film_seconds)
            request = NewJob("crop", self._world.upload(name, seconds), f"{name}.mp4", idempotency_key=name)
            with contextlib.suppress(DatabaseUnavailable):  # asked again in a moment, with the same key
                job = self._service.create(request)
                self._jobs[job.id] = seconds
                self._open.add(job.id)

    def _step(self, slot: Slot, queue: list[Strike]) -> None:
        """The slot's next strike is armed a moment after the one before has hit."""
        armed = self._armed.get(slot.name)
        if armed is not None and not self._traps.is_armed(slot):
            self._struck.append((time.monotonic() - self._began, str(armed)))
            del self._armed[slot.name]
            queue.pop(0)
            self._arm_at[slot.name] = time.monotonic() + self._pauses.uniform(0, MAX_PAUSE_SEC)
        elif armed is None and queue and slot.is_alive and time.monotonic() >= self._arm_at.get(slot.name, 0.0):
            self._armed[slot.name] = queue[0]
            self._traps.arm(slot, queue[0])

    def _states(self) -> list[tuple[str, str, str | None]]:
        jobs: list[Job] = [self._service.get(id) for id in self._open]
        return [(job.input_name, job.status, job.error_message) for job in jobs]


def _events(logs: Path) -> Counter[str]:
    lines = [line for log in logs.glob("*.log") for line in log.read_text().splitlines() if line.startswith("{")]
    return Counter(json.loads(line)["event"] for line in lines if line.endswith("}"))


MOST_TRACEBACK_LINES = 40


def _errors(logs: Path) -> list[str]:
    """An event of level error is a fault of ours: trouble from outside has typed errors, told as warnings."""
    found = []
    for log in sorted(logs.glob("*.log")):
        lines = log.read_text().splitlines()
        for at, line in enumerate(lines):
            if '"level": "error"' in line:
                found.append(line[:2000])
            elif line.startswith("Traceback"):
                found.append(f"{log.name}: " + "\n".join(lines[at : at + MOST_TRACEBACK_LINES])[:8000])
    return found
