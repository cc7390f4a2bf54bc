"""Inputs that a job's parameters name beside its source: other sound, subtitles, fonts."""

from __future__ import annotations

from backend.errors import SourceNotFound
from backend.kinds.params import Params
from backend.settings import Settings
from backend.storage import open_source
from backend.storage.base import Source
from backend.storage.pace import Cutoff


def open_input(params: Params, uri: str, settings: Settings, cutoff: Cutoff | None = None) -> Source:
    """Only what the parameters name, which was checked when the job was created. Raises SourceNotFound with the
    parameter's name, and else what `open_source` raises."""
    field = next(field for field, named in params.inputs() if named == uri)
    try:
        return open_source(uri, settings, cutoff=cutoff)
    except SourceNotFound as missing:
        raise SourceNotFound(f"{field}: {missing.message}") from missing


def check_inputs(params: Params, settings: Settings, cutoff: Cutoff | None = None) -> None:
    """That all of them are there, before any work is done. Raises as `open_input` does."""
    for _, uri in params.inputs():
        open_input(params, uri, settings, cutoff)
