"""gunicorn's worker class: its processes, signals, heartbeats and reloads round waitress's connections."""

from __future__ import annotations

import logging
import os
import resource
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from gunicorn.workers.base import Worker as GunicornWorker
from waitress import wasyncore

from backend.api.server.channel import Channel
from backend.api.server.listener import Shared, listen
from backend.api.server.loop import Loop, WakeUp
from backend.api.server.room import Room
from backend.settings import get_settings

if TYPE_CHECKING:
    from gunicorn.config import Config

TICK_SEC = 1.0
SWITCH_SEC = 0.001  # the loop waits for its turn among threads that compute; Python's own 5 ms are long for it
STOP_LINGER_SEC = 2.0  # for the request that a client may be sending on a connection that was kept alive
OTHER_DESCRIPTORS = 256  # database, store, logs
CROWDED_SHARE = 0.9  # of the connections that there may be: from then on idle ones are closed


class Worker(GunicornWorker):  # type: ignore[misc]
    """Serves until it is told to stop; then requests under way end, and nothing new is taken."""

    @classmethod
    def check_config(cls, config: Config, log: Any) -> None:
        if config.is_ssl:
            raise RuntimeError("This server speaks no TLS: put a proxy before it that does (docs/running.md).")

    def run(self) -> None:
        self._log_as_gunicorn()
        sys.setswitchinterval(SWITCH_SEC)
        settings = get_settings()
        room = Room(max_bytes=settings.spool_max_bytes, min_free_bytes=settings.spool_min_free_bytes)
        self._shared = Shared.of(self.cfg, room)
        self._loop = Loop()
        self._loop[self.PIPE[0]] = WakeUp(self.PIPE[0])
        self._connections = _possible_connections(self.cfg.worker_connections)
        for listened in self.sockets:
            listen(self.wsgi, _plain(listened), self._shared, self._loop, self._connections)
        next_tick = 0.0
        while self.alive:
            self._loop.turn(TICK_SEC)
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK_SEC
                self._tick()
        self._drain()

    def _tick(self) -> None:
        self.notify()
        if os.getppid() != self.ppid:
            self.log.info("Parent changed, shutting down: %s", self)
            self.alive = False
        if self._shared.served >= self.max_requests:
            self.log.info("Autorestarting worker after %s requests.", self._shared.served)
            self.alive = False
        is_crowded = len(self._loop) > CROWDED_SHARE * self._connections
        self._check(keepalive_sec=0.0 if is_crowded else self.cfg.keepalive)

    def _check(self, keepalive_sec: float) -> None:
        now = time.monotonic()
        for descriptor, channel in self._channels():
            channel.check(now, keepalive_sec)
            self._loop.ask(descriptor)

    def _channels(self) -> list[tuple[int, Channel]]:
        return [(descriptor, each) for descriptor, each in self._loop.items() if isinstance(each, Channel)]

    def _drain(self) -> None:
        """Requests under way have graceful_timeout; the arbiter kills what is left after that."""
        self._shared.is_stopping = True
        for listener in self._shared.listeners:
            wasyncore.dispatcher.close(listener)  # not its trigger, which ends the loop's waits
        began = time.monotonic()
        while self._channels() and time.monotonic() - began < self.cfg.graceful_timeout:
            lingers = time.monotonic() - began < STOP_LINGER_SEC
            self._check(keepalive_sec=self.cfg.keepalive if lingers else -1.0)
            self.notify()
            self._loop.turn(0.1)
            if os.getppid() != self.ppid:
                break
        self._shared.answers.shutdown(timeout_sec=1)
        self._shared.streams.shutdown(timeout_sec=1)

    def _log_as_gunicorn(self) -> None:
        logging.getLogger("waitress").handlers = self.log.error_log.handlers
        logging.getLogger("waitress").propagate = False


def _plain(listened: Any) -> socket.socket:
    """Of gunicorn's wrapper."""
    sock = listened.sock
    assert isinstance(sock, socket.socket)
    return sock


def _possible_connections(wanted: int) -> int:
    """As many as there may be descriptors for: each may have a spooled body or a file beside its socket."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * wanted + OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, max(1, (soft - OTHER_DESCRIPTORS) // 2))
