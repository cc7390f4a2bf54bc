"""Connections to PostgreSQL, and nothing about what is asked of it."""

from __future__ import annotations

import copy
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Self, cast

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row
from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DisconnectionError,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from backend.db.driver import ANSWER_SEC, BoundedConnection, application_name, own_words, server_milliseconds
from backend.db.sql import statement
from backend.db.tenancy import enter, entered
from backend.errors import DatabaseUnavailable
from backend.settings import Settings

CONNECT_TIMEOUT_SEC = 5
MALFORMED = (
    "DATABASE_URL must be like postgresql://user:password@host:5432/database; in the password write @ as %40, : as %3A,"
    " / as %2F and % as %25."
)
UNDEFINED_TABLE = "42P01"
# The server's function that finds that a prepared statement's columns have other types than they had.
FINDS_STALE_PLANS = "RevalidateCachedQuery"
IDLE_IN_TRANSACTION_SEC = 60
# Planning the claim costs five times its execution: what is asked this often is prepared.
PREPARE_AFTER = 2
# A connection that was used just now is not asked whether it lives.
PING_AFTER_IDLE_SEC = 1.0
PING_ANSWER_SEC = 5.0
# For what touches the rows of many chunks at once.
PATIENT_SEC = 120.0
# Whoever finds all connections of this process in use looks again this often: another thread is done in milliseconds.
LOOK_AGAIN_SEC = 0.005
# A server whose machine vanished sends no RST: without these a worker would wait two hours for its answer.
DEAD_PEER = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
_FROM_DRIVER = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.ProgrammingError, psycopg.NotSupportedError)
_FROM_SQLALCHEMY = (OperationalError, InterfaceError, ProgrammingError, NotSupportedError, PoolTimeout)
Asker = psycopg.Cursor[tuple[Any, ...]]


