"""Connections to PostgreSQL, and nothing about what is asked of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DisconnectionError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from backend.db.sql import statement
from backend.errors import DatabaseUnavailable

CONNECT_TIMEOUT_SEC = 5
UNDEFINED_TABLE = "42P01"
IDLE_IN_TRANSACTION_SEC = 60
# Planning the claim costs five times its execution: what is asked this often is prepared.
PREPARE_AFTER = 2
# A connection that was used just now is not asked whether it lives.
PING_AFTER_IDLE_SEC = 1.0
# A server whose machine vanished sends no RST: without these a worker would wait two hours for its answer.
DEAD_PEER = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}


class Database:
    """A pool of connections. Every method opens a short transaction; none may be open during work."""

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
        event.listen(self._engine, "connect", _prepare_if_direct)
        event.listen(self._engine, "checkin", _note_use)
        event.listen(self._engine, "checkout", _ping_if_idle)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commits at the end, rolls back on an error. Raises DatabaseUnavailable when there is no connection."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except (OperationalError, InterfaceError, ProgrammingError) as error:
            raise _unavailable(error) from error

    def ask(self, name: str, **params: Any) -> dict[str, Any] | None:
        """The row that one statement of db/sql answers, or None. The statement is a transaction of its own.

        For what runs often: it goes to the driver past SQLAlchemy, which costs three times as much as the driver, and
        needs no round trips for BEGIN and COMMIT. Raises DatabaseUnavailable.
        """
        try:
            pooled = self._engine.raw_connection()
        except (psycopg.Error, OperationalError, InterfaceError) as error:
            raise _unavailable(error) from error
        driver = cast("psycopg.Connection[Any]", pooled.driver_connection)
        try:
            driver.autocommit = True
            with driver.cursor(row_factory=dict_row) as cursor:
                cursor.execute(self._driver_text(name), params)
                return cursor.fetchone()
        except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.ProgrammingError) as error:
            raise _unavailable(error) from error
        finally:
            if driver.broken:
                pooled.invalidate()
            else:
                driver.autocommit = False
            pooled.close()

    def _driver_text(self, name: str) -> bytes:
        if name not in self._texts:
            self._texts[name] = str(statement(name).compile(self._engine)).encode()
        return self._texts[name]

    @contextmanager
    def session(self) -> Iterator[Session]:
        try:
            with Session(self._engine, expire_on_commit=False) as session, session.begin():
                yield session
        except (OperationalError, InterfaceError, ProgrammingError) as error:
            raise _unavailable(error) from error

    def close(self) -> None:
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
    try:
        connection.autocommit = True  # else it takes three round trips
        connection.execute("SELECT 1")
        connection.autocommit = False
    except psycopg.Error as error:
        raise DisconnectionError from error


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
        return DatabaseUnavailable("The database has no tables of framefleet yet: run `alembic upgrade head`.")
    return DatabaseUnavailable(f"The database does not answer ({type(cause).__name__}). Check DATABASE_URL.")
