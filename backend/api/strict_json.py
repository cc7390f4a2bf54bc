"""JSON from outside, read strictly: what two readers would understand differently is refused."""

from __future__ import annotations

import json
from typing import Any

from flask import Request

from backend.errors import InvalidRequest, InvalidValue, UnsupportedMediaType

MAX_DEPTH = 64
EXAMPLE = '{"kind": "crop", "input": "https://…"}'


class StrictRequest(Request):
    """`get_json` gives an object, or raises; flask-openapi asks it too."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """The body, which has to be a JSON object. `force`: as `application/octet-stream` too, which task queues send.

        A page of another site can send other types than JSON without asking first, so they are refused. Raises
        UnsupportedMediaType, InvalidRequest for what cannot be read, InvalidValue for another value than an object.
        """
        if not self.is_json and not (force and self.mimetype == "application/octet-stream"):
            raise UnsupportedMediaType("Send JSON, and the header Content-Type: application/json.")
        body = strict_json(self.get_data(cache=True))
        if not isinstance(body, dict):
            raise InvalidValue(f"The body must be a JSON object, as in {EXAMPLE}.")
        return body


def strict_json(data: bytes | str) -> Any:
    """The value. Raises InvalidRequest for what is no JSON, is nested too deep, or names a member twice; InvalidValue
    for texts that no database holds."""
    try:
        text = data if isinstance(data, str) else data.decode()
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidRequest("The JSON is nested too deep.") from None
    except ValueError:  # its words may quote the body
        raise InvalidRequest("The body is no JSON: it must be valid, in UTF-8, without NaN and Infinity.") from None
    _check(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InvalidRequest("The JSON names a member of an object twice.")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _check(value: Any) -> None:
    """Level by level, so that depth costs no recursion. PostgreSQL's text holds neither NUL nor half of a surrogate
    pair."""
    level: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    for _ in range(MAX_DEPTH):
        inner: list[tuple[tuple[str | int, ...], Any]] = []
        for place, each in level:
            if isinstance(each, str):
                _check_text(each, place)
            elif isinstance(each, dict):
                for name, member in each.items():
                    _check_text(name, place)
                    inner.append(((*place, name), member))
            elif isinstance(each, list):
                inner += [((*place, index), member) for index, member in enumerate(each)]
        level = inner
        if not level:
            return
    raise InvalidRequest(f"The JSON is nested too deep: at most {MAX_DEPTH} levels.")


def _check_text(text: str, place: tuple[str | int, ...]) -> None:
    if "\0" in text or (not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)):
        name, words = ".".join(map(str, place)) or "request", "must not have a NUL or half of a surrogate pair"
        raise InvalidValue(f"{name:.60}: {words}", [(name, words)])
