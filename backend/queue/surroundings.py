"""Whether this process can do any work at all: its object store, its temporary folder. Who cannot stops claiming.

A try that the surroundings ended counts for nobody (docs/decisions/0013-a-bad-hour.md). The worker then pauses, longer
each time, asks its store and its disk before it claims again, and goes on by itself when they answer.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Protocol

from backend.errors import AccessRevoked, DatabaseUnavailable, Fault, FramefleetError, StorageError
from backend.events import Event, emit, warn

FIRST_PAUSE_SEC = 1.0
MAX_PAUSE_SEC = 45.0  # with the probe itself, a worker is back within a minute of its store
# Who does not answer within this is away, however long the store's client goes on trying.
PROBE_SEC = 10.0
PROBE_KEY = "probes/alive"  # one object, the same bytes from everybody; never deleted: not every role may
PROBE_BYTES = b"framefleet"
PROBE_DISK_BYTES = 2**20
LOOK_AROUND = "Other workers of its kind work well: look at this machine's endpoint, credentials, network and disk."


class Probed(Protocol):
    """The store, as far as it is tried."""

    def put(self, key: str, data: bytes) -> None: ...

    def get(self, key: str) -> bytes: ...


class Surroundings:
    """Thread-safe: a worker's presence is told from another thread than its work."""

    def __init__(self, store: Probed, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._failures = 0
        self._probe_at: float | None = None  # None: the last probe was answered, and work may show the rest
        self._trouble: str | None = None
        self._said_alone = False
        self._owed: Callable[[], object] | None = None

    @property
    def trouble(self) -> str | None:
        """Why nothing is claimed, in words; None when all is well."""
        return self._trouble

    def are_to_blame(self, failure: FramefleetError) -> bool:
        """Whether a failed try says nothing of the work. A place that the job names and that cannot be reached is the
        job's trouble, unless our own store cannot be reached either: then it is ours."""
        if failure.fault is Fault.PLACE:
            return self.probe() is not None
        return failure.fault is Fault.ENVIRONMENT

    def suffer(self, failure: FramefleetError) -> None:
        """A try ended by them: nothing is claimed for a while."""
        self._failures += 1
        # The exponent is bounded, or a month of trouble would overflow it.
        longest_sec = min(MAX_PAUSE_SEC, FIRST_PAUSE_SEC * 2.0 ** min(self._failures, 10))
        pause_sec = longest_sec * random.uniform(0.5, 1.0)
        self._probe_at = self._clock() + pause_sec
        self._trouble = failure.message
        said = {"error_code": failure.code, "message": failure.message}
        warn(Event.WORKER_UNWELL, **said, failures=self._failures, pause_seconds=round(pause_sec, 1))

    def settle(self, write: Callable[[], object]) -> None:
        """Writes how a try ended. Where the database does not answer that is owed: `ready` comes back to it before
        anything is claimed. Raises DatabaseUnavailable."""
        self._owed = None
        try:
            write()
        except DatabaseUnavailable:
            self._owed = write
            raise

    def ready(self) -> bool:
        """Whether a claim may be made now. After trouble, only when the pause is over and a probe was answered.

        Raises DatabaseUnavailable while something is owed to it; AccessRevoked.
        """
        if self._owed is not None:
            self.settle(self._owed)
        if self._probe_at is None:
            return True
        if self._clock() < self._probe_at:
            return False
        failure = self.probe()
        if isinstance(failure, AccessRevoked):  # no pause mends that
            raise failure
        if failure is not None:
            self.suffer(failure)
            return False
        self._feel_well()
        return True

    def recover(self) -> None:
        """Work went well: the next trouble begins with a short pause."""
        self._failures = 0
        if self._trouble is not None:
            self._feel_well()

    def compare(self, others_are_well: bool) -> None:
        """Told every so often how others of its kind do. A worker that suffers alone says so, once."""
        if self._trouble is not None and others_are_well and not self._said_alone:
            self._said_alone = True
            warn(Event.WORKER_UNWELL, alone=True, message=f"{self._trouble} {LOOK_AROUND}", failures=self._failures)

    def probe(self) -> FramefleetError | None:
        """What is wrong with the store or the temporary folder right now; None when both take and give back bytes."""
        answer: list[FramefleetError | None] = []
        # A thread of its own each time: one that hangs must not keep the next from being answered.
        thread = threading.Thread(target=lambda: answer.append(self._look()), name="probe", daemon=True)
        thread.start()
        thread.join(PROBE_SEC)
        if answer:
            return answer[0]
        return StorageError(f"The object store did not answer within {PROBE_SEC:.0f} s: check the network to it.")

    def _look(self) -> FramefleetError | None:
        try:
            _probe_folder()
            self._store.put(PROBE_KEY, PROBE_BYTES)
            if self._store.get(PROBE_KEY) != PROBE_BYTES:
                return StorageError(f"The object store gave back other bytes of {PROBE_KEY} than it took.")
        except FramefleetError as failure:
            return failure
        return None

    def _feel_well(self) -> None:
        self._probe_at = self._trouble = None
        self._said_alone = False
        emit(Event.WORKER_WELL)


def _probe_folder() -> None:
    """Raises StorageError when the temporary folder takes no megabyte."""
    try:
        with tempfile.TemporaryFile() as file:
            file.write(bytes(PROBE_DISK_BYTES))
            file.flush()
    except OSError as error:
        raise full_folder(error) from error


def full_folder(error: OSError) -> StorageError:
    return StorageError(f"The temporary folder (TMPDIR) cannot be used ({error.strerror}): make room there.")
