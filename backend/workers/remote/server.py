"""The server that a remote worker works for: each call typed, its refusals as our own errors, cuts tried again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import tenacity
from pydantic import BaseModel, SecretStr, ValidationError

from backend import __version__
from backend.errors import (
    AccessRevoked,
    DatabaseUnavailable,
    FramefleetError,
    InvalidRequest,
    ObjectNotFound,
    ServerUnavailable,
    error_by_code,
)
from backend.kinds import KINDS
from backend.queue.claims import ChunkClaim
from backend.queue.messages import REMOTE_PATH, Known, Welcome
from backend.versions import SCHEMA_VERSION
from backend.workers.remote.transport import Body, Reply, Transport, fetch

Answer = TypeVar("Answer", bound=BaseModel)
Result = TypeVar("Result")
# What ends long work is worth most of a minute of trying. Whoever was heard the first time gets ClaimLost the next.
TRIES = 9
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_BUSY = {408, 425, 429}
_MOVED = {301, 302, 303, 307, 308}


class Server:
    """Thread-safe. Every call raises AccessRevoked when the token is refused, and ServerUnavailable."""

    def __init__(self, transport: Transport, token: SecretStr, process: str) -> None:
        self.base_url = transport.base_url
        self.process = process
        self._transport = transport
        self._headers = {
            "Authorization": f"Bearer {token.get_secret_value()}",
            "User-Agent": f"framefleet/{__version__}",
            "Accept": "application/json",
        }

    def hello(self) -> Welcome:
        return self.ask("/hello", self.known(), Welcome)

    def known(self, has: tuple[str, ...] = ()) -> Known:
        return Known(worker=self.process, kinds=sorted(KINDS), schema_version=SCHEMA_VERSION, has=list(has))

    def ask(self, path: str, message: BaseModel, answer: type[Answer], *, tries: int = 1) -> Answer:
        """What the server answers. Raises the error that it names."""
        reply = self._trying(lambda: self._post(path, message), tries)
        try:
            return answer.model_validate_json(reply.body)
        except ValidationError as strange:
            raise ServerUnavailable(_strange(self.base_url)) from strange

    def tell(self, path: str, message: BaseModel | None = None, *, tries: int = 1) -> None:
        """As `ask`, of what has no answer."""
        self._trying(lambda: self._post(path, message), tries)

    def read(self, path: str, *, tries: int = 1) -> bytes:
        """Bytes of the store, through the server or behind a link of it. Raises ObjectNotFound, StorageError."""
        reply = self._trying(lambda: self._sent("GET", path), tries)
        if reply.status not in _MOVED:
            return reply.body
        data = fetch(reply.headers.get("location", ""))
        if data is None:
            raise ObjectNotFound("There is no such object.")
        return data

    def write(self, path: str, headers: Mapping[str, str], body: Callable[[], Iterator[bytes]]) -> None:
        """To the store, through the server. Raises ObjectExists."""
        self._sent("PUT", path, headers, body())

    def _post(self, path: str, message: BaseModel | None) -> Reply:
        body = b"" if message is None else message.model_dump_json().encode()
        return self._sent("POST", REMOTE_PATH + path, {"Content-Type": "application/json"}, body)

    def _sent(self, method: str, path: str, headers: Mapping[str, str] = NO_HEADERS, body: Body = None) -> Reply:
        reply = self._transport.send(method, path, self._headers | dict(headers), body)
        if 200 <= reply.status < 300 or (method == "GET" and reply.status in _MOVED):
            return reply
        if reply.status < 400:  # a proxy's log-in, or its way to https: nobody has heard what was said
            raise ServerUnavailable(_strange(self.base_url))
        raise self._refusal(reply)

    def _trying(self, call: Callable[[], Result], tries: int) -> Result:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(DatabaseUnavailable),
            stop=tenacity.stop_after_attempt(tries),
            wait=tenacity.wait_exponential_jitter(initial=0.2, max=15, jitter=0.5),
            reraise=True,
        )
        return retrying(call)

    def _refusal(self, reply: Reply) -> FramefleetError:
        said = _problem(reply)
        words = str(said.get("detail") or said.get("title", ""))
        if reply.status == 401:
            return AccessRevoked(words or "The server does not take this token.")
        error = error_by_code(str(said.get("code")), words)
        if type(error) is not FramefleetError:
            return error
        if reply.status >= 500 or reply.status in _BUSY:
            return ServerUnavailable(f"{self.base_url} does not answer now ({reply.status}): {words[:200]}")
        if reply.status == 404:
            return InvalidRequest(f"{self.base_url} knows no remote workers: check --server, and its version.")
        return InvalidRequest(f"{self.base_url} refused a request ({reply.status}): {words[:200]}")


def claim_path(claim: ChunkClaim, what: str) -> str:
    return f"/chunks/{claim.chunk_id}/{claim.attempts}/{what}"


def _strange(base_url: str) -> str:
    return f"{base_url} answers what no framefleet API does: check --server."


def _problem(reply: Reply) -> dict[str, Any]:
    try:
        said = json.loads(reply.body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