class Database:
    """Connections: at most `pool_size` for transactions and as many for single statements; `burst` more of the former.

    Every method opens a short transaction; none may be open during work. No wait is longer than `answer_sec` for an
    answer and as long for a connection; then DatabaseUnavailable is raised. `name` is what the server shows of us.
    `tenant` is whose rows it shows and writes; None: everybody's, of the whole fleet.
    """

    tenant: str | None = None

    def __init__(
        self, url: str, *, pool_size: int = 5, burst: int = 5, answer_sec: float = ANSWER_SEC, name: str = ""
    ) -> None:
        self.url = _with_driver(url)
        self._answer_sec = answer_sec
        self._options: dict[str, Any] = {
            "prepare_threshold": None,
            "connect_timeout": CONNECT_TIMEOUT_SEC,
            "fallback_application_name": name,  # one in the URL wins
            **DEAD_PEER,
        }
        self._engine = create_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=burst,
            pool_timeout=answer_sec,
            hide_parameters=True,  # they hold signed URLs, and errors are logged
            connect_args=self._options,
        )
        self._texts: dict[str, bytes] = {}
        self._columns: dict[str, list[str]] = {}
        self._askers: deque[tuple[Asker, float]] = deque()  # idle, and since when
        self._may_open = threading.Semaphore(pool_size)
        event.listen(self._engine, "do_connect", _connect)
        event.listen(self._engine, "connect", self._prepare_if_direct)
        event.listen(self._engine, "checkin", self._note_use)
        event.listen(self._engine, "checkout", _ping_if_idle)

    @classmethod
    def of(cls, settings: Settings, role: str, *, pool_size: int = 5, burst: int = 5) -> Self:
        """The database of DATABASE_URL. Raises DatabaseUnavailable when it is not set, or malformed."""
        if settings.database_url is None:
            raise DatabaseUnavailable("Set DATABASE_URL, or use `framefleet up`, which brings its own database.")
        return cls(
            settings.database_url.get_secret_value(),
            pool_size=pool_size,
            burst=burst,
            answer_sec=settings.database_timeout_seconds,
            name=application_name(role, settings.worker_id),
        )

    def as_tenant(self, tenant: str) -> Self:
        """The same connections, showing and taking that tenant's rows alone (backend/db/tenancy.py)."""
        view = copy.copy(self)
        view.tenant = tenant
        return view

    @property
    def fleet(self) -> Self:
        """The same connections, for what is everybody's: the order of the queue, how fast the fleet is."""
        whole = copy.copy(self)
        whole.tenant = None
        return whole

    @contextmanager
    def transaction(self, *, patience_sec: float | None = None) -> Iterator[Connection]:
        """Commits at the end, rolls back on an error. Raises DatabaseUnavailable when there is no connection, and where
        a statement takes longer than `patience_sec` (unless said, than `answer_sec`)."""
        try:
            with self._engine.begin() as connection:
                if self.tenant is not None:
                    enter(connection, self.tenant)
                if patience_sec is not None:
                    _driver_of(connection).answer_sec = patience_sec
                    patience_ms = server_milliseconds(patience_sec)
                    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {patience_ms}")
                yield connection
        except _FROM_SQLALCHEMY as error:
            raise self._unavailable(error) from error

    def ask(self, name: str, **params: Any) -> dict[str, Any] | None:
        """The row that one statement of db/sql answers, or None. The statement is a transaction of its own.

        For what runs often: it goes to the driver past SQLAlchemy, on connections that stay in autocommit; a pool's
        checkout, BEGIN and COMMIT cost more than the driver does. Raises DatabaseUnavailable.
        """
        try:
            asker = self._asker()
            try:
                row = self._row(asker, name, params)
                if name not in self._columns:
                    self._columns[name] = [column.name for column in asker.description or ()]
            except psycopg.NotSupportedError:
                asker.connection.close()  # and with it what is prepared there
                raise
            finally:
                self._give_back(asker)
        except _FROM_DRIVER as error:
            raise self._unavailable(error) from error
        return None if row is None else dict(zip(self._columns[name], row, strict=True))

    def _row(self, asker: Asker, name: str, params: dict[str, Any]) -> tuple[Any, ...] | None:
        if self.tenant is None:
            return asker.execute(self._driver_text(name), params).fetchone()
        with entered(asker.connection, self.tenant):
            asker.execute(self._driver_text(name), params)
        return asker.fetchone()

    def insist(self, name: str, **params: Any) -> dict[str, Any] | None:
        """`ask`, and once more on another connection where no answer came: for the guarded statements that end long
        work. Whoever was heard the first time finds no row the second time. Raises DatabaseUnavailable."""
        try:
            return self.ask(name, **params)
        except DatabaseUnavailable:
            return self.ask(name, **params)

    def _asker(self) -> Asker:
        """The one last used, as it is the likeliest to live; a new one where there is none that does."""
        give_up_at = time.monotonic() + self._answer_sec
        while True:
            try:
                asker, used_at = self._askers.pop()
            except IndexError:  # all are in use, or there may be one more
                if self._may_open.acquire(timeout=LOOK_AGAIN_SEC):
                    return self._opened()
                if time.monotonic() > give_up_at:
                    raise DatabaseUnavailable(
                        f"All connections of this process were in use for {self._answer_sec:g} s."
                    ) from None
                continue
            if time.monotonic() - used_at < PING_AFTER_IDLE_SEC or _answers(asker.connection):
                return asker
            asker.connection.close()
            self._may_open.release()

    def _opened(self) -> Asker:
        """Past the pool, whose connections may all be in transactions."""
        with ExitStack() as undo:
            undo.callback(self._may_open.release)
            arguments, options = self._engine.dialect.create_connect_args(self._engine.url)
            connection = BoundedConnection.connect(*arguments, **{**options, **self._options})
            undo.callback(connection.close)
            self._prepare_if_direct(connection, None)
            connection.autocommit = True
            undo.pop_all()
        return connection.cursor(row_factory=tuple_row)

    def _give_back(self, asker: Asker) -> None:
        if asker.connection.info.transaction_status == TransactionStatus.IDLE:
            self._askers.append((asker, time.monotonic()))
        else:  # broken, or interrupted while it waited for an answer
            asker.connection.close()
            self._may_open.release()

    def _driver_text(self, name: str) -> bytes:
        if name not in self._texts:
            self._texts[name] = str(statement(name).compile(self._engine)).encode()
        return self._texts[name]

    @contextmanager
    def session(self) -> Iterator[Session]:
        try:
            with Session(self._engine, expire_on_commit=False) as session, session.begin():
                if self.tenant is not None:
                    enter(session.connection(), self.tenant)
                yield session
        except _FROM_SQLALCHEMY as error:
            raise self._unavailable(error) from error

    def close(self) -> None:
        with suppress(IndexError):  # empty
            while True:
                self._askers.pop()[0].connection.close()
                self._may_open.release()
        self._engine.dispose()

    def _prepare_if_direct(self, connection: BoundedConnection, record: Any) -> None:
        """PgBouncer in transaction mode hands each transaction another server connection, where nothing is prepared or
        set. A pooler makes up the process id that it tells its client; a server's own is the one its backend knows.
        """
        connection.answer_sec = self._answer_sec
        connection.autocommit = True
        with connection.cursor() as cursor:
            (backend_pid,) = cursor.execute("SELECT pg_backend_pid()").fetchone() or (None,)
            if backend_pid == connection.info.backend_pid:
                connection.prepare_threshold = PREPARE_AFTER
                cursor.execute(f"SET statement_timeout = {server_milliseconds(self._answer_sec)}")
                # A process that is frozen in a transaction keeps its row locked, and a rescue skips locked rows.
                cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_SEC}s'")
        connection.autocommit = False

    def _note_use(self, connection: BoundedConnection | None, record: Any) -> None:
        record.info["used_at"] = time.monotonic()
        if connection is not None:
            connection.answer_sec = self._answer_sec  # a patient transaction is over

    def _unavailable(self, error: Any) -> DatabaseUnavailable:
        """Raises `error` itself where it is a fault of ours, with its trace."""
        cause = getattr(error, "orig", error)  # SQLAlchemy's error, or the driver's own
        if isinstance(cause, PoolTimeout):
            return DatabaseUnavailable(f"All connections of this process were in use for {self._answer_sec:g} s.")
        if isinstance(cause, psycopg.ProgrammingError):
            if cause.sqlstate != UNDEFINED_TABLE:
                raise error
            return DatabaseUnavailable("The database lacks a table of this version: run `alembic upgrade head`.")
        if isinstance(cause, psycopg.NotSupportedError):
            if cause.diag.source_function != FINDS_STALE_PLANS:
                raise error
            return DatabaseUnavailable("The database was migrated just now: ask again.")
        return DatabaseUnavailable(f"The database cannot be used: {own_words(cause, self.url)}")


