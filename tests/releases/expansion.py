"""What in a migration an earlier release, which still runs, could stumble over: read from the statements it makes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from types import ModuleType

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.dialects.postgresql.psycopg import dialect

_NAME = r'(?:ONLY )?(?:IF (?:NOT )?EXISTS )?"?(?P<table>\w+)"?'
_TABLE_MADE = re.compile(rf"^CREATE TABLE {_NAME}", re.I)
_TABLE_CHANGED = re.compile(rf"^ALTER TABLE {_NAME} (?P<change>.*)", re.I | re.S)
_UNIQUE_INDEX = re.compile(r"^CREATE UNIQUE INDEX .*? ON (?:ONLY )?\"?(?P<table>\w+)\"?", re.I | re.S)
_NEXT_CHANGE = re.compile(r",\s*(?=(?:ADD|ALTER|DROP|RENAME)\b)", re.I)
# Of tables that there were already: what narrows them, and why an earlier release would stumble.
_CHANGES = {
    r"\bDROP (?:COLUMN )?(?!CONSTRAINT|DEFAULT|NOT NULL|EXPRESSION|IDENTITY)": "it still reads and writes that column",
    r"\bRENAME\b": "it knows the old name only",
    r"\bALTER (?:COLUMN )?\S+ (?:SET DATA )?TYPE\b": "it prepared its statements for the old type",
    r"\bSET NOT NULL\b": "it may leave that column empty",
    r"\bDROP DEFAULT\b": "it leaves that column out",
    r"\bADD (?:CONSTRAINT \S+ )?(?:CHECK|UNIQUE|PRIMARY KEY|FOREIGN KEY|EXCLUDE)\b": "its rows may not obey that rule",
}
_DROPPED = re.compile(r"^DROP (?:TABLE|TYPE|DOMAIN|SCHEMA|VIEW|FUNCTION|SEQUENCE)\b|^TRUNCATE\b", re.I)
_RENAMED_OBJECT = re.compile(r"^ALTER (?:TYPE|DOMAIN|INDEX|SEQUENCE|VIEW) .*\bRENAME\b", re.I | re.S)
_RULE_OF_DOMAIN = re.compile(r"^ALTER DOMAIN .* (?:ADD|SET NOT NULL)\b", re.I | re.S)


def statements_of(migration: ModuleType) -> list[str]:
    """What its `upgrade` sends. A migration that asks the database in between cannot be read so: it raises."""
    buffer = io.StringIO()
    context = MigrationContext.configure(dialect=dialect(), opts={"as_sql": True, "output_buffer": buffer})
    with Operations.context(context):
        migration.upgrade()
    return [line for line in map(_plain, buffer.getvalue().split(";\n")) if line]


def _plain(statement: str) -> str:
    lines = (line for line in statement.splitlines() if not line.lstrip().startswith("--"))
    return " ".join(" ".join(lines).split())


def stumbling_blocks(statements: list[str]) -> list[tuple[str, str]]:
    """(statement, why) of each that does more than to add."""
    made: set[str] = set()
    found: list[tuple[str, str]] = []
    for statement in statements:
        if table := _TABLE_MADE.match(statement):
            made.add(table["table"])
        found += [(statement, why) for why in _complaints(statement, made)]
    return found


def _complaints(statement: str, made: set[str]) -> Iterator[str]:
    """`made`: the tables that no earlier release knows."""
    if _DROPPED.match(statement):
        yield "it still uses that"
    if _RENAMED_OBJECT.match(statement):
        yield "it knows the old name only"
    if _RULE_OF_DOMAIN.match(statement):
        yield "its rows may not obey that rule"
    index = _UNIQUE_INDEX.match(statement)
    if index and index["table"] not in made:
        yield "its rows may not obey that rule"
    changed = _TABLE_CHANGED.match(statement)
    if changed is None or changed["table"] in made:
        return
    for change in _NEXT_CHANGE.split(changed["change"]):
        yield from (why for pattern, why in _CHANGES.items() if re.search(pattern, change, re.I))
        if re.match(r"ADD .*\bNOT NULL\b", change, re.I) and not re.search(r"\bDEFAULT\b", change, re.I):
            yield "it leaves that column out"
