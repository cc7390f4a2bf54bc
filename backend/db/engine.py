"""Connections to PostgreSQL, and nothing about what is asked of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DisconnectionError, InterfaceError, NotSupportedError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from backend.db.sql import statement
from backend.errors import DatabaseUnavailable

CONNECT_TIMEOUT_SEC = 5
UNDEFINED_TABLE = "42P01"
# The server's function that finds that a prepared statement's columns have other types than they had.
FINDS_STALE_PLANS = "RevalidateCachedQuery"
IDLE_IN_TRANSACTION_SEC = 60
# Planning the claim costs five times its execution: what is asked this often is prepared.
PREPARE_AFTER = 2
# A connection that was used just now is not asked whether it lives.
PING_AFTER_IDLE_SEC = 1.0
# A server whose machine vanished sends no RST: without these a worker would wait two hours for its answer.
DEAD_PEER = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
_FROM_DRIVER = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.ProgrammingError, psycopg.NotSupportedError)
_FROM_SQLALCHEMY = (OperationalError, InterfaceError, ProgrammingError, NotSupportedError)
Asker = psycopg.Cursor[tuple[Any, ...]]


class Database:
    """Connections: a pool of at most twice `pool_size`, and one more for each thread that asks at the same time.

    Every method opens a short transaction; none may be open during work.
    """

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        self.url = _with_driver(url)
        self._engine = create_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=pool_size,
            hide_parameters=True,  # they hold signed URLs, and errors are logged
            connect_args={"prepare_threshold": None, "connect_timeout": CONNECT_TIMEOUT_SEC, **DEAD_PEER},
        )
        self._texts: dict[str, bytes] = {}
        self._columns: dict[str, list[str]] = {}
        self._askers: deque[tuple[Asker, float]] = deque()  # idle, and since when
        event.listen(self._engine, "connect", _prepare_if_direct)
        event.listen(self._engine, "checkin", _note_use)
        event.listen(self._engine, "checkout", _ping_if_idle)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commits at the end, rolls back on an error. Raises DatabaseUnavailable when there is no connection."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except _FROM_SQLALCHEMY as error:
            raise _unavailable(error) from error

    def ask(self, name: str, **params: Any) -> dict[str, Any] | None:
        """The row that one statement of db/sql answers, or None. The statement is a transaction of its own.

        For what runs often: it goes to the driver past SQLAlchemy, on connections that stay in autocommit; a pool's
        checkout, BEGIN and COMMIT cost more than the driver does. Raises DatabaseUnavailable.
        """
        try:
            asker = self._asker()
            try:
                row = asker.execute(self._driver_text(name), params).fetchone()
                if name not in self._columns:
                    self._columns[name] = [column.name for column in asker.description or ()]
            except psycopg.NotSupportedError:
                asker.connection.close()  # and with it what is prepared there
                raise
            finally:
                if asker.connection.info.transaction_status == TransactionStatus.IDLE:
                    self._askers.append((asker, time.monotonic()))
                else:  # broken, or interrupted while it waited for an answer
                    asker.connection.close()
        except _FROM_DRIVER as error:
            raise _unavailable(error) from error
        return None if row is None else dict(zip(self._columns[name], row, strict=True))

    def _asker(self) -> Asker:
        """The one last used, as it is the likeliest to live; a new one where there is none that does."""
        while self._askers:
            try:
                asker, used_at = self._askers.pop()
            except IndexError:  # another thread took it
                break
            if time.monotonic() - used_at < PING_AFTER_IDLE_SEC or _answers(asker.connection):
                return asker
            asker.connection.close()
        try:
            pooled = self._engine.raw_connection()
        except (psycopg.Error, OperationalError, InterfaceError, PoolTimeout) as error:
            raise _unavailable(error) from error
        connection = cast("psycopg.Connection[Any]", pooled.driver_connection)
        pooled.detach()  # ours from here on
        connection.autocommit = True
        return connection.cursor(row_factory=tuple_row)

    def _driver_text(self, name: str) -> bytes:
        if name not in self._texts:
            self._texts[name] = str(statement(name).compile(self._engine)).encode()
        return self._texts[name]

    @contextmanager
    def session(self) -> Iterator[Session]:
        try:
            with Session(self._engine, expire_on_commit=False) as session, session.begin():
                yield session
        except _FROM_SQLALCHEMY as error:
            raise _unavailable(error) from error

    def close(self) -> None:
        with suppress(IndexError):  # empty
            while True:
                self._askers.pop()[0].connection.close()
        self._engine.dispose()


def _prepare_if_direct(connection: psycopg.Connection[Any], record: Any) -> None:
    """PgBouncer in transaction mode hands each transaction another server connection, where nothing is prepared or set.

    A pooler makes up the process id that it tells its client; a server's own is the one its backend knows.
    """
    connection.autocommit = True
    with connection.cursor() as cursor:
        (backend_pid,) = cursor.execute("SELECT pg_backend_pid()").fetchone() or (None,)
        if backend_pid == connection.info.backend_pid:
            connection.prepare_threshold = PREPARE_AFTER
            # A process that is frozen in a transaction keeps its row locked, and a rescue skips locked rows.
            cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_SEC}s'")
    connection.autocommit = False


def _note_use(connection: psycopg.Connection[Any] | None, record: Any) -> None:
    record.info["used_at"] = time.monotonic()


def _ping_if_idle(connection: psycopg.Connection[Any], record: Any, proxy: Any) -> None:
    """Raises DisconnectionError, upon which the pool opens a new connection."""
    if time.monotonic() - record.info.get("used_at", float("-inf")) < PING_AFTER_IDLE_SEC:
        return
    if not _answers(connection):
        raise DisconnectionError


def _answers(connection: psycopg.Connection[Any]) -> bool:
    try:
        kept = connection.autocommit
        connection.autocommit = True  # else it takes three round trips
        connection.execute("SELECT 1")
        connection.autocommit = kept
    except psycopg.Error:
        return False
    return True


def _with_driver(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise DatabaseUnavailable("DATABASE_URL must be like postgresql://user:password@host/database.")
    return f"postgresql+psycopg://{rest}"


def _unavailable(error: Any) -> DatabaseUnavailable:
    cause = getattr(error, "orig", error)  # SQLAlchemy's error, or the driver's own
    if isinstance(cause, psycopg.ProgrammingError):
        if cause.sqlstate != UNDEFINED_TABLE:
            raise error  # a fault of ours, with its trace
        return DatabaseUnavailable("The database lacks a table of this version: run `alembic upgrade head`.")
    if isinstance(cause, psycopg.NotSupportedError):
        if cause.diag.source_function != FINDS_STALE_PLANS:
            raise error
        return DatabaseUnavailable("The database was migrated just now: ask again.")
    return DatabaseUnavailable(f"The database does not answer ({type(cause).__name__}). Check DATABASE_URL.")
