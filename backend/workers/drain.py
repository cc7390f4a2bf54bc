"""When a worker stops, and what becomes of the work in its hands.

The first SIGTERM, SIGINT or spot notice: no more claims, and the work in hand may take DRAIN_SECONDS. After that, or at
the second signal, the work is given back: at its next `check`, or, where it does not come to one within
FORCE_GRACE_SEC (an upload, a long computation), by a thread of its own, which then ends the process.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from backend.errors import ClaimLost, FramefleetError
from backend.events import Event, emit, warn
from backend.media import sandbox
from backend.queue.outcome import Drain, Ends
from backend.telemetry import poll_failed

FORCE_GRACE_SEC = 1.0
ENFORCE_EVERY_SEC = 0.05
EXIT_STUCK = 75  # EX_TEMPFAIL of sysexits.h: whoever watches the process starts it anew
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopper:
    """Whether, and until when. Thread-safe."""

    def __init__(self, worker: str, drain_seconds: float) -> None:
        self._worker = worker
        self._drain_seconds = drain_seconds
        self._deadline: float | None = None
        self._signals = 0
        self._asked = threading.Event()
        self._left = threading.Event()
        self._lock = threading.RLock()
        self._releases: dict[object, Callable[[], None]] = {}

    @property
    def is_asked(self) -> bool:
        return self._asked.is_set()

    def ask(self, reason: str) -> None:
        """No more claims; the work in hand has DRAIN_SECONDS from the first time that anybody asked."""
        self._set_deadline(reason, at_once=False)

    def ask_by_signal(self, reason: str) -> None:
        """As `ask`; the second signal is impatient. One that follows a spot notice is the first: ECS sends it too."""
        with self._lock:
            self._signals += 1
            self._set_deadline(reason, at_once=self._signals > 1)

    def _set_deadline(self, reason: str, *, at_once: bool) -> None:
        with self._lock:
            now, first = time.monotonic(), self._deadline is None
            if at_once:
                self._deadline = now
            elif self._deadline is None:
                self._deadline = now + self._drain_seconds
            self._asked.set()
        emit(Event.WORKER_DRAINING, worker=self._worker, reason=reason, at_once=at_once)
        if first:
            threading.Thread(target=self._enforce, name="drain", daemon=True).start()

    def check(self) -> None:
        """Raises Drain when the work in hand must be given back. Called from within the work."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise Drain

    def wait(self, seconds: float) -> None:
        """Returns early when the worker is asked to stop."""
        self._asked.wait(seconds)

    @contextmanager
    def holding(self, release: Callable[[], None]) -> Iterator[None]:
        """Around the work of a claim. `release` gives it back, says so, and may be called from another thread."""
        held = object()
        with self._lock:
            self._releases[held] = release
        try:
            yield
        finally:
            # Waits for a release under way: the process then ends here and does not begin with something else.
            with self._lock:
                self._releases.pop(held, None)

    def let_go(self) -> None:
        """What is held is about to be finished by a statement that may bring the next piece: a forced end in between
        would give back the finished one, and leave the next to its lease. It waits for the next `holding` instead."""
        with self._lock:
            self._releases.clear()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """SIGTERM and SIGINT ask. Main thread only.

        The interpreter runs a handler only between two bytecodes of the main thread, which may sit in a long call of
        a library. The wake-up descriptor is written by the signal itself, and a thread reads it.
        """
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        earlier_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        earlier = {number: signal.signal(number, _ignore) for number in SIGNALS}
        watcher = threading.Thread(target=self._watch, args=(reader,), name="signals", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self._left.set()
            for number, handler in earlier.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(earlier_fd)
            writer.close()
            watcher.join()
            reader.close()

    def _watch(self, reader: socket.socket) -> None:
        while data := reader.recv(1):
            if data[0] in SIGNALS:
                self.ask_by_signal(signal.Signals(data[0]).name)

    def _enforce(self) -> None:
        while not self._left.wait(ENFORCE_EVERY_SEC):
            assert self._deadline is not None  # it was set before this thread began; a second signal moves it
            if time.monotonic() < self._deadline + FORCE_GRACE_SEC:
                continue
            with self._lock:
                if self._releases:  # else nothing is in hand, and the main thread is on its way out
                    self._end(*self._releases.values())

    def end_stuck(self, ends: Ends, failure: FramefleetError) -> None:
        """The thread that works cannot be ended, only its process. A failure counts; a lost claim is nobody's."""
        warn(Event.WORKER_STUCK, **ends.ids, worker=self._worker, error_code=failure.code, message=failure.message)
        with self._lock:
            self._end(lambda: None if isinstance(failure, ClaimLost) else ends.give_up(failure), code=EXIT_STUCK)

    def _end(self, *releases: Callable[[], None], code: int = 0) -> None:
        for release in releases:
            try:
                release()
            except Exception as failure:  # noqa: BLE001 - this process must end now, whatever it was; the lease runs out
                poll_failed(failure)
        sandbox.end_all()
        emit(Event.WORKER_STOPPED, worker=self._worker, forced=True)
        os._exit(code)


def _ignore(number: int, frame: FrameType | None) -> None:
    """The watching thread answers; without a handler the signal would end the process."""