def _connect(dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> BoundedConnection:
    return BoundedConnection.connect(*arguments, **options)


def _driver_of(connection: Connection) -> BoundedConnection:
    return cast(BoundedConnection, connection.connection.driver_connection)


def _ping_if_idle(connection: BoundedConnection, record: Any, proxy: Any) -> None:
    """Raises DisconnectionError, upon which the pool opens a new connection."""
    if time.monotonic() - record.info.get("used_at", float("-inf")) < PING_AFTER_IDLE_SEC:
        return
    if not _answers(connection):
        raise DisconnectionError


def _answers(connection: psycopg.Connection[Any]) -> bool:
    bounded = cast(BoundedConnection, connection)
    autocommit, answer_sec = bounded.autocommit, bounded.answer_sec
    try:
        bounded.answer_sec = min(answer_sec, PING_ANSWER_SEC)
        bounded.autocommit = True  # else it takes three round trips
        bounded.execute("SELECT 1")
        bounded.autocommit = autocommit
    except psycopg.Error:
        return False
    finally:
        bounded.answer_sec = answer_sec
    return True


def _with_driver(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise DatabaseUnavailable(MALFORMED)
    whole = f"postgresql+psycopg://{rest}"
    try:
        host = make_url(whole).host or ""
    except (ArgumentError, ValueError):  # their words may hold a piece of the password
        raise DatabaseUnavailable(MALFORMED) from None
    if "@" in host or "/" in host:
        raise DatabaseUnavailable(MALFORMED)
    return whole
