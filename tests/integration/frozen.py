"""Server processes that are stopped: they hold their connection, and answer nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from backend.db.engine import Database
from tests.integration.rows import sql


def backends_of(database: Database, application: str) -> list[int]:
    """Process ids of the server's side of connections whose name begins so."""
    rows = sql(
        database, "SELECT pid FROM pg_stat_activity WHERE starts_with(application_name, :name)", name=application
    )
    return [row["pid"] for row in rows]


@contextmanager
def frozen(database: Database, application: str) -> Iterator[list[int]]:
    """All of them, for as long as the block runs."""
    pids = backends_of(database, application)
    assert pids, f"nobody is connected as {application}"
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield pids
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
