"""Where a worker can be struck, and how a proxy recognises the place from the bytes that pass."""

from __future__ import annotations

import re
from enum import StrEnum

_COMMENT = re.compile(r"--[^\n]*")


class Point(StrEnum):
    """A moment of a worker's work. `…_ANSWER`: the write took effect, its answer is still on the way."""

    CLAIM_COMMIT = "before the claim commits"
    CLAIM_ANSWER = "claimed, not told"
    MEDIA = "in decode or render"
    HEARTBEAT = "in heartbeat"
    ARTIFACT_PUT = "before the put"
    ARTIFACT_ANSWER = "between put and complete"
    COMPLETE = "at the completion"
    COMPLETE_COMMIT = "before the completion commits"
    COMPLETE_ANSWER = "completed, not told"
    FILM_PUT = "before the film's put"
    FILM_ANSWER = "between film and finish"
    FINISH = "at the finish"
    FINISH_COMMIT = "before the finish commits"
    FINISH_ANSWER = "finished, not told"


class Verb(StrEnum):
    """What a statement does to the queue, told by what every claim, heartbeat and finish must say."""

    CLAIM = "claim"
    HEARTBEAT = "heartbeat"
    COMPLETE = "complete"
    FINISH = "finish"


_VERBS = (
    (Verb.CLAIM, re.compile(r"attempts\s*=\s*\w+\.attempts\s*\+\s*1")),
    (Verb.HEARTBEAT, re.compile(r"lease_expires_at\s*=\s*now\(\)\s*\+")),  # so says a claim too
    (Verb.COMPLETE, re.compile(r"SET\s+status\s*=\s*'completed'")),
    # The step that takes the whole of a job ends in the next phase, or in the job's end.
    (Verb.FINISH, re.compile(r"SET\s+status\s*=\s*('done'|'processing',\s*stage\s*=\s*CAST)")),
)
AT_STATEMENT = {Verb.COMPLETE: Point.COMPLETE, Verb.FINISH: Point.FINISH}
BEFORE_COMMIT = {
    Verb.CLAIM: Point.CLAIM_COMMIT,
    Verb.HEARTBEAT: Point.HEARTBEAT,
    Verb.COMPLETE: Point.COMPLETE_COMMIT,
    Verb.FINISH: Point.FINISH_COMMIT,
}
AFTER_COMMIT = {
    Verb.CLAIM: Point.CLAIM_ANSWER,
    Verb.COMPLETE: Point.COMPLETE_ANSWER,
    Verb.FINISH: Point.FINISH_ANSWER,
}


def verbs_of(sql: str) -> frozenset[Verb]:
    """More than one where a worker completes a chunk and claims the next."""
    statement = _COMMENT.sub("", sql)
    found = {verb for verb, sign in _VERBS if sign.search(statement)}
    return frozenset(found - {Verb.HEARTBEAT} if Verb.CLAIM in found else found)


class Messages:
    """Cuts one direction of PostgreSQL's protocol 3 into (type, message); a client's first message has no type."""

    def __init__(self, *, from_client: bool) -> None:
        self._buffer = b""
        self._untyped = from_client

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        self._buffer += data
        found = []
        while (message := self._next()) is not None:
            found.append(message)
        return found

    def _next(self) -> tuple[bytes, bytes] | None:
        skip = 0 if self._untyped else 1
        if len(self._buffer) < skip + 4:
            return None
        length = skip + int.from_bytes(self._buffer[skip : skip + 4], "big")
        if len(self._buffer) < length:
            return None
        message, self._buffer = self._buffer[:length], self._buffer[length:]
        kind = b"" if self._untyped else message[:1]
        self._untyped = False
        return kind, message


def sql_of(kind: bytes, message: bytes) -> str:
    """The text of a Query or Parse message."""
    return (message[5:-1] if kind == b"Q" else message[5:].split(b"\0")[1]).decode()


def statement_of(kind: bytes, message: bytes) -> bytes:
    """The name of the prepared statement that a Parse message makes, or a Bind message uses; empty for the unnamed."""
    return message[5:].split(b"\0")[0 if kind == b"P" else 1]


def request_of(data: bytes) -> tuple[str, str] | None:
    """Method and path when a request of HTTP/1.1 begins here."""
    line = data.split(b"\r\n", 1)[0].split(b" ")
    if len(line) == 3 and line[2].startswith(b"HTTP/1."):
        return line[0].decode(), line[1].decode(errors="replace")
    return None


def put_point(request: tuple[str, str], *, answered: bool) -> Point | None:
    method, path = request
    if method != "PUT":
        return None
    if "/chunks/chunk_" in path or "/pieces/piece_" in path:
        return Point.ARTIFACT_ANSWER if answered else Point.ARTIFACT_PUT
    if path.partition("?")[0].endswith(".mp4"):
        return Point.FILM_ANSWER if answered else Point.FILM_PUT
    return None
