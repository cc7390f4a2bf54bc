"""What befalls one worker, or the store for long: made for a while, then mended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from sqlalchemy import text

from backend.errors import DatabaseUnavailable
from tests.chaos.fleet import ANALYSIS_WORKER, CHUNK_WORKER, Slot
from tests.chaos.proxies import Proxies
from tests.chaos.world import World

SMALL_BYTES = 32 * 2**20
BLOCK_BYTES = 4096
FIND_SEC = 20.0
POLL_SEC = 0.02
Found = TypeVar("Found")


@contextlib.contextmanager
def sick(slots: Sequence[Slot], proxies: Proxies) -> Iterator[bool]:
    """The way from one chunk worker to the store is cut, as by a wrong endpoint; the others' are open."""
    slot = _first(slots, CHUNK_WORKER)
    proxies.sick.add(slot.name)
    try:
        yield True
    finally:
        proxies.sick.discard(slot.name)


@contextlib.contextmanager
def asleep(slots: Sequence[Slot]) -> Iterator[bool]:
    """The thread that detects hangs while the heartbeat's goes on (nursery.py). Its process must end by itself."""
    slot = _found(lambda: next((s for s in slots if s.module == CHUNK_WORKER and s.is_alive and s.has_child()), None))
    if slot is None:
        yield False
        return
    slot.may_end = True
    slot.send(signal.SIGUSR1)
    generation = slot.generation
    yield _found(lambda: slot.generation != generation, 90.0) is not None


@contextlib.contextmanager
def frozen_backends(slots: Sequence[Slot], world: World) -> Iterator[bool]:
    """PostgreSQL's processes that serve one chunk worker stop, without a word to it. Idle ones: they hold no locks."""
    slot = _first(slots, CHUNK_WORKER)
    query = text("SELECT pid FROM pg_stat_activity WHERE state = 'idle' AND application_name LIKE :name")
    try:
        with world.database.transaction() as connection:
            pids = connection.execute(query, {"name": f"%{slot.worker_id}%"}).scalars().all()
    except DatabaseUnavailable:  # it restarts just now
        pids = []
    _send(pids, signal.SIGSTOP)
    try:
        yield bool(pids)
    finally:
        _send(pids, signal.SIGCONT)


@contextlib.contextmanager
def small_folder(folder: Path) -> Iterator[None]:
    """A file system of its own that can be filled; where nobody may mount one, an ordinary folder."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_BYTES}", "tmpfs", str(folder)]
    folder.mkdir(parents=True)
    is_mounted = subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def can_be_filled(slots: Sequence[Slot]) -> bool:
    return _folder(slots).is_mount()


@contextlib.contextmanager
def full_folder(slots: Sequence[Slot]) -> Iterator[bool]:
    """One analysis worker's temporary folder is full."""
    filler = _folder(slots) / "filler"
    try:
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(BLOCK_BYTES))
        yield True
    finally:
        filler.unlink()


def _folder(slots: Sequence[Slot]) -> Path:
    return Path(_first(slots, ANALYSIS_WORKER).environment["TMPDIR"])


def _first(slots: Sequence[Slot], module: str) -> Slot:
    return next(slot for slot in slots if slot.module == module)


def _found(look: Callable[[], Found], timeout_sec: float = FIND_SEC) -> Found | None:
    deadline = time.monotonic() + timeout_sec
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(POLL_SEC)
    return None


def _send(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # its client left
            os.kill(pid, number)
