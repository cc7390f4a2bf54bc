"""Which encoders work on this machine, tried for real in a media process."""

from __future__ import annotations

from pathlib import Path

from backend.errors import MediaError
from backend.events import Event, warn
from backend.media.encoder_names import HARDWARE
from backend.media.sandbox import NO_BYTES, MediaProcess
from backend.settings import Settings

NVIDIA = Path("/dev/nvidiactl")
TRIED_SIZE = (1280, 720)


def hardware_encoders(settings: Settings) -> list[str]:
    """Their names; each has encoded frames. Without a device nothing is tried, as trying takes a second."""
    if not NVIDIA.exists():
        return []
    try:
        return sorted(HARDWARE & set(working_encoders(settings)))
    except MediaError as failure:  # a driver that crashes is a driver that does not work
        warn(Event.ENCODER_FAILED, error_code=failure.code, message=failure.message)
        return []


def working_encoders(settings: Settings) -> list[str]:
    """Of all that films are made with. Raises MediaError where trying ends the media process."""
    params = {"width": TRIED_SIZE[0], "height": TRIED_SIZE[1]}
    with MediaProcess(
        "encoders",
        params,
        NO_BYTES,
        silence_sec=settings.sandbox_silence_seconds,
        memory_bytes=settings.sandbox_memory_bytes,
    ) as process:
        for _ in process.messages():  # it says nothing until its result
            continue
        return [str(name) for name in process.result["encoders"]]
