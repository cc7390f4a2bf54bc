"""System calls that Python has no function for, and the numbers of those that the filter knows."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache
from typing import Any

# Linux's numbers on x86-64 and, which has asm-generic's, aarch64; None where there is no such call.
ARCHITECTURES = ("x86_64", "aarch64")
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # Bytes of files that are open, and of channels.
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "preadv": (295, 69),
    "pwritev": (296, 70),
    "preadv2": (327, 286),
    "pwritev2": (328, 287),
    "lseek": (8, 62),
    "close": (3, 57),
    "close_range": (436, 436),
    "fcntl": (72, 25),
    "flock": (73, 32),
    "ftruncate": (77, 46),
    "fallocate": (285, 47),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "fadvise64": (221, 223),
    "readahead": (187, 213),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "pipe": (22, None),
    "pipe2": (293, 59),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_wait": (232, None),
    "epoll_pwait": (281, 22),
    "eventfd2": (290, 19),
    "copy_file_range": (326, 285),
    "sendfile": (40, 71),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "shutdown": (48, 210),
    "getsockopt": (55, 209),
    "ioctl": (16, 29),
    # Files by name: Landlock says which.
    "open": (2, None),
    "openat": (257, 56),
    "stat": (4, None),
    "lstat": (6, None),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "statfs": (137, 43),
    "fstatfs": (138, 44),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "getdents": (78, None),
    "getdents64": (217, 61),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getcwd": (79, 17),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rmdir": (84, None),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    # Memory.
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "msync": (26, 227),
    "mincore": (27, 232),
    "mlock": (149, 228),
    "munlock": (150, 229),
    "membarrier": (324, 283),
    "memfd_create": (319, 279),
    "get_mempolicy": (239, 236),
    "set_mempolicy": (238, 237),
    "mbind": (237, 235),
    # Threads.
    "clone": (56, 220),
    "clone3": (435, 435),
    "set_robust_list": (273, 99),
    "get_robust_list": (274, 100),
    "rseq": (334, 293),
    "futex": (202, 98),
    "futex_waitv": (449, 449),
    "gettid": (186, 178),
    "set_tid_address": (218, 96),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "sched_setaffinity": (203, 122),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126),
    "getpriority": (140, 141),
    "restart_syscall": (219, 128),
    "arch_prctl": (158, None),
    "prctl": (157, 167),
    # Time.
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "times": (100, 153),
    "getitimer": (36, 102),
    "setitimer": (38, 103),
    "timerfd_create": (283, 85),
    "timerfd_settime": (286, 86),
    # Signals to oneself, and children that were there before.
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137),
    "rt_sigsuspend": (130, 133),
    "sigaltstack": (131, 132),
    "pause": (34, None),
    "tgkill": (234, 131),
    "wait4": (61, 260),
    "waitid": (247, 95),
    # Who and where one is.
    "getpid": (39, 172),
    "getppid": (110, 173),
    "getpgrp": (111, None),
    "getpgid": (121, 155),
    "getsid": (124, 156),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getresuid": (118, 148),
    "getresgid": (120, 150),
    "getgroups": (115, 158),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "getrusage": (98, 165),
    "getrlimit": (97, 163),
    "prlimit64": (302, 261),
    "getrandom": (318, 278),
    "getcpu": (309, 168),
    "capget": (125, 90),
    # Another program in this one's place: while one is started.
    "execve": (59, 221),
    # What closes the process in; not in any filter.
    "seccomp": (317, 277),
    "capset": (126, 91),
    "pivot_root": (155, 41),
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
}


@cache
def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def architecture() -> int | None:
    """The column of NUMBERS that is this machine's; None for one that the filter does not know."""
    machine = platform.machine()
    return ARCHITECTURES.index(machine) if machine in ARCHITECTURES and ctypes.sizeof(ctypes.c_void_p) == 8 else None


def number(name: str) -> int | None:
    column = architecture()
    return None if column is None else NUMBERS[name][column]


def call(name: str, *arguments: Any) -> int:
    """What the kernel answers. Raises OSError, with ENOSYS for a call that this machine does not have."""
    known = number(name)
    if known is None:
        raise OSError(38, os.strerror(38), name)
    return checked(libc().syscall(ctypes.c_long(known), *map(_as_word, arguments)), name)


def checked(answer: int, name: str) -> int:
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)
    return answer


def _as_word(argument: Any) -> Any:
    """A register's worth: a variadic call would pass an int in half of one."""
    return ctypes.c_long(argument) if isinstance(argument, int) else argument
