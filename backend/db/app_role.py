"""`python -m backend.db.app_role`: the role of APP_DATABASE_URL, which reads and writes rows and changes no table.

Run after a migration, as the owner of the tables (DATABASE_URL): it makes the role where there is none, gives it the
password of APP_DATABASE_URL, and opens what the migration added to it.
"""

from __future__ import annotations

import sys

import click
import psycopg
from psycopg import sql
from sqlalchemy import make_url
from sqlalchemy.engine import URL

from backend.db.driver import application_name
from backend.db.engine import Database
from backend.db.migrate import migrating
from backend.db.tenancy import ROLES
from backend.errors import DatabaseUnavailable
from backend.settings import get_settings

# What the metric of the oldest transaction needs to see other roles' (docs/operations.md).
SEES_ALL = "pg_read_all_stats"
RIGHTS = (
    "GRANT CONNECT ON DATABASE {database} TO {role}",
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
    # Which version the tables are of, migrations alone say.
    "REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {role}",
    # Services see all tenants' rows; a request's transactions see one tenant's.
    f"GRANT {', '.join(ROLES)} TO {{role}}",
)


def provide_app_role(database: Database, app_url: str) -> bool:
    """Whether the role sees everybody's statistics; where it does not, the server kept that from us.

    Raises DatabaseUnavailable, also for a URL without user or password, or whose user is the owner.
    """
    url = _parsed(app_url)
    with migrating(database) as connection:  # one at a time, as two that change a role at once fail
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        _provide(driver, url)
        return _shows_statistics(driver, sql.Identifier(url.username or ""))


def _parsed(app_url: str) -> URL:
    try:
        url = make_url(app_url)
    except Exception:  # noqa: BLE001 - its words may hold the password
        url = URL.create("none")
    if not (url.username and url.password):
        raise DatabaseUnavailable("APP_DATABASE_URL must be like postgresql://user:password@host:5432/database.")
    return url


def _provide(driver: psycopg.Connection[tuple[object, ...]], url: URL) -> None:
    name, owner = str(url.username), driver.info.user
    if name == owner:
        raise DatabaseUnavailable(f"APP_DATABASE_URL names the owner of the tables, {owner}: take another role.")
    role, database = sql.Identifier(name), sql.Identifier(driver.info.dbname)
    if driver.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone() is None:
        driver.execute(sql.SQL("CREATE ROLE {}").format(role))
    # The server, and its log, see a verifier and never the password.
    verifier = driver.pgconn.encrypt_password(str(url.password).encode(), name.encode(), b"scram-sha-256").decode()
    driver.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(verifier)))
    for right in RIGHTS:
        driver.execute(sql.SQL(right).format(role=role, database=database))


def _shows_statistics(driver: psycopg.Connection[tuple[object, ...]], role: sql.Identifier) -> bool:
    try:
        with driver.transaction():
            driver.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(SEES_ALL), role))
    except psycopg.errors.InsufficientPrivilege:  # some managed servers keep it to themselves; all else works
        return False
    return True


def main() -> None:
    settings = get_settings()
    if settings.database_url is None or settings.app_database_url is None:
        raise SystemExit("Set DATABASE_URL (the owner's) and APP_DATABASE_URL (the services').")
    database = Database(settings.database_url.get_secret_value(), name=application_name("app_role"))
    try:
        sees_all = provide_app_role(database, settings.app_database_url.get_secret_value())
    except DatabaseUnavailable as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    finally:
        database.close()
    click.echo("The services' role is ready.", err=True)
    if not sees_all:
        click.echo(f"It may not see other roles' transactions: GRANT {SEES_ALL} was refused.", err=True)


if __name__ == "__main__":
    main()
