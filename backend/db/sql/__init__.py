"""One hand-written statement a file, for whatever carries a race."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from sqlalchemy import TextClause, text

VARIANT = "-- +"
_PART = re.compile(r"-- @(\S+)")


@cache
def statement(name: str) -> TextClause:
    """`name` is a file's; `name+variant` is with the lines that the file has behind `-- +variant`.

    A variant is a text of its own: a condition that is mostly off (`:x IS NULL OR …`) would spoil the prepared plan.
    A line `-- @other` stands for the file other.sql, which two statements share; variants hold in it too. Comments and
    indents are left out: the driver analyses a text anew each time when it is longer than 4,096 characters.
    """
    base, *variants = name.split("+")
    return text("\n".join(_lines(base, frozenset(variants))))


def _lines(base: str, variants: frozenset[str]) -> list[str]:
    found: list[str] = []
    for whole in files(__package__).joinpath(f"{base}.sql").read_text().splitlines():
        line = whole
        for variant in variants:
            line = line.replace(f"{VARIANT}{variant} ", "")
        part = _PART.fullmatch(line.strip())
        if part is not None:
            other, *more = part[1].split("+")
            found += _lines(other, variants | set(more))
        elif not line.lstrip().startswith("--"):
            found.append(line.strip())
    return found
