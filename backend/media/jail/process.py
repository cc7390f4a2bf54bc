"""What a process asks of the kernel for itself: limits, no privileges, to end with its parent, and not to be read."""

from __future__ import annotations

import ctypes
import resource
import signal
from pathlib import Path

from backend.media.jail import syscalls

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
CAPABILITY_VERSION = 0x20080522
# What there will be of capabilities for a while: dropping one that the kernel lacks is refused, and ends the loop.
CAPABILITIES = 64
OPEN_FILES = 4096  # a long film is joined of more than a thousand pieces, all of them open
XCPU_GRACE_SEC = 5
NVIDIA = Path("/dev/nvidiactl")


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def end_with_parent() -> None:
    """Whatever ends the parent ends this process; strictly, the thread that started it. One that has ended before is
    not noticed: somebody has to wait, or to look."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def hide() -> None:
    """Nobody of the same user may read this process's environment and memory, or trace it. It leaves no core."""
    prctl(PR_SET_DUMPABLE, 0)


def forbid_privileges() -> None:
    """No program that this process might start gets more rights than it has; a root's are given up. Raises OSError."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    for capability in range(CAPABILITIES):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:  # not one that could be dropped, and there is none behind it
            break
    nothing = (ctypes.c_uint32 * 6)()
    syscalls.call("capset", ctypes.byref(_CapabilityHeader(CAPABILITY_VERSION, 0)), ctypes.byref(nothing))


def limit(*, memory_bytes: int, cpu_sec: int, file_bytes: int) -> None:
    """The limits that every Unix has. Past `cpu_sec` the process ends by SIGXCPU; a file that grows past `file_bytes`
    is an OSError (Python ignores the signal)."""
    # CUDA, which NVENC needs, reserves more addresses than any machine has memory: there what is written to counts.
    memory = resource.RLIMIT_DATA if NVIDIA.exists() else resource.RLIMIT_AS
    for kind, most in (
        (memory, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        _lower(kind, most, most)
    _lower(resource.RLIMIT_CPU, cpu_sec, cpu_sec + XCPU_GRACE_SEC)
    _lower(resource.RLIMIT_CORE, 0, 0)


def _lower(kind: int, soft: int, hard: int) -> None:
    """Never past what whoever started us was given."""
    _, given = resource.getrlimit(kind)
    if given != resource.RLIM_INFINITY:
        soft, hard = min(soft, given), min(hard, given)
    resource.setrlimit(kind, (soft, hard))


def prctl(option: int, value: int) -> None:
    """Raises OSError."""
    word = ctypes.c_ulong
    answer = syscalls.libc().prctl(ctypes.c_int(option), word(value), word(0), word(0), word(0))
    syscalls.checked(answer, "prctl")
