"""Connections to PostgreSQL, and nothing about what is asked of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from backend.errors import DatabaseUnavailable

CONNECT_TIMEOUT_SEC = 5


class Database:
    """A pool of connections. Every method opens a short transaction; none may be open during work."""

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        self.url = _with_driver(url)
        self._engine = create_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
            # PgBouncer in transaction mode hands each transaction another server connection: no prepared statements.
            connect_args={"prepare_threshold": None, "connect_timeout": CONNECT_TIMEOUT_SEC},
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commits at the end, rolls back on an error. Raises DatabaseUnavailable when there is no connection."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except (OperationalError, InterfaceError) as error:
            raise _unavailable(error) from error

    @contextmanager
    def session(self) -> Iterator[Session]:
        try:
            with Session(self._engine, expire_on_commit=False) as session, session.begin():
                yield session
        except (OperationalError, InterfaceError) as error:
            raise _unavailable(error) from error

    def close(self) -> None:
        self._engine.dispose()


def _with_driver(url: str) -> str:
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


def _unavailable(error: Any) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"The database does not answer ({type(error.orig).__name__}). Check DATABASE_URL.")
