"""Forks media processes: `python -m backend.media.fork_server CONTROL_FD [own-world]`, started by backend.media.starter
only.

Importing what decodes takes thirty times as long as forking a process that has imported it. This one has, holds no
credentials, has one thread and parses nothing: each child closes itself in, parses one source and ends. The server
ends, and all children with it, when the process that started it does: the control socket closes then.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import traceback
from typing import NoReturn

from backend import quick_start
from backend.media import child
from backend.media.jail import namespaces, process

MAX_REQUEST_BYTES = 64 * 1024
MAX_FDS = 8
OWN_WORLD = "own-world"
# Pictures can wait a moment: whoever answers requests or tells of a claim on the same cores cannot.
NICENESS = 5
NOT_STARTED = b"0"


def main(arguments: list[str]) -> NoReturn:
    os.nice(NICENESS)
    if OWN_WORLD in arguments[1:]:
        namespaces.enter()
    quick_start.imported()  # and what is imported stays shared: a child's collector would copy all of its pages
    Server(socket.socket(fileno=int(arguments[0]))).serve()
    os._exit(0)  # at once, for its children end with it; an interpreter takes a while to


class Server:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._status_fds: dict[int, int] = {}  # by the child's pidfd: where its exit status goes
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def serve(self) -> None:
        """Until the control socket closes."""
        while True:
            for fd, _ in self._poll.poll():
                if fd != self._control.fileno():
                    self._tell_end(fd)
                elif not self._answer():
                    return

    def _answer(self) -> bool:
        """Forks as one request asks; False: nobody is there to ask any more."""
        try:
            data, fds, _, _ = socket.recv_fds(self._control, MAX_REQUEST_BYTES, MAX_FDS)
        except ConnectionError:  # whoever asks was killed before it had read our last answer
            return False
        if not data:
            return False
        request = json.loads(data)
        status_fd, stderr_fd, *handed = fds
        try:
            pid = os.fork()
        except OSError:  # too many processes just now; those that there are go on
            for fd in fds:
                os.close(fd)
            with contextlib.suppress(ConnectionError):  # who asked may have ended: the next look says so
                self._control.send(NOT_STARTED)
            return True
        if pid == 0:
            self._be_child(request, stderr_fd, handed, [status_fd])
        pidfd = os.pidfd_open(pid)
        self._status_fds[pidfd] = status_fd
        self._poll.register(pidfd, select.POLLIN)
        for fd in (stderr_fd, *handed):
            os.close(fd)
        try:
            socket.send_fds(self._control, [str(pid).encode()], [pidfd])
        except ConnectionError:  # whoever asked has ended meanwhile
            return False
        return True

    def _tell_end(self, pidfd: int) -> None:
        ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        assert ended is not None
        status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        status_fd = self._status_fds.pop(pidfd)
        with contextlib.suppress(BrokenPipeError):  # nobody waits for this one
            os.write(status_fd, str(status).encode())  # a pipe that holds nothing else: it has room
        self._poll.unregister(pidfd)
        os.close(status_fd)
        os.close(pidfd)

    def _be_child(self, request: dict[str, str], stderr_fd: int, handed: list[int], others: list[int]) -> NoReturn:
        code = 1
        try:
            # One thread started us, the server's only one: it ends with its process, and then so do we.
            process.end_with_parent()
            os.dup2(stderr_fd, 2)
            for fd in (stderr_fd, self._control.fileno(), *self._status_fds, *self._status_fds.values(), *others):
                os.close(fd)
            os.setsid()
            os.environ["TMPDIR"] = request["scratch"]
            os.chdir(request["scratch"])
            code = child.main([str(fd) for fd in handed])
        except BaseException:  # noqa: BLE001 - as an interpreter that ends: the last line says why
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)  # what ends the server is not for its children


if __name__ == "__main__":
    main(sys.argv[1:])
