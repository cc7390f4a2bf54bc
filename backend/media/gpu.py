"""The GPU of this machine, asked of the driver: torch would take seconds and memory to say it."""

from __future__ import annotations

from dataclasses import dataclass

import pynvml

MIB = 2**20


@dataclass(frozen=True)
class GpuFacts:
    """Of the first GPU; all None where there is none. Memory in MiB, used by whatever process."""

    cuda_available: bool = False
    device_name: str | None = None
    memory_total_mb: int | None = None
    memory_used_mb: int | None = None
    memory_reserved_mb: int | None = None
    memory_free_mb: int | None = None


def gpu_facts() -> GpuFacts:
    """Never raises: a machine without a driver, or whose driver is broken, has no GPU."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return GpuFacts()
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
        name = pynvml.nvmlDeviceGetName(handle)
    except pynvml.NVMLError:
        return GpuFacts()
    finally:
        pynvml.nvmlShutdown()
    return GpuFacts(
        cuda_available=True,
        device_name=name if isinstance(name, str) else name.decode(errors="replace"),
        memory_total_mb=memory.total // MIB,
        memory_used_mb=memory.used // MIB,
        memory_reserved_mb=memory.reserved // MIB,
        memory_free_mb=memory.free // MIB,
    )
