"""Which encoders and decoders work on this machine, and what of the jail, tried for real in a media process."""

from __future__ import annotations

from pathlib import Path

from backend.errors import FramefleetError
from backend.events import Event, warn
from backend.media.encoder_names import HARDWARE, NVDEC
from backend.media.limits import Limits
from backend.media.sandbox import NO_BYTES, MediaProcess
from backend.settings import Settings

NVIDIA = Path("/dev/nvidiactl")
TRIED_SIZE = (1280, 720)


def hardware_here(settings: Settings) -> list[str]:
    """The names of encoders and decoders in hardware; each has worked on frames. Without a device nothing is tried, as
    trying takes a second."""
    if not NVIDIA.exists():
        return []
    found: set[str] = set()
    for tried in (working_encoders, working_decoders):
        try:
            found.update(tried(settings))
        except FramefleetError as failure:  # a driver that crashes is a driver that does not work
            warn(Event.HARDWARE_FAILED, error_code=failure.code, message=failure.message)
    return sorted(found & (HARDWARE | {NVDEC}))


def working_encoders(settings: Settings) -> list[str]:
    """Of all that films are made with. Raises FramefleetError where trying ends the media process."""
    return _working("encoders", settings)


def working_decoders(settings: Settings) -> list[str]:
    """In hardware, whose frames are the CPU's own. Raises FramefleetError where trying ends the media process."""
    return _working("decoders", settings)


def layers_here(settings: Settings) -> list[str]:
    """Of the jail of media processes, those that are in force here. Raises JailUnavailable."""
    return _asked("jail", {}, settings, "layers")


def _working(operation: str, settings: Settings) -> list[str]:
    return _asked(operation, {"width": TRIED_SIZE[0], "height": TRIED_SIZE[1]}, settings, "working")


def _asked(operation: str, params: dict[str, int], settings: Settings, answer: str) -> list[str]:
    with MediaProcess(operation, params, NO_BYTES, Limits.of(settings)) as process:
        for _ in process.messages():  # it says nothing until its result
            continue
        return [str(name) for name in process.result[answer]]
