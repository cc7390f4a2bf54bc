"""The filter of system calls: a list of those that decoding needs; every other is refused.

A list of what is allowed, not of what is refused: the kernel gains calls every year (io_uring, pidfd, new ways to
mount), and a list of bad ones would be behind on the day of its release. It is robust over versions of libc because
what is newer than the filter answers ENOSYS, as an older kernel would, and libc then takes its older way.

https://docs.kernel.org/userspace-api/seccomp_filter.html; the program is classic BPF over struct seccomp_data.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable, Mapping
from itertools import chain

from backend.media.jail import syscalls
from backend.media.jail.syscalls import NUMBERS

AUDIT_ARCHITECTURES = (0xC000003E, 0xC00000B7)  # x86-64, aarch64
SET_MODE_FILTER, FILTER_TSYNC, GET_ACTION_AVAIL = 1, 1, 2
RET_ALLOW, RET_ERRNO, RET_KILL = 0x7FFF0000, 0x00050000, 0x80000000
LOAD, JUMP_EQUAL, JUMP_AT_LEAST, AND, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
NR, ARCH, ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data; an argument has 8 bytes
# The newest call that there was when the filter was written (Linux 6.18); x86's x32 calls lie above it too.
NEWEST = 469
# As if this kernel had none: libc has another way.
PRETENDED_ABSENT = ("clone3",)

CLONE_THREAD = 0x10000
# A new namespace of any kind.
CLONE_NEW = 0x7E020080
PRCTLS = (15, 16, 3, 23, 39, 0x53564D41)  # names of threads, PR_GET_DUMPABLE, CAPBSET_READ, GET_NO_NEW_PRIVS, SET_VMA
IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5451)  # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX
# Of fcntl: copies, flags, locks, a pipe's size, seals. F_SETOWN and F_SETSIG would send any signal to any process.
FCNTLS = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032, 1033, 1034)
# FIOASYNC, FIOSETOWN, SIOCSPGRP: the same as an ioctl, which drivers have too many of to name them.
SIGNALLING_IOCTLS = (0x5452, 0x8901, 0x8902)
# Looked at more closely, or not for everybody.
CHOOSY = {"clone", "clone3", "prctl", "ioctl", "fcntl", "tgkill", "prlimit64", "sendto", "mmap", "execve"}
HARDWARE = {"memfd_create", "mlock", "munlock", "set_mempolicy", "mbind", "sched_setaffinity", "timerfd_create",
            "timerfd_settime"}  # fmt: skip
NEVER = {"seccomp", "capset", "pivot_root", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"}

Instruction = tuple[int, int, int, int]  # code, jump when true, jump when false, operand


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_Instruction)))


def is_here() -> bool:
    """Whether this kernel filters calls, and we know its numbers."""
    action = ctypes.c_uint32(RET_ERRNO)
    try:
        return syscalls.call("seccomp", GET_ACTION_AVAIL, 0, ctypes.byref(action)) == 0
    except OSError:
        return False


def restrict(*, hardware: bool = False, starts_program: bool = False) -> None:
    """All threads of this process, and all that it will ever start; it must have no_new_privs. Raises OSError."""
    steps = program(hardware=hardware, starts_program=starts_program)
    filled = (_Instruction * len(steps))(*(_Instruction(*step) for step in steps))
    syscalls.call("seccomp", SET_MODE_FILTER, FILTER_TSYNC, ctypes.byref(_Program(len(steps), filled)))


def program(*, hardware: bool = False, starts_program: bool = False) -> list[Instruction]:
    """The filter's instructions, for the process that asks: its number is in them.

    `hardware`: with what drivers of graphics cards need. `starts_program`: the process is about to become another
    program, which it may do again; Landlock says which one. Raises OSError on a machine whose calls we do not know.
    """
    column = syscalls.architecture()
    if column is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), "seccomp")
    numbers = {name: found[column] for name, found in NUMBERS.items() if found[column] is not None}
    plain = set(numbers) - CHOOSY - NEVER - (set() if hardware else HARDWARE)
    plain |= {"execve"} if starts_program else set()
    looked_at = _closer_looks(os.getpid(), hardware=hardware)
    return [
        (LOAD, 0, 0, ARCH),
        (JUMP_EQUAL, 1, 0, AUDIT_ARCHITECTURES[column]),
        (RETURN, 0, 0, RET_KILL),
        (LOAD, 0, 0, NR),
        (JUMP_AT_LEAST, 0, 1, NEWEST + 1),
        (RETURN, 0, 0, RET_ERRNO | errno.ENOSYS),
        *chain.from_iterable(_ranges(number for name in plain if (number := numbers[name]) is not None)),
        *_chosen(numbers, {name: steps for name, steps in looked_at.items() if name not in plain}),
        (RETURN, 0, 0, RET_ERRNO | errno.EPERM),
    ]


def _ranges(numbers: Iterable[int]) -> Iterable[list[Instruction]]:
    """Neighbours are asked for together."""
    found = sorted(numbers)
    while found:
        first = last = found.pop(0)
        while found and found[0] == last + 1:
            last = found.pop(0)
        if first == last:
            yield [(JUMP_EQUAL, 0, 1, first), (RETURN, 0, 0, RET_ALLOW)]
        else:
            yield [(JUMP_AT_LEAST, 0, 2, first), (JUMP_AT_LEAST, 1, 0, last + 1), (RETURN, 0, 0, RET_ALLOW)]


def _chosen(numbers: Mapping[str, int | None], looks: Mapping[str, list[Instruction]]) -> Iterable[Instruction]:
    for name, steps in looks.items():
        number = numbers.get(name)
        if number is not None:
            yield (JUMP_EQUAL, 0, len(steps), number)
            yield from steps


def _closer_looks(pid: int, *, hardware: bool) -> dict[str, list[Instruction]]:
    """Of calls that depend on what they ask for: each ends with an answer."""
    refused = (RETURN, 0, 0, RET_ERRNO | errno.EPERM)
    allowed = (RETURN, 0, 0, RET_ALLOW)
    return {
        # A thread of this process, and nothing else.
        "clone": [
            (LOAD, 0, 0, ARGUMENT),
            (AND, 0, 0, CLONE_THREAD | CLONE_NEW),
            (JUMP_EQUAL, 0, 1, CLONE_THREAD),
            allowed,
            refused,
        ],
        "clone3": [(RETURN, 0, 0, RET_ERRNO | errno.ENOSYS)],
        "prctl": [*_any_of(0, PRCTLS), refused],
        "fcntl": [*_any_of(1, FCNTLS), refused],
        # As of a file that is no terminal.
        "ioctl": [
            *_any_of(1, SIGNALLING_IOCTLS if hardware else IOCTLS, refused if hardware else allowed),
            allowed if hardware else (RETURN, 0, 0, RET_ERRNO | errno.ENOTTY),
        ],
        # abort() ends itself so.
        "tgkill": [*_any_of(0, (pid,)), refused],
        # Its own limits, which it can only lower.
        "prlimit64": [*_any_of(0, (0,)), refused],
        # To whom the socket is connected: no address.
        "sendto": [
            (LOAD, 0, 0, ARGUMENT + 4 * 8),
            (JUMP_EQUAL, 0, 3, 0),
            (LOAD, 0, 0, ARGUMENT + 4 * 8 + 4),
            (JUMP_EQUAL, 0, 1, 0),
            allowed,
            refused,
        ],
        "mmap": [allowed],
    }


def _any_of(argument: int, values: Iterable[int], answer: Instruction = (RETURN, 0, 0, RET_ALLOW)) -> list[Instruction]:
    """The answer to those; the lower half of an argument is what the kernel looks at in these calls."""
    steps: list[Instruction] = [(LOAD, 0, 0, ARGUMENT + argument * 8)]
    for value in values:
        steps += [(JUMP_EQUAL, 0, 1, value), answer]
    return steps
