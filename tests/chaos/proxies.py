"""Proxies on loopback between one worker and its PostgreSQL and S3: they see every point, and can strike there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from enum import StrEnum
from typing import Any

from tests.chaos.points import (
    AFTER_COMMIT,
    AT_STATEMENT,
    BEFORE_COMMIT,
    Messages,
    Point,
    Verb,
    put_point,
    request_of,
    sql_of,
    statement_of,
    verbs_of,
)

BLOCK_BYTES = 2**16
SLOW_SEC = 0.25
FLUSH = b"H\x00\x00\x00\x04"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
ERROR_BODY = b"<Error><Code>InternalError</Code><Message>chaos</Message></Error>"
ERROR_ANSWER = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(ERROR_BODY), ERROR_BODY)
)

# Told a slot's name and a point; False: the bytes go no further and the connection is reset.
Gate = Callable[[str, Point], Awaitable[bool]]
Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Weather(StrEnum):
    """How the object store answers, to everyone."""

    FINE = "fine"
    ERRORS = "answers 500"
    HANGS = "does not answer"
    SLOW = "is slow"
    RESETS = "resets connections"
    AWAY = "takes no connection"


class Struck(Exception):
    """This connection is to be reset."""


class Proxies:
    """Runs in a thread of its own; `postgres_port` and `s3_port` open a listener for one worker's slot."""

    def __init__(self, postgres_socket: str, s3_address: tuple[str, int], gate: Gate) -> None:
        self.weather = Weather.FINE
        self.sick: set[str] = set()  # slots that do not reach the store
        self._postgres_socket = postgres_socket
        self._s3_address = s3_address
        self._gate = gate
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def postgres_port(self, slot: str) -> int:
        return self._listen(lambda: asyncio.open_unix_connection(self._postgres_socket), PostgresLink, slot)

    def s3_port(self, slot: str) -> int:
        return self._listen(lambda: asyncio.open_connection(*self._s3_address), S3Link, slot)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end_links(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end_links(self) -> None:
        links = asyncio.all_tasks() - {asyncio.current_task()}
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    def _listen(self, dial: Callable[[], Coroutine[Any, Any, Peer]], kind: type[Link], slot: str) -> int:
        async def start() -> int:
            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                try:
                    server = await dial()
                except OSError:  # PostgreSQL restarts just now
                    _reset(writer)
                    return
                with contextlib.suppress(asyncio.CancelledError):  # the run is over
                    await kind(slot, self._gate, self).run((reader, writer), server)

            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            port: int = server.sockets[0].getsockname()[1]
            return port

        return asyncio.run_coroutine_threadsafe(start(), self._loop).result()


class Link(ABC):
    """One connection through a proxy."""

    def __init__(self, slot: str, gate: Gate, proxies: Proxies) -> None:
        self._slot = slot
        self._gate = gate
        self._proxies = proxies

    async def run(self, client: Peer, server: Peer) -> None:
        """Until one side closes: then the other is closed too, by a reset when the connection was struck."""
        pumps = [
            asyncio.ensure_future(self._pump(client[0], server[1], self.from_client)),
            asyncio.ensure_future(self._pump(server[0], client[1], self.from_server)),
        ]
        done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        struck = any(isinstance(pump.exception(), Struck) for pump in done)
        for pump in pumps:
            pump.cancel()
        for _, writer in (client, server):
            if struck:
                _reset(writer)
            writer.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        look: Callable[[bytes, asyncio.StreamWriter], Awaitable[None]],
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(BLOCK_BYTES):
                await look(data, writer)
                await writer.drain()

    @abstractmethod
    async def from_client(self, data: bytes, server: asyncio.StreamWriter) -> None:
        """Passes on, or does not, what the client said."""

    @abstractmethod
    async def from_server(self, data: bytes, client: asyncio.StreamWriter) -> None:
        """Passes on, or does not, what the server answered."""

    async def pass_gate(self, point: Point) -> None:
        if not await self._gate(self._slot, point):
            raise Struck


class PostgresLink(Link):
    """Follows a transaction: which verbs it holds, and which of them hit a row.

    A statement outside of a block commits with the client's Sync. A Flush in its place makes the server execute it and
    say what it hit; the Sync follows when the gate lets it.
    """

    def __init__(self, slot: str, gate: Gate, proxies: Proxies) -> None:
        super().__init__(slot, gate, proxies)
        self._sent = Messages(from_client=True)
        self._answered = Messages(from_client=False)
        self._prepared: dict[bytes, frozenset[Verb]] = {}
        self._verbs: frozenset[Verb] = frozenset()
        self._hits: set[Verb] = set()
        self._in_block = False
        self._executed = asyncio.Event()

    async def from_client(self, data: bytes, server: asyncio.StreamWriter) -> None:
        for kind, message in self._sent.feed(data):
            match kind:
                case b"Q":
                    await self._query(sql_of(kind, message))
                case b"P":
                    self._prepared[statement_of(kind, message)] = verbs_of(sql_of(kind, message))
                case b"B":
                    await self._bind(statement_of(kind, message))
                case b"S" if self._verbs and not self._in_block:
                    server.write(FLUSH)
                    await self._executed.wait()
                    await self._pass_gates(BEFORE_COMMIT)
            server.write(message)

    async def _query(self, sql: str) -> None:
        self._verbs = frozenset()
        if sql.startswith("COMMIT"):
            await self._pass_gates(BEFORE_COMMIT)
        elif sql.startswith("ROLLBACK"):
            self._hits.clear()

    async def _bind(self, statement: bytes) -> None:
        self._verbs = self._prepared.get(statement, frozenset())
        self._executed.clear()
        for verb in self._verbs & set(AT_STATEMENT):
            await self.pass_gate(AT_STATEMENT[verb])

    async def from_server(self, data: bytes, client: asyncio.StreamWriter) -> None:
        for kind, message in self._answered.feed(data):
            match kind:
                case b"D":
                    self._hit()
                case b"C":
                    if message[5:12] == b"UPDATE " and message[5:-1] != b"UPDATE 0":
                        self._hit()
                    self._executed.set()
                case b"E":
                    self._hits.clear()
                    self._executed.set()
                case b"Z":
                    await self._ready(in_block=message[5:6] != b"I")
            client.write(message)

    def _hit(self) -> None:
        self._hits |= self._verbs

    async def _ready(self, *, in_block: bool) -> None:
        """The client's command is over, and what it wrote is committed unless a block is open."""
        self._in_block = in_block
        if not in_block:
            await self._pass_gates(AFTER_COMMIT)
            self._hits.clear()

    async def _pass_gates(self, points: Mapping[Verb, Point]) -> None:
        for verb in sorted(self._hits & set(points)):  # in order, so that a seed can be replayed
            await self.pass_gate(points[verb])


class S3Link(Link):
    """Knows the request that is under way: a client of HTTP/1.1 that does not pipeline begins it with a write."""

    def __init__(self, slot: str, gate: Gate, proxies: Proxies) -> None:
        super().__init__(slot, gate, proxies)
        self._request: tuple[str, str] = ("", "")
        self._client: asyncio.StreamWriter | None = None

    async def run(self, client: Peer, server: Peer) -> None:
        self._client = client[1]
        await super().run(client, server)

    async def from_client(self, data: bytes, server: asyncio.StreamWriter) -> None:
        request = request_of(data)
        if request is not None:
            await self._endure()
            self._request = request
            point = put_point(request, answered=False)
            if point is not None:
                await self.pass_gate(point)
        server.write(data)

    async def from_server(self, data: bytes, client: asyncio.StreamWriter) -> None:
        if data.startswith(b"HTTP/1.") and b" 100 " not in data[:16]:
            point = put_point(self._request, answered=True)
            if point is not None:
                await self.pass_gate(point)
        if self._proxies.weather is Weather.RESETS:
            client.write(data[: len(data) // 2])
            await client.drain()
            raise Struck
        if self._proxies.weather is Weather.SLOW:
            await asyncio.sleep(SLOW_SEC)
        client.write(data)

    async def _endure(self) -> None:
        if self._slot in self._proxies.sick:
            raise Struck
        match self._proxies.weather:
            case Weather.AWAY:
                raise Struck
            case Weather.ERRORS:
                assert self._client is not None
                self._client.write(ERROR_ANSWER)
                await self._client.drain()
                raise ConnectionAbortedError  # an orderly close after the answer
            case Weather.HANGS:
                while self._proxies.weather is Weather.HANGS:
                    await asyncio.sleep(0.05)
                raise Struck
            case Weather.FINE | Weather.SLOW | Weather.RESETS:
                pass


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    if connection.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):  # a killed client has closed it already
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
