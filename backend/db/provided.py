"""The database of this process: the one that DATABASE_URL names, or one of its own in the data folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import text

from backend.db.app_role import provide_app_role
from backend.db.driver import application_name
from backend.db.embedded import EmbeddedPostgres
from backend.db.engine import Database
from backend.db.migrate import upgrade
from backend.settings import Settings


@contextmanager
def database_of(settings: Settings) -> Iterator[tuple[Database, Settings]]:
    """The database of DATABASE_URL, or the embedded one, ready for use; and the settings that name it.

    An empty database gets its tables; one with tables is left to `alembic upgrade head`.
    Raises DatabaseUnavailable.
    """
    if settings.database_url is not None:
        database = Database.of(settings, "cli")
        try:
            with database.transaction() as connection:
                empty = connection.execute(text("SELECT to_regclass('video_analysis_jobs') IS NULL")).scalar_one()
            if empty:
                upgrade(database)
            yield database, settings
        finally:
            database.close()
        return
    with suppress(OSError):  # the server says why it cannot be used
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with EmbeddedPostgres(_folder(settings)) as server:
        _prepare(server)
        settings = located(settings)
        database = Database.of(settings, "cli")
        try:
            yield database, settings
        finally:
            database.close()


def located(settings: Settings) -> Settings:
    """The settings that name the database which `database_of` brings up. The embedded one's URL is known before."""
    if settings.database_url is not None:
        return settings
    url = EmbeddedPostgres(_folder(settings)).services_url
    return settings.model_copy(update={"database_url": SecretStr(url)})


def _prepare(server: EmbeddedPostgres) -> None:
    """Tables, and the role that works with their rows; nobody is their owner afterwards."""
    owner = Database(server.url, pool_size=1, name=application_name("owner"))
    try:
        upgrade(owner)
        provide_app_role(owner, server.services_url)
    finally:
        owner.close()


def _folder(settings: Settings) -> Path:
    return settings.data_dir / "postgres"
