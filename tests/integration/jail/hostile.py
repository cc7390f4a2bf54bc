"""What code that has taken over a decoder would try, as an operation of the real media process: it runs where decoders
run, after the process has closed itself in. `python -m tests.integration.jail.hostile` is the fork server with it.

Each attempt returns what it got, and raises what it met.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backend.media import fork_server
from backend.media.jail import syscalls
from backend.media.operations import OPERATIONS, Result, Task

# x86-64; on others these cases are skipped.
PTRACE, PROCESS_VM_READV, PIDFD_OPEN, PIDFD_GETFD, IO_URING_SETUP, BPF = 101, 310, 434, 438, 425, 321
USERFAULTFD, KEYCTL, PERF_EVENT_OPEN, MOUNT, OPEN_BY_HANDLE_AT, MEMFD_CREATE = 323, 250, 298, 165, 304, 319
FSOPEN, SETNS, SWAPON, REBOOT, INIT_MODULE, ADD_KEY, QUOTACTL, CHROOT = 430, 308, 167, 169, 175, 248, 179, 161
PTRACE_ATTACH, CLONE_NEW_ALL = 16, 0x7E020000


def call(number: int, *arguments: Any) -> int:
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return syscalls.checked(syscalls.libc().syscall(ctypes.c_long(number), *words), str(number))


def read(path: str) -> str:
    return repr(Path(path).read_bytes()[:64])


def write(path: str) -> str:
    Path(path).write_text("overwritten")
    return "written"


def names(path: str) -> str:
    return repr(os.listdir(path)[:3])


def connect(family: int, kind: int, address: Any) -> str:
    with socket.socket(family, kind) as mine:
        mine.settimeout(2)
        mine.connect(tuple(address) if isinstance(address, list) else address)
        return "connected"


def listen() -> str:
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", 0))
        mine.listen()
        return "listens"


def send_to(address: list[Any]) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        mine.sendto(b"secret", tuple(address))
        return "sent"


def fork() -> str:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "forked"


def run_program() -> str:
    os.execv("/bin/true", ["true"])
    return "never"


def spawn() -> str:
    os.posix_spawn("/bin/true", ["true"], {})
    return "spawned"


def threads_without_end() -> str:
    """A fork bomb of threads: the memory limit ends it."""
    over = threading.Event()
    started = 0
    try:
        while started < 20_000:
            threading.Thread(target=over.wait, daemon=True).start()
            started += 1
    finally:
        over.set()
    return f"{started} threads"


def map_executable_file(path: str) -> str:
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o700)
    os.write(fd, b"\xc3" * 4096)
    mmap.mmap(fd, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)
    return "mapped"


def raise_limit() -> str:
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (hard, hard + 1000))
    except ValueError as error:  # as Python says it
        raise PermissionError(errno.EPERM, "limit") from error
    return "raised"


def burn() -> str:
    while True:
        pass


def fill(path: str) -> str:
    with Path(path).open("wb") as file:
        for _ in range(64):
            file.write(bytes(2**20))
    return "filled"


def segfault() -> str:
    ctypes.string_at(0)
    return "never"


def swap(path: str, how: str, target: str) -> str:
    """What stands in the result's place."""
    place = Path(path)
    place.unlink(missing_ok=True)
    match how:
        case "symbolic link":
            place.symlink_to(target)
        case "hard link":
            os.link(target, place)
        case "FIFO":
            os.mkfifo(place)
        case "device":
            os.mknod(place, 0o020666, os.makedev(1, 3))
        case "directory":
            place.mkdir()
        case "socket":
            with socket.socket(socket.AF_UNIX) as mine:
                mine.bind(str(place))
    return "swapped"


