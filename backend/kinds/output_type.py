"""What a kind writes: how its results are called, and which containers they come in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from backend.errors import InvalidValue
from backend.storage.names import film_name

BYTES_TYPE = "application/octet-stream"
# What a name ends in that becomes a part of a key of ours.
_ENDING = re.compile(r"\.[a-z0-9]{1,10}")


@dataclass(frozen=True)
class OutputType:
    """`suffix`: of the name, before its ending, as in `_cropped`.

    `types`: the endings that can be written, in small letters, with their content types; the first is the default.
    None: the bytes are not looked at, and any ending will do. `keeps_ending`: without a name that says otherwise, the
    result ends like its input where that can be written.
    """

    suffix: str
    types: Mapping[str, str] | None
    keeps_ending: bool = False

    def content_type(self, ending: str) -> str:
        return (self.types or {}).get(ending, BYTES_TYPE)

    def check_name(self, name: str, place: str) -> None:
        """Raises InvalidValue when the name asks for another container than those that can be written."""
        ending = PurePosixPath(name).suffix.lower()
        if not ending or self.types is None or ending in self.types:
            return
        *others, last = self.types
        known = f"{', '.join(others)} or {last}" if others else last
        raise InvalidValue(f"{place:.300}: no such file is written here; give it a name that ends in {known}.")

    def ending(self, input_name: str, output_name: str | None) -> str:
        """The one that the output's name asks for; else the input's own, or the default."""
        wanted = _ending_of(output_name or "")
        if wanted and (self.types is None or wanted in self.types):
            return wanted
        own = _ending_of(input_name)
        return own if self.keeps_ending and (self.types is None or own in self.types) else self.default

    @property
    def default(self) -> str:
        return next(iter(self.types)) if self.types else ""

    def tail(self, ending: str | None) -> str:
        """What comes behind the input's name without its ending. None: of a job that an older version created."""
        return self.suffix + (self.default if ending is None else ending)

    def file_name(self, input_name: str, ending: str | None) -> str:
        """The result's own name, made from what the user calls the input."""
        return film_name(input_name, self.tail(ending))


def name_in_url(url: str) -> str:
    """The last part of an http(s) URL's path, decoded; a signed URL's query is no part of it."""
    return unquote(urlsplit(url).path.rpartition("/")[2], errors="replace")


def _ending_of(name: str) -> str:
    ending = PurePosixPath(name).suffix.lower()
    return ending if _ENDING.fullmatch(ending) else ""


FILM_TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4"}


def film(suffix: str) -> OutputType:
    """An MP4."""
    return OutputType(suffix, FILM_TYPES)
