"""Opens what a remote worker works with, once its server knows it."""

from __future__ import annotations

import random
import re
import time

from backend.errors import DatabaseUnavailable
from backend.events import Event, emit
from backend.settings import Settings
from backend.telemetry import poll_failed
from backend.workers.remote.access import Access
from backend.workers.remote.server import Server
from backend.workers.remote.transport import HttpTransport

MAX_PAUSE_SEC = 30.0
MAX_PROCESS_CHARACTERS = 100


def open_server(access: Access, settings: Settings) -> tuple[Server, Settings]:
    """The server, and the settings with its lease. Waits for one that is away.

    Raises AccessRevoked, and InvalidRequest for what is no server of ours.
    """
    transport = HttpTransport(access.server, allow_http=access.allow_http)
    server = Server(transport, access.token, process_name(settings.worker_id))
    pause_sec = settings.poll_seconds
    while True:
        try:
            welcome = server.hello()
        except DatabaseUnavailable as failure:
            poll_failed(failure)
            time.sleep(pause_sec * random.uniform(0.5, 1.0))
            pause_sec = min(2 * pause_sec, MAX_PAUSE_SEC)
            continue
        emit(Event.SERVER_KNOWS, server=server.base_url, name=welcome.name, lease_seconds=welcome.lease_seconds)
        return server, settings.model_copy(update={"lease_seconds": welcome.lease_seconds})


def process_name(worker_id: str) -> str:
    """As the server takes names."""
    tame = re.sub(r"[^A-Za-z0-9._:+-]", "-", worker_id).lstrip("._:+-")[:MAX_PROCESS_CHARACTERS]
    return tame or "worker"
