"""What a worker says of the machine that it runs on, in words for whoever looks after the fleet."""

from __future__ import annotations

import os
import socket

from backend.errors import ModelMissing, writable
from backend.media.gpu import gpu_facts
from backend.media.hardware import NVIDIA
from backend.settings import Settings
from backend.vision.detector import Runtime, runtime_of

MAX_CHARACTERS = 200


def machine_name() -> str:
    return writable(socket.gethostname())[:MAX_CHARACTERS]


def device_words(settings: Settings) -> str:
    """As in "NVIDIA H100 80GB HBM3", or "CPU, 2 threads, OpenVINO"."""
    runtime = _runtime(settings)
    if runtime is Runtime.ULTRALYTICS and settings.use_gpu and NVIDIA.exists():
        name = gpu_facts().device_name
        if name is not None:
            return writable(name)[:MAX_CHARACTERS]
    threads = settings.threads or len(os.sched_getaffinity(0))
    words = f"CPU, {threads} {'thread' if threads == 1 else 'threads'}"
    return words if runtime is None else f"{words}, {runtime}"


def _runtime(settings: Settings) -> Runtime | None:
    try:
        return runtime_of(settings)
    except ModelMissing:  # whoever opens it says so
        return None
