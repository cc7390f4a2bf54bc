"""A migration only adds: the release before it still runs while it is deployed, and must be able to come back."""

from __future__ import annotations

import pytest
from alembic.script import Script, ScriptDirectory

from backend.db.migrate import PROJECT
from tests.releases.expansion import statements_of, stumbling_blocks
from tests.releases.recorded import RELEASES

# Revision → the beginning of a statement that does more → why no release that still runs stumbles over it.
EXCEPTIONS: dict[str, dict[str, str]] = {
    "0021": {"CREATE UNIQUE INDEX uq_jobs_version": "it is of versions alone, and earlier releases make none"},
}


def since_the_oldest_recorded() -> list[Script]:
    scripts = ScriptDirectory(str(PROJECT / "alembic"))
    oldest = min(release.head for release in RELEASES)
    return [script for script in scripts.walk_revisions() if script.revision > oldest]


@pytest.mark.parametrize("script", since_the_oldest_recorded(), ids=lambda script: script.revision)
def test_a_migration_since_the_releases_that_still_run_only_adds(script: Script) -> None:
    allowed = EXCEPTIONS.get(script.revision, {})
    found = stumbling_blocks(statements_of(script.module))
    unexplained = [each for each in found if not each[0].startswith(tuple(allowed))]
    assert unexplained == [], "An earlier release would stumble; see docs/operations.md, Roll forward"
    used = [beginning for beginning in allowed if any(statement.startswith(beginning) for statement, _ in found)]
    assert used == list(allowed), "exceptions that no statement needs"


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE jobs DROP COLUMN encoder",
        "ALTER TABLE jobs DROP encoder",
        "alter table only jobs drop column if exists encoder",
        "ALTER TABLE jobs ADD COLUMN a TEXT, DROP COLUMN encoder",
        "ALTER TABLE jobs RENAME COLUMN encoder TO codec",
        "ALTER TABLE jobs RENAME encoder TO codec",
        "ALTER TABLE jobs RENAME TO works",
        "ALTER TABLE jobs ALTER COLUMN encoder TYPE VARCHAR(10)",
        "ALTER TABLE jobs ALTER COLUMN encoder SET DATA TYPE INTEGER USING 1",
        "ALTER TABLE jobs ALTER COLUMN encoder SET NOT NULL",
        "ALTER TABLE jobs ALTER COLUMN phase DROP DEFAULT",
        "ALTER TABLE jobs ADD COLUMN a TEXT NOT NULL",
        "ALTER TABLE jobs ADD COLUMN a TEXT DEFAULT '' NOT NULL, ADD COLUMN b TEXT NOT NULL",
        "ALTER TABLE jobs ADD CONSTRAINT named CHECK (encoder <> '')",
        "ALTER TABLE jobs ADD CONSTRAINT once UNIQUE (encoder)",
        "ALTER TABLE jobs ADD CONSTRAINT known FOREIGN KEY (encoder) REFERENCES encoders (name)",
        "CREATE UNIQUE INDEX uq_jobs_encoder ON jobs (encoder)",
        "DROP TABLE jobs",
        "DROP DOMAIN chunk_status",
        "TRUNCATE jobs",
        "ALTER DOMAIN chunk_status ADD CONSTRAINT few CHECK (VALUE <> 'failed')",
        "ALTER TYPE mode RENAME VALUE 'gpu' TO 'cuda'",
    ],
)
def test_what_narrows_a_table_is_noticed(statement: str) -> None:
    assert [found for found, _ in stumbling_blocks([statement])] == [statement]


@pytest.mark.parametrize(
    "statements",
    [
        ["ALTER TABLE jobs ADD COLUMN a TEXT"],
        ["ALTER TABLE jobs ADD COLUMN a TEXT DEFAULT 'x' NOT NULL"],
        ["ALTER TABLE jobs DROP CONSTRAINT status_known"],
        ["ALTER TABLE jobs ALTER COLUMN a DROP NOT NULL"],
        ["CREATE INDEX ix_jobs_encoder ON jobs (encoder)", "DROP INDEX ix_jobs_old"],
        ["CREATE TABLE new (a TEXT NOT NULL)", "CREATE UNIQUE INDEX uq ON new (a)", "ALTER TABLE new ADD UNIQUE (a)"],
        ["SET LOCAL lock_timeout = '10s'", "INSERT INTO fleet DEFAULT VALUES"],
    ],
)  # fmt: skip
def test_what_adds_is_not_complained_of(statements: list[str]) -> None:
    assert stumbling_blocks(statements) == []


def test_migrations_are_read_as_they_are_run() -> None:
    """The seventh changes a column's type, from before there was a release beside which it had to stand."""
    script = ScriptDirectory(str(PROJECT / "alembic")).get_revision("0007")
    assert script is not None
    found = [why for _, why in stumbling_blocks(statements_of(script.module))]
    assert "it prepared its statements for the old type" in found
