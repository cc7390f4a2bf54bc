"""The input as a person gives it to a command: a path, or the URI of something elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from backend.errors import SourceNotFound, UnsupportedInput
from backend.jobs.layout import source_key
from backend.jobs.service import NewJob
from backend.kinds import kind_named
from backend.settings import Settings
from backend.storage.base import ObjectStore
from backend.storage.names import local_path, name_in, scheme_of

URI_SCHEMES = ("http", "https", "s3", "gs", "file")


def check_given(given: str, parameter: str | None = None) -> Path | None:
    """The file on this machine, or None for what lies elsewhere. Raises SourceNotFound, with the parameter that
    names it, UnsupportedInput."""
    scheme = scheme_of(given)
    if scheme and scheme not in URI_SCHEMES:
        raise UnsupportedInput(f"{scheme:.20}:// is not read here: give a path or a file, s3, gs, http or https URI.")
    path = local_path(given)
    if path is not None and not _is_file(path):
        missing = f"There is no file {given:.300}: check the path."
        raise SourceNotFound(f"{parameter}: {missing}" if parameter else missing)
    return path


def place_input(given: str, request: NewJob, settings: Settings, store: ObjectStore) -> NewJob:
    """The request with its input's URI and name: a local file is read in place where the store is this machine's own,
    else uploaded, since workers elsewhere cannot see it. Raises SourceNotFound, UnsupportedInput."""
    input_uri = _placed(given, source_key(request.job_id), settings, store)
    params = _place_further(request, settings, store)
    return replace(request, input_name=name_in(given), input_uri=input_uri, params=params)


def _place_further(request: NewJob, settings: Settings, store: ObjectStore) -> dict[str, Any]:
    """The parameters, with URIs in place of the paths of further inputs. Raises SourceNotFound."""
    kind = kind_named(request.kind)
    uris: dict[str, str] = {}
    for field, given in kind.parse_params(request.params).inputs():
        check_given(given, field)
        uris[given] = _placed(given, source_key(request.job_id, f"input-{len(uris)}"), settings, store)
    placed = dict(request.params)
    for field in kind.params.input_fields:
        value = placed.get(field)
        if isinstance(value, str):
            placed[field] = uris[value]
        elif isinstance(value, list):
            placed[field] = [uris[each] for each in value]
    return placed


def _placed(given: str, key: str, settings: Settings, store: ObjectStore) -> str:
    """The URI that workers read it from."""
    path = check_given(given)
    if path is None:
        return given
    if settings.storage_root_url.startswith("file://"):
        return path.resolve().as_uri()
    store.put_file(key, path)
    return store.uri(key)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have, or a folder that may not be looked into
        return False