ATTEMPTS: dict[str, Callable[..., Any]] = {
    "read": read,
    "write": write,
    "names": names,
    "connect": connect,
    "listen": listen,
    "send_to": send_to,
    "socket": lambda family, kind: socket.socket(family, kind).fileno(),
    "socketpair": lambda: [each.fileno() for each in socket.socketpair()],
    "kill": lambda pid, number: os.kill(pid, number) or "signalled",
    "kill_group": lambda: os.kill(-1, signal.SIGCONT) or "signalled",
    "queue_signal": lambda pid: call(129, pid, signal.SIGCONT, ctypes.create_string_buffer(128)),
    "signal_of_a_pipe": lambda pid: fcntl.fcntl(0, fcntl.F_SETOWN, pid),
    "number_of_a_signal": lambda number: fcntl.fcntl(0, fcntl.F_SETSIG, number),
    "trace": lambda pid: call(PTRACE, PTRACE_ATTACH, pid, 0, 0),
    "read_memory": lambda pid: call(PROCESS_VM_READV, pid, None, 0, None, 0, 0),
    "take_descriptor": lambda pid: call(PIDFD_GETFD, call(PIDFD_OPEN, pid, 0), 0, 0),
    "find_process": lambda pid: call(PIDFD_OPEN, pid, 0),
    "fork": fork,
    "vfork": lambda: call(58),
    "run_program": run_program,
    "spawn": spawn,
    "clone_namespace": lambda: call(56, CLONE_NEW_ALL | signal.SIGCHLD, 0, 0, 0, 0),
    "threads": threads_without_end,
    "symlink": lambda path: os.symlink("/etc/passwd", path) or "made",
    "link": lambda path: os.link(sys.executable, path) or "made",
    "fifo": lambda path: os.mkfifo(path) or "made",
    "device": lambda path: os.mknod(path, 0o020666, os.makedev(1, 1)) or "made",
    "chmod": lambda path: (Path(path).write_text("x"), os.chmod(path, 0o4755)) and "made",
    "io_uring": lambda: call(IO_URING_SETUP, 8, ctypes.create_string_buffer(256)),
    "bpf": lambda: call(BPF, 0, ctypes.create_string_buffer(128), 128),
    "userfaultfd": lambda: call(USERFAULTFD, 1),
    "keyctl": lambda: call(KEYCTL, 0, -3, 1),
    "add_key": lambda: call(ADD_KEY, b"user", b"name", b"x", 1, -3),
    "perf": lambda: call(PERF_EVENT_OPEN, ctypes.create_string_buffer(128), 0, -1, -1, 0),
    "mount": lambda path: call(MOUNT, b"none", path.encode(), b"tmpfs", 0, None),
    "new_mount": lambda: call(FSOPEN, b"tmpfs", 0),
    "unshare": lambda: syscalls.checked(syscalls.libc().unshare(CLONE_NEW_ALL), "unshare"),
    "setns": lambda fd: call(SETNS, fd, 0),
    "chroot": lambda path: os.chroot(path) or "done",
    "open_by_handle": lambda: call(OPEN_BY_HANDLE_AT, -100, ctypes.create_string_buffer(128), 0),
    "memfd": lambda: call(MEMFD_CREATE, b"x", 0),
    "dumpable": lambda: syscalls.libc().prctl(4, 1, 0, 0, 0) or "set",
    "raise_limit": raise_limit,
    "map_executable_file": map_executable_file,
    "burn": burn,
    "fill": fill,
    "segfault": segfault,
    "abort": os.abort,
    "swap": swap,
    "numbers": lambda: [os.getpid(), os.getppid()],
    "wait": lambda sec: time.sleep(sec),
}


def attempt(task: Task) -> Result:
    """One after the other, in one process."""
    if task.params.get("source"):
        task.source.read()
    return {"answers": [_answer(*each) for each in task.params["attempts"]], "layers": list(task.layers)}


def _answer(name: str, *arguments: Any) -> dict[str, Any]:
    try:
        return {"got": str(ATTEMPTS[name](*arguments)), "met": None, "errno": None}
    except OSError as error:
        return {"got": None, "met": type(error).__name__, "errno": error.errno}
    except (RuntimeError, MemoryError) as error:  # no more threads
        return {"got": None, "met": type(error).__name__, "errno": None}


OPERATIONS[attempt.__name__] = attempt

if __name__ == "__main__":
    fork_server.main(sys.argv[1:])
