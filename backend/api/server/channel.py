"""One connection: waitress's channel, with a deadline for everything that a client can be slow at."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Any

from waitress.channel import ClientDisconnected, HTTPChannel

from backend.api.server import limits
from backend.api.server.body import BodyPipe
from backend.api.server.refusal import BODY_TOO_SLOW, HEAD_TOO_SLOW, Refusal, RefusalTask
from backend.api.server.request import Request
from backend.api.server.task import Task
from backend.storage.local_file import FileWindow

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Channel(HTTPChannel):  # type: ignore[misc]
    """All methods run in the loop's thread, but `service`, which a thread of the application calls."""

    task_class = Task
    error_task_class = RefusalTask
    parser_class = Request

    request: Request | None
    sent_continue: bool
    _lingers_until: float | None = None
    _unread_since: float | None = None
    _was_served = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._active_at = time.monotonic()  # waitress's own clock may be set
        super().__init__(*arguments, **options)

    @property
    def is_idle(self) -> bool:
        """Kept alive, and nothing under way."""
        return self.request is None and not self.requests and not self.total_outbufs_len

    def readable(self) -> bool:
        if self._lingers_until is not None:
            return True
        if self.will_close or self.close_when_flushed:
            return False
        if self.request is not None and self.request.pipe is not None:
            return bool(self.request.pipe.has_room)
        return not self.requests and not self.total_outbufs_len

    def received(self, data: bytes) -> bool:
        """Makes requests of what has come, and hands them to the threads."""
        self._active_at = time.monotonic()
        with self.requests_lock:
            if self.will_close or self.close_when_flushed or self._lingers_until is not None:
                return False
            while data and not (self.requests and self.requests[-1].pipe is not None and self.request is None):
                if self.request is None:
                    self.request = Request(self.adj, self.server.shared.room, self._new_pipe)
                consumed = self.request.received(data)
                data = data[consumed:]
                self._follow(self.request)
        return True

    def _follow(self, request: Request) -> None:
        is_ready = request.completed or request.pipe is not None
        if is_ready and not request.empty and not request.is_queued:
            self._queue(request)
        elif request.expect_continue and request.headers_finished and not self.requests and not self.sent_continue:
            self.send_continue()
        if request.completed:
            self.sent_continue = False
            self.request = None

    def _queue(self, request: Request) -> None:
        request.is_queued = True
        self.requests.append(request)
        if len(self.requests) == 1:  # else service() goes on with it
            self.server.add_task(self)

    def _refuse(self, request: Request, refusal: Refusal) -> None:
        request.error = refusal
        request.completed = True
        request.expect_continue = False
        self._queue(request)
        self.request = None

    def _new_pipe(self) -> BodyPipe:
        return BodyPipe(asked=self._say_continue, roomy=self.server.pull_trigger)

    def _say_continue(self) -> None:
        """In the application's thread, which wants the body: until then it may refuse the request unread."""
        self._continue(self.requests[0])
        self.server.pull_trigger()

    def send_continue(self) -> None:
        """For a body that waits on disk."""
        assert self.request is not None, "it is this request's"
        self.sent_continue = True
        self._continue(self.request)

    def _continue(self, request: Request) -> None:
        """The loop sends it: it may be the thread of the request before that says it."""
        if request.expect_continue:
            request.expect_continue = False
            with suppress(ClientDisconnected):  # which is noticed where its body is missed
                self.write_soon(CONTINUE)

    def service(self) -> None:
        self._was_served = True
        super().service()
        self._active_at = time.monotonic()

    def handle_write(self) -> None:
        if self.total_outbufs_len:  # with the lock also where no request is: the thread of the last one may still write
            self._flush_exception(self._flush_some_if_lockable)
        if self.socket is None:  # the client was gone
            return
        if self.close_when_flushed and not self.total_outbufs_len and not self.will_close:
            self._linger()
        if self.will_close:
            self.handle_close()

    def _flush_some(self, do_close: bool = True) -> bool:
        """Sends a bounded part of what waits: however fast a client takes it, the others have their turn."""
        flushed_bytes = 0
        while flushed_bytes < limits.TURN_BYTES:
            outbuf = self.outbufs[0]
            if len(outbuf):
                sent_bytes = self._send_of(outbuf)
                if not sent_bytes:
                    break
                outbuf.skip(sent_bytes, True)
                flushed_bytes += sent_bytes
                self.total_outbufs_len -= sent_bytes
            elif len(self.outbufs) > 1:  # the last one is written to
                self.outbufs.pop(0).close()
            else:
                break
        if flushed_bytes:
            self._active_at = time.monotonic()
        return flushed_bytes > 0

    def _send_of(self, outbuf: Any) -> int:
        """How many bytes the system took, past this process's memory where it can. Raises OSError: the client is gone,
        or the file is not what it was."""
        sock, file = self.socket, getattr(outbuf, "file", None)
        if sock is None:  # closed just now by the loop
            return 0
        try:
            if isinstance(file, FileWindow):
                return file.send_to(sock, min(limits.TURN_BYTES, len(outbuf)))
            return int(sock.send(outbuf.get(limits.TURN_BYTES)))
        except BlockingIOError:
            return 0

    def _linger(self) -> None:
        """Closed with bytes of the client unread, the system would reset the connection, and the answer with it."""
        self.close_when_flushed = False
        self._lingers_until = time.monotonic() + limits.LINGER_SEC
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:  # it is gone already
            self.will_close = True

    def handle_close(self) -> None:
        for request in {id(each): each for each in (self.request, *self.requests) if each is not None}.values():
            if request is self.request or request.pipe is not None:
                request.close()
        super().handle_close()

    def check(self, now: float, keepalive_sec: float) -> None:
        """Ends what takes too long. `now` is of the monotonic clock."""
        silent_sec = now - self._active_at
        if self._lingers_until is not None:
            self.will_close = self.will_close or now > self._lingers_until
        elif self.total_outbufs_len:
            self._check_unread(now, silent_sec)
        elif self.request is not None:
            self._check_request(self.request, now, silent_sec)
        elif self.is_idle and silent_sec > (keepalive_sec if self._was_served else limits.HEAD_SEC):
            self.will_close = True
        if not self.total_outbufs_len:
            self._unread_since = None
        if self.will_close:  # now: a socket that takes nothing would never be ready for it
            self.handle_close()

    def _check_unread(self, now: float, silent_sec: float) -> None:
        """The silence before there was anything to send does not count."""
        if self._unread_since is None:
            self._unread_since = now
        if min(silent_sec, now - self._unread_since) > limits.UNREAD_SEC:
            self.will_close = True

    def _check_request(self, request: Request, now: float, silent_sec: float) -> None:
        if not request.headers_finished:
            refusal = HEAD_TOO_SLOW if now - request.began > limits.HEAD_SEC else None
        else:
            refusal = BODY_TOO_SLOW if request.is_too_slow(now, silent_sec) else None
        if refusal is None:
            return
        if request.pipe is not None:  # the application is at it, hears of it and answers
            request.pipe.close()
            return
        with self.requests_lock:
            self._refuse(request, refusal)
