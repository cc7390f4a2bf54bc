"""What this machine can do to close the media process in, asked once where a process starts that would run one."""

from __future__ import annotations

import sys
from functools import cache

from backend.errors import JailUnavailable
from backend.events import Event, warn
from backend.media.jail import landlock, process, seccomp
from backend.media.jail.order import Mode
from backend.media.scratch import check_temporary_folder
from backend.settings import Settings

LANDLOCK = (
    "Landlock (Linux 5.13 or newer with landlock among its security modules, and a container runtime that passes its "
    "calls on, as Docker 23 does)"
)
SECCOMP = "seccomp filters (Linux 4.14 or newer on x86-64 or ARM64)"
GO_ON = (
    "Set MEDIA_JAIL=best-effort to go on with what there is, or MEDIA_JAIL=off: then code that is hidden in a video "
    "and takes over a decoder can do what this user can."
)


@cache
def missing() -> list[str]:
    """What is required and not to be had here, in words."""
    if sys.platform != "linux":
        return [f"{LANDLOCK} and {SECCOMP}: this is {sys.platform}"]
    found = {LANDLOCK: landlock.version() > 0, SECCOMP: seccomp.is_here()}
    return [name for name, is_here in found.items() if not is_here]


def require_jail(settings: Settings) -> None:
    """To be called where a process starts whose children will parse media. Hides this process from them, and warns of
    what they will lack.

    Raises JailUnavailable where that is not what the settings allow, TemporaryFolderUnsafe.
    """
    check_temporary_folder()
    if sys.platform == "linux":
        process.hide()
    mode, lacking = Mode(settings.media_jail), missing()
    if mode is Mode.OFF:
        warn(Event.JAIL_INCOMPLETE, message="MEDIA_JAIL=off: media is parsed with limits alone.")
    elif lacking and mode is Mode.REQUIRED:
        raise JailUnavailable(f"Videos are parsed in a jail, and this machine lacks {'; '.join(lacking)}. {GO_ON}")
    elif lacking:
        warn(Event.JAIL_INCOMPLETE, message=f"The jail of the media process lacks {'; '.join(lacking)}.")
