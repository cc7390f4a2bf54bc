"""Which decoder a chunk's work takes: the GPU's where it serves, else the CPU's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from backend.errors import HardwareDecoderUnfit
from backend.events import Event, warn
from backend.kinds.context import ChunkContext
from backend.kinds.params import Params
from backend.media.encoder_names import NVDEC

Result = TypeVar("Result")


def on_best_decoder(work: ChunkContext[Params], do: Callable[[bool], Result]) -> Result:
    """What `do(in_hardware)` returns: done on the GPU where this worker has a decoder that suits the film, and anew on
    the CPU where it turns out to give other frames. That job stays on the CPU here."""
    tools = work.tools
    if _may_try(work):
        try:
            return do(True)
        except HardwareDecoderUnfit as unfit:
            tools.unfit_jobs.add(work.job_id)
            ids = {"job_id": work.job_id, "chunk_index": work.chunk_index}
            warn(Event.HARDWARE_DECODER_UNFIT, **ids, message=unfit.message)
    return do(False)


def _may_try(work: ChunkContext[Params]) -> bool:
    is_here = NVDEC in work.tools.hardware and work.settings.hardware_decode
    return is_here and work.facts.suits_hardware and work.job_id not in work.tools.unfit_jobs
