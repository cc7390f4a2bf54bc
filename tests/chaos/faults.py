"""What is done to the fleet: strikes at a point of one worker's work, and trouble for everybody."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.fleet import ANALYSIS_WORKER, CHUNK_WORKER, Slot
from tests.chaos.points import Point
from tests.chaos.world import World

POLL_SEC = 0.02
MAX_FREEZE_SEC = 15.0
MAX_DELAY_IN_MEDIA_SEC = 0.3


class Deed(StrEnum):
    KILL = "kill -9"
    FREEZE = "freeze until superseded"  # then it goes on, with a stale claim, where it stood
    CUT = "cut the connection"
    DRAIN = "SIGTERM"


@dataclass(frozen=True)
class Strike:
    """One deed at one point of the worker in some slot of that module."""

    module: str
    deed: Deed
    point: Point

    def __str__(self) -> str:
        return f"{self.module.rsplit('.', 1)[-1]}: {self.deed} {self.point}"


class Trouble(StrEnum):
    """What happens to all workers at once."""

    RESTART = "PostgreSQL restarts (immediate)"
    TERMINATE = "pg_terminate_backend of every worker's"
    S3_ERRORS = "S3 answers 500"
    S3_HANGS = "S3 does not answer"
    S3_TIMES_OUT = "S3 does not answer for longer than a client waits"
    S3_SLOW = "S3 is slow"
    S3_RESETS = "S3 resets connections"
    S3_AWAY = "S3 is away for a minute and a half"
    SICK_WORKER = "one worker does not reach S3"
    ASLEEP = "a detector sleeps"
    FROZEN = "a worker's backends are frozen"
    FULL_FOLDER = "a worker's temporary folder is full"


# What needs minutes: a store that is away, and clients that wait for one.
ONE_WORKER = {Trouble.SICK_WORKER, Trouble.ASLEEP, Trouble.FROZEN, Trouble.FULL_FOLDER}
LONG = {Trouble.S3_AWAY, Trouble.S3_TIMES_OUT}


CHUNK_STRIKES = [
    *(Strike(CHUNK_WORKER, Deed.KILL, point) for point in (
        Point.CLAIM_COMMIT, Point.CLAIM_ANSWER, Point.MEDIA, Point.HEARTBEAT, Point.ARTIFACT_PUT,
        Point.ARTIFACT_ANSWER, Point.COMPLETE_COMMIT, Point.COMPLETE_ANSWER,
    )),
    *(Strike(CHUNK_WORKER, Deed.FREEZE, point) for point in (Point.COMPLETE, Point.ARTIFACT_PUT)),
    *(Strike(CHUNK_WORKER, Deed.CUT, point) for point in (
        Point.CLAIM_ANSWER, Point.COMPLETE_COMMIT, Point.COMPLETE_ANSWER, Point.ARTIFACT_ANSWER,
    )),
    Strike(CHUNK_WORKER, Deed.DRAIN, Point.MEDIA),
]  # fmt: skip
ANALYSIS_STRIKES = [
    *(Strike(ANALYSIS_WORKER, Deed.KILL, point) for point in (
        Point.CLAIM_COMMIT, Point.CLAIM_ANSWER, Point.MEDIA, Point.FILM_PUT, Point.FILM_ANSWER, Point.FINISH_COMMIT,
        Point.FINISH_ANSWER,
    )),
    Strike(ANALYSIS_WORKER, Deed.FREEZE, Point.FINISH),
    *(Strike(ANALYSIS_WORKER, Deed.CUT, point) for point in (
        Point.CLAIM_ANSWER, Point.FINISH_COMMIT, Point.FINISH_ANSWER,
    )),
    Strike(ANALYSIS_WORKER, Deed.DRAIN, Point.MEDIA),
]  # fmt: skip
ALL_STRIKES = [*CHUNK_STRIKES, *ANALYSIS_STRIKES]


class Traps:
    """At most one armed strike a slot. The proxies call `gate`; the strikes in decode and render are looked for."""

    def __init__(self, slots: list[Slot], world: World, rng: random.Random) -> None:
        self.stale_made = 0
        self._slots = {slot.name: slot for slot in slots}
        self._armed: dict[str, Strike] = {}
        self._striking: set[str] = set()
        self._frozen: set[str] = set()  # modules of which a worker is frozen
        self._world = world
        self._rng = rng
        self._turn = threading.Lock()

    def arm(self, slot: Slot, strike: Strike) -> None:
        self._armed[slot.name] = strike

    def is_armed(self, slot: Slot) -> bool:
        """Until the strike has hit, a freeze until its thaw."""
        return slot.name in self._striking or slot.name in self._armed

    def disarm(self, slot: Slot) -> None:
        self._armed.pop(slot.name, None)

    async def gate(self, name: str, point: Point) -> bool:
        """Whether the bytes at this point go on."""
        slot = self._slots[name]
        strike = self._take(name, point)
        return True if strike is None else await asyncio.to_thread(self._do, slot, strike)

    def look_into_media(self) -> None:
        """Strikes those that are due while a media process works. Call often."""
        for name, slot in self._slots.items():
            strike = self._armed.get(name)
            if strike is not None and strike.point is Point.MEDIA and slot.is_alive and slot.has_child():
                time.sleep(self._rng.uniform(0, MAX_DELAY_IN_MEDIA_SEC))
                if self._take(name, Point.MEDIA):
                    self._do(slot, strike)

    def _take(self, name: str, point: Point) -> Strike | None:
        with self._turn:
            strike = self._armed.get(name)
            if strike is None or strike.point is not point:
                return None
            if strike.deed is Deed.FREEZE and strike.module in self._frozen:
                return None  # somebody must be left who takes over: at its next chance
            if strike.deed is Deed.FREEZE:
                self._frozen.add(strike.module)
            self._striking.add(name)
            return self._armed.pop(name)

    def _do(self, slot: Slot, strike: Strike) -> bool:
        try:
            return self._deed(slot, strike)
        finally:
            if strike.deed is Deed.FREEZE:
                self._frozen.discard(strike.module)
            self._striking.discard(slot.name)

    def _deed(self, slot: Slot, strike: Strike) -> bool:
        match strike.deed:
            case Deed.KILL:
                slot.kill()
                return False
            case Deed.CUT:
                return False
            case Deed.DRAIN:
                slot.drain()
                return True
            case Deed.FREEZE:
                return self._freeze(slot, strike)

    def _freeze(self, slot: Slot, strike: Strike) -> bool:
        """What the worker was about to write arrives when another one works on the same row."""
        slot.send(signal.SIGSTOP)
        claim = self._world.claim_of(slot.worker_id)
        deadline = time.monotonic() + MAX_FREEZE_SEC
        stale = False
        while claim is not None and not stale and time.monotonic() < deadline:
            time.sleep(POLL_SEC)
            stale = self._world.is_superseded(claim)
        self.stale_made += stale
        if not stale:  # nobody took over: again at the next chance
            self.arm(slot, strike)
        slot.send(signal.SIGCONT)
        return True
