"""Closes this process in, for good: called by the child when all that it needs is imported, and before it has read a
byte of the source."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from backend.errors import JailUnavailable
from backend.media.jail import landlock, namespaces, process, seccomp
from backend.media.jail.order import Jail, Layer, Mode

# Covered by the empty root, in which it is not needed.
COVERED = Path("/proc")
# A driver's libraries, which it loads when a card is first used, and what it asks the kernel.
DRIVER_FILES = tuple(
    map(Path, ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/sys/devices", "/sys/bus/pci", "/proc/self",
               "/proc/driver", "/proc/devices", "/proc/modules", "/proc/cpuinfo", "/proc/meminfo"))
)  # fmt: skip
DRIVER_DEVICES = ("nvidia*", "dri", "null", "zero", "urandom")

# Python looks for an encoding's module when it is first asked for; by then this process opens none. Archives of arrays
# (.npz) have names in cp437, subtitles may begin with a mark.
for encoding in ("cp437", "utf-8-sig", "utf-16", "utf-32", "latin-1", "ascii"):
    codecs.lookup(encoding)


def lock(jail: Jail, scratch: Path, *, hardware: bool) -> list[Layer]:
    """Returns the layers that are in force beside the limits. `hardware`: the operation uses the graphics card, where
    there is one.

    Raises JailUnavailable where the order requires a layer that this machine lacks.
    """
    process.limit(memory_bytes=jail.memory_bytes, cpu_sec=jail.cpu_sec, file_bytes=jail.file_bytes)
    if jail.mode is Mode.OFF:
        return []
    if sys.platform != "linux":
        if jail.mode is Mode.REQUIRED:
            raise _lacking("everything", f"this is {sys.platform}")
        return []
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - each entry is a name alone
        raise JailUnavailable("A thread was started before the media process was closed in.")
    hardware = hardware and process.NVIDIA.exists()
    folders = [scratch, *([jail.folder] if jail.folder else [])]
    in_force = {Layer.NAMESPACES} if _is_own_world(jail, folders, hardware) else set()
    process.hide()
    return sorted(in_force | restrict(jail, _allowed(folders, hardware), hardware=hardware))


def restrict(
    jail: Jail, rules: Sequence[tuple[Path, int]], *, hardware: bool = False, starts_program: bool = False
) -> set[Layer]:
    """Takes privileges, files, the network and calls away from this process; returns the layers that are in force.
    Raises JailUnavailable."""
    process.forbid_privileges()
    found = set()
    if jail.has(Layer.LANDLOCK) and _done(jail, Layer.LANDLOCK, lambda: landlock.restrict(landlock.ruleset(rules))):
        found.add(Layer.LANDLOCK)
    if jail.has(Layer.SECCOMP) and _done(
        jail, Layer.SECCOMP, lambda: seccomp.restrict(hardware=hardware, starts_program=starts_program)
    ):
        found.add(Layer.SECCOMP)
    return found


def _is_own_world(jail: Jail, folders: list[Path], hardware: bool) -> bool:
    """Whether namespaces are in force, which never are required."""
    if not (jail.has(Layer.NAMESPACES) and namespaces.is_entered()):
        return False
    namespaces.limit_processes()
    if not hardware:
        try:
            namespaces.own_mounts()
            namespaces.empty_root(COVERED, folders)
        except OSError:
            return False  # what is there of them stays
    return True


def _allowed(folders: Iterable[Path], hardware: bool) -> list[tuple[Path, int]]:
    allowed = [(folder, landlock.WRITE) for folder in folders]
    if hardware:
        allowed += [(path, landlock.READ) for path in DRIVER_FILES]
        allowed += [(path, landlock.DEVICE) for name in DRIVER_DEVICES for path in Path("/dev").glob(name)]
    return allowed


def _done(jail: Jail, layer: Layer, close: Callable[[], None]) -> bool:
    try:
        close()
    except OSError as error:
        if jail.mode is Mode.REQUIRED:
            raise _lacking(layer, error.strerror or str(error)) from error
        return False
    return True


def _lacking(what: str, why: str) -> JailUnavailable:
    return JailUnavailable(
        f"The media process could not be closed in ({what}: {why}). See MEDIA_JAIL in docs/running.md."
    )
