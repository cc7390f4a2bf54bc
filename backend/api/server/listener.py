"""A socket that is listened on, and what the connections of one process share."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer, UnixWSGIServer

from backend.api.server import limits
from backend.api.server.channel import Channel
from backend.api.server.room import Room
from backend.api.server.threads import Threads, Turn

if TYPE_CHECKING:
    from gunicorn.config import Config

    from backend.api.server.loop import Loop


# Asked by whoever replaces a process that does not answer: it waits for a free thread, but not for its turn.
FIRST_PATH = "/health"
READS = ("GET", "HEAD", "OPTIONS")


@dataclass
class Shared:
    """Of all connections of a process."""

    config: Config
    room: Room
    answers: Threads  # the threads of the application
    streams: Threads  # those that read large bodies while they arrive
    is_stopping: bool = False
    served: int = 0  # requests
    listeners: list[Any] = field(default_factory=list)

    @classmethod
    def of(cls, config: Config, room: Room) -> Shared:
        answers = Threads(config.threads, most_writing=config.threads // 2)
        streams = Threads(limits.STREAMING_THREADS, most_writing=limits.STREAMING_THREADS)
        return cls(config, room, answers, streams)


class _Listener:
    channel_class = Channel
    shared: Shared

    def maintenance(self, now: float) -> None:
        """waitress's own time-out; ours is Channel.check."""

    def add_task(self, channel: Channel) -> None:
        request = channel.requests[0]
        if request.pipe is not None:
            self.shared.streams.add(channel, Turn.WRITE)
        elif request.path == FIRST_PATH:
            self.shared.answers.add(channel, Turn.FIRST)
        else:
            self.shared.answers.add(channel, Turn.READ if request.command in READS else Turn.WRITE)


class _TcpListener(_Listener, TcpWSGIServer):  # type: ignore[misc]
    pass


class _UnixListener(_Listener, UnixWSGIServer):  # type: ignore[misc]
    pass


def listen(application: Any, sock: socket.socket, shared: Shared, loop: Loop, connections: int) -> None:
    """Takes connections of a socket that is bound and listens already."""
    kind = _UnixListener if sock.family == socket.AF_UNIX else _TcpListener
    listener = kind(
        application,
        loop,
        True,
        sock,
        dispatcher=shared.answers,
        adj=_adjustments(shared.config, connections),
        sockinfo=(sock.family, sock.type, sock.proto, sock.getsockname()),
        bind_socket=False,
    )
    listener.shared = shared
    shared.listeners.append(listener)


def _adjustments(config: Config, connections: int) -> Adjustments:
    adjustments = Adjustments(
        backlog=config.backlog,
        connection_limit=connections,
        recv_bytes=64 * 1024,
        inbuf_overflow=limits.MEMORY_BODY_BYTES,
        outbuf_overflow=limits.MEMORY_BODY_BYTES,
        outbuf_high_watermark=limits.ANSWER_BYTES,
        max_request_header_size=limits.MAX_HEAD_BYTES,
        max_request_body_size=sys.maxsize,  # the application knows what a route may take
        log_socket_errors=False,  # clients go away
        clear_untrusted_proxy_headers=False,  # callers.py looks for them
        ident=None,
        expose_tracebacks=False,
    )
    adjustments.send_bytes = limits.TURN_BYTES  # else head and body of each answer are sent by a call of their own
    return adjustments
