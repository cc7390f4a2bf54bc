"""The input as a person gives it to a command: a path, or the URI of something elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from backend.errors import SourceNotFound, UnsupportedInput
from backend.jobs.layout import source_key
from backend.jobs.service import NewJob
from backend.settings import Settings
from backend.storage.base import ObjectStore
from backend.storage.names import local_path, name_in, scheme_of

URI_SCHEMES = ("http", "https", "s3", "gs", "file")


def check_given(given: str) -> Path | None:
    """The file on this machine, or None for what lies elsewhere. Raises SourceNotFound, UnsupportedInput."""
    scheme = scheme_of(given)
    if scheme and scheme not in URI_SCHEMES:
        raise UnsupportedInput(f"{scheme:.20}:// is not read here: give a path or a file, s3, gs, http or https URI.")
    path = local_path(given)
    if path is not None and not _is_file(path):
        raise SourceNotFound(f"There is no file {given:.300}: check the path.")
    return path


def place_input(given: str, request: NewJob, settings: Settings, store: ObjectStore) -> NewJob:
    """The request with its input's URI and name: a local file is read in place where the store is this machine's own,
    else uploaded, since workers elsewhere cannot see it. Raises SourceNotFound, UnsupportedInput."""
    path = check_given(given)
    named = replace(request, input_name=name_in(given))
    if path is None:
        return replace(named, input_uri=given)
    if settings.storage_root_url.startswith("file://"):
        return replace(named, input_uri=path.resolve().as_uri())
    key = source_key(request.job_id)
    store.put_file(key, path)
    return replace(named, input_uri=store.uri(key))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have, or a folder that may not be looked into
        return False
