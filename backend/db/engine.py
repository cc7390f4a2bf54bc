"""Connections to PostgreSQL, and nothing about what is asked of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from backend.errors import DatabaseUnavailable

CONNECT_TIMEOUT_SEC = 5
UNDEFINED_TABLE = "42P01"
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
            pool_pre_ping=True,
            hide_parameters=True,  # they hold signed URLs, and errors are logged
            # PgBouncer in transaction mode hands each transaction another server connection: no prepared statements.
            connect_args={"prepare_threshold": None, "connect_timeout": CONNECT_TIMEOUT_SEC, **DEAD_PEER},
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commits at the end, rolls back on an error. Raises DatabaseUnavailable when there is no connection."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except (OperationalError, InterfaceError, ProgrammingError) as error:
            raise _unavailable(error) from error

    @contextmanager
    def session(self) -> Iterator[Session]:
        try:
            with Session(self._engine, expire_on_commit=False) as session, session.begin():
                yield session
        except (OperationalError, InterfaceError, ProgrammingError) as error:
            raise _unavailable(error) from error

    def close(self) -> None:
        self._engine.dispose()


def _with_driver(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise DatabaseUnavailable("DATABASE_URL must be like postgresql://user:password@host/database.")
    return f"postgresql+psycopg://{rest}"


def _unavailable(error: Any) -> DatabaseUnavailable:
    if isinstance(error, ProgrammingError):
        if getattr(error.orig, "sqlstate", None) != UNDEFINED_TABLE:
            raise error  # a fault of ours, with its trace
        return DatabaseUnavailable("The database has no tables of framefleet yet: run `alembic upgrade head`.")
    return DatabaseUnavailable(f"The database does not answer ({type(error.orig).__name__}). Check DATABASE_URL.")
