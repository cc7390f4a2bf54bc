"""The driver's connection, with a bound on every wait for the server; and the server's own words for its errors."""

from __future__ import annotations

import re
from typing import Any, TypeVar
from urllib.parse import unquote

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout

ANSWER_SEC = 15.0
# The server gives up a little earlier than we do, so that its locks are free by then and its connection stays.
SERVER_SHARE = 0.8
WAKE_EVERY_SEC = 0.1
MAX_WORDS = 300
MAX_NAME_BYTES = 63  # longer ones are cut by the server
RV = TypeVar("RV")

# libpq has no code for why a connection was refused. A server that speaks another language gets the general advice.
_ADVICE = (
    (
        r"too many (clients|connections)|connection slots|no more connections",
        "Raise max_connections, start fewer workers, or put PgBouncer in between (docs/operations.md).",
    ),
    (r"password|authentication|role .* does not exist", "Check user and password in DATABASE_URL."),
    (r"database .* does not exist", "Check the database's name in DATABASE_URL, or create it."),
    (r"no pg_hba.conf entry|SSL|TLS", "Check sslmode in DATABASE_URL, and pg_hba.conf."),
    (r"translate host name|resolve", "Check the host in DATABASE_URL."),
    (
        r"refused|No such file|timeout expired|timed out|unreachable|starting up|shutting down|closed the connection",
        "Is the server up, and reached from here at the host and port of DATABASE_URL?",
    ),
    (r"statement timeout|lock timeout", "The server is too slow, or another session holds a lock: pg_stat_activity."),
)
_GENERAL_ADVICE = "Check DATABASE_URL and the server."


class BoundedConnection(psycopg.Connection[Any]):
    """Waits at most `answer_sec` for each answer; then it is closed, and the wait ends with OperationalError.

    statement_timeout does not help where the server's process is frozen, nor tcp_user_timeout where its kernel still
    acknowledges what nobody reads, or on a Unix socket.
    """

    answer_sec: float = ANSWER_SEC

    def wait(self, gen: PQGen[RV], interval: float = WAKE_EVERY_SEC, timeout: float | None = None) -> RV:
        if timeout is not None:  # the driver's own bound, for its own clean-up
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.answer_sec)
        except _WaitTimeout as silence:
            self.pgconn.finish()  # what it would answer now belongs to nobody
            raise psycopg.OperationalError(f"no answer within {self.answer_sec:g} s") from silence


def server_milliseconds(answer_sec: float) -> int:
    """The statement_timeout that goes with a client that waits this long."""
    return max(1, round(answer_sec * SERVER_SHARE * 1000))


def own_words(error: BaseException, url: str) -> str:
    """What server or libpq said, in one line, without the password of `url`; and what to do about it."""
    diagnosis = getattr(error, "diag", None)
    said = (diagnosis.message_primary if diagnosis else None) or str(error) or type(error).__name__
    line = next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)
    advice = next((advice for sign, advice in _ADVICE if re.search(sign, line, re.IGNORECASE)), _GENERAL_ADVICE)
    return f"{_without_secrets(line, url)[:MAX_WORDS].rstrip('.')}. {advice}"


def _without_secrets(line: str, url: str) -> str:
    login = url.partition("://")[2].rpartition("@")[0]
    named = re.findall(r"[?&](?:password|sslpassword)=([^&]*)", url)
    for secret in (login.partition(":")[2], *named):
        for form in {secret, unquote(secret)} - {""}:
            line = line.replace(form, "***")
    return line


def application_name(role: str, worker_id: str = "") -> str:
    """`framefleet:<role>:<worker id>`; a long id keeps its end, which tells workers of one machine apart."""
    head = f"framefleet:{role}"
    # The server shows anything else than printable ASCII as question marks.
    tail = re.sub(r"[^ -~]", "?", worker_id)[-(MAX_NAME_BYTES - len(head) - 1) :]
    return f"{head}:{tail}" if tail else head
