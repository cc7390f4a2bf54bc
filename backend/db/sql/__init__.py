"""One hand-written statement a file, for whatever carries a race."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from sqlalchemy import TextClause, text

VARIANT = "-- +"


@cache
def statement(name: str) -> TextClause:
    """`name` is a file's; `name+variant` is with the lines that the file has behind `-- +variant`.

    A variant is a text of its own: a condition that is mostly off (`:x IS NULL OR …`) would spoil the prepared plan.
    """
    base, _, variant = name.partition("+")
    lines = files(__package__).joinpath(f"{base}.sql").read_text().splitlines()
    if variant:
        lines = [line.replace(f"{VARIANT}{variant} ", "") for line in lines]
    return text("\n".join(line for line in lines if VARIANT not in line))
