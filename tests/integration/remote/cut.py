"""A network that can be cut: a TCP proxy on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

BLOCK_BYTES = 64 * 1024


class Network:
    """While it is cut no connection is taken, and those there were are gone. `lose_answers`: of so many requests the
    answer is lost, and the connection with it. `break_after`: when so many bytes have been carried, all connections
    break, once for each entry."""

    def __init__(self, server: str) -> None:
        self._server = (urlsplit(server).hostname or "", urlsplit(server).port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_cut = False
        self.refused = 0
        self.lose_answers = 0
        self.break_after: list[int] = []
        self.stays_cut = False  # after a break
        self.carried_bytes = 0
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            for link in self._open:
                with suppress(OSError):
                    link.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._is_cut = False

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            if self._is_cut:
                self.refused += 1
                client.close()
                continue
            with suppress(OSError):
                server = socket.create_connection(self._server)
                with self._lock:
                    self._open |= {client, server}
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._carry, args=(one, other, one is server), daemon=True).start()

    def _breaks(self, more_bytes: int) -> bool:
        with self._lock:
            self.carried_bytes += more_bytes
            if not self.break_after or self.carried_bytes <= self.break_after[0]:
                return False
            self.break_after.pop(0)
            self.carried_bytes = 0
            return True

    def _carry(self, one: socket.socket, other: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := one.recv(BLOCK_BYTES):
                if answers and self.lose_answers:
                    self.lose_answers -= 1
                    break
                if self._breaks(len(data)):
                    self.cut()
                    self._is_cut = self.stays_cut
                    break
                other.sendall(data)
        for link in (one, other):
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open -= {one, other}


@contextmanager
def network(server: str) -> Iterator[Network]:
    one = Network(server)
    try:
        yield one
    finally:
        one.close()
