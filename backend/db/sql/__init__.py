"""One hand-written statement a file, for whatever carries a race."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from sqlalchemy import TextClause, text


@cache
def statement(name: str) -> TextClause:
    return text(files(__package__).joinpath(f"{name}.sql").read_text())
