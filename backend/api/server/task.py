"""One request of the application: what it is told of client and server."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Any

from waitress.task import WSGITask

if TYPE_CHECKING:
    from gunicorn.config import Config


class Task(WSGITask):  # type: ignore[misc]
    _is_without_body = False

    def service(self) -> None:
        shared = self.channel.server.shared
        shared.served += 1
        if shared.is_stopping or self.request.pipe is not None:
            # Of a body that is read while it arrives a part may be on its way still: no other request follows it.
            self.set_close_on_finish()
        super().service()

    def finish(self) -> None:
        """Head and body of a small answer leave together, and at once."""
        super().finish()
        with self.channel.outbuf_lock:
            self.channel._flush_exception(self.channel._flush_some, do_close=False)

    def build_response_header(self) -> bytes:
        self._is_without_body = not self.has_body
        head: bytes = super().build_response_header()
        self._is_without_body = False
        return head

    def set_close_on_finish(self) -> None:
        """waitress ends the connection after an answer without a length, though a 304 or 204 needs none."""
        is_asked = self.version == "1.0" or self.request.headers.get("CONNECTION", "").lower() == "close"
        if is_asked or not self._is_without_body:
            super().set_close_on_finish()

    def get_environment(self) -> dict[str, Any]:
        """As gunicorn says it: SERVER_NAME is the address that is listened on, which callers.py goes by."""
        environ: dict[str, Any] = super().get_environment()
        server, shared = self.channel.server, self.channel.server.shared
        if server.family == socket.AF_UNIX:
            environ |= {"SERVER_NAME": server.effective_port, "SERVER_PORT": "", "REMOTE_ADDR": "", "REMOTE_HOST": ""}
        else:
            environ["SERVER_NAME"] = server.effective_host
        environ["framefleet.streamed"] = self.request.pipe is not None  # backend/api/streams.py
        environ["RAW_URI"] = self.request.request_uri
        environ["wsgi.multiprocess"] = shared.config.workers > 1
        if _says_secure(environ, shared.config.secure_scheme_headers) and is_trusted(
            environ["REMOTE_ADDR"], shared.config
        ):
            environ["wsgi.url_scheme"] = "https"
        return environ


def is_trusted(peer: str, config: Config) -> bool:
    """Whether it may say how a client reached it. Whoever speaks through a socket file is on this machine."""
    if not peer or "*" in config.forwarded_allow_ips:
        return True
    address = ipaddress.ip_address(peer.partition("%")[0])
    return any(address in network for network in config.forwarded_allow_networks())


def _says_secure(environ: dict[str, Any], headers: dict[str, str]) -> bool:
    """All that are there must say so."""
    said = [
        environ[key] == secure
        for name, secure in headers.items()
        if (key := f"HTTP_{name.upper().replace('-', '_')}") in environ
    ]
    return bool(said) and all(said)
