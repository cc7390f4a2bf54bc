"""Landlock: which files may be touched at all, no TCP, and no signals or abstract sockets to anybody outside.

https://docs.kernel.org/userspace-api/landlock.html. What an older kernel does not know is left out of the rule set.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from backend.media.jail import syscalls

VERSION_FLAG = 1
RULE_PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
# All that each version can refuse; REFER (2), TRUNCATE (3), IOCTL_DEV (5).
FILE_RIGHTS = {1: 2**13 - 1, 2: 2**14 - 1, 3: 2**15 - 1, 4: 2**15 - 1, 5: 2**16 - 1}
NET_RIGHTS = 0b11  # bind and connect TCP, from version 4 on
SCOPES = 0b11  # abstract sockets and signals, from version 6 on
NET_SINCE, SCOPES_SINCE = 4, 6
# Rights that mean something for a file; the others are a folder's.
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READ = READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | TRUNCATE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG
DEVICE = READ_FILE | WRITE_FILE | IOCTL_DEV


class _RulesetAttr(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def version() -> int:
    """Of the kernel's interface; 0 where there is none."""
    try:
        return syscalls.call("landlock_create_ruleset", None, 0, VERSION_FLAG)
    except OSError:
        return 0


def ruleset(allowed: Iterable[tuple[Path, int]]) -> int:
    """A descriptor of the rules: what is under those paths may be done with them, and nothing else. Paths that are not
    there are left out. Raises OSError."""
    known = version()
    handled = FILE_RIGHTS[min(known, max(FILE_RIGHTS))]
    attr = _RulesetAttr(handled, NET_RIGHTS * (known >= NET_SINCE), SCOPES * (known >= SCOPES_SINCE))
    size = 8 if known < NET_SINCE else 16 if known < SCOPES_SINCE else 24
    rules = syscalls.call("landlock_create_ruleset", ctypes.byref(attr), size, 0)
    try:
        for path, rights in allowed:
            _allow(rules, path, rights & handled)
    except OSError:
        os.close(rules)
        raise
    return rules


def restrict(rules: int) -> None:
    """This thread, and all that it will ever start; it must have no_new_privs. Raises OSError."""
    syscalls.call("landlock_restrict_self", rules, 0)


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= ON_FILES
        attr = _PathBeneathAttr(rights, fd)
        syscalls.call("landlock_add_rule", rules, RULE_PATH_BENEATH, ctypes.byref(attr), 0)
    finally:
        os.close(fd)
