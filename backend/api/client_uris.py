"""Which URIs a client may name as input or output: no file of this machine, and nothing of our own store."""

from __future__ import annotations

from backend.api.context import context
from backend.errors import UnsupportedInput
from backend.kinds.params import Params
from backend.storage.names import OBJECT_SCHEMES, is_below, is_object_uri, split_object_uri

REMOTE_SCHEMES = ("http", "https", *OBJECT_SCHEMES)


def check_input(uri: str, field: str) -> None:
    """Raises UnsupportedInput, which names the field."""
    _check_scheme(uri, REMOTE_SCHEMES, field)
    _check_prefix(uri, field)


def check_inputs(params: Params) -> None:
    """Of the further inputs that parameters name, as `check_input`."""
    for field, uri in params.inputs():
        check_input(uri, f"params.{field}")


def check_output(uri: str, field: str) -> None:
    """Raises UnsupportedInput, which names the field."""
    _check_scheme(uri, OBJECT_SCHEMES, field)
    _check_prefix(uri, field)


def _check_prefix(uri: str, field: str) -> None:
    """Our credentials reach our own store: nobody may read or overwrite other people's objects through them."""
    if not is_object_uri(uri):
        return
    settings = context().settings
    named = [prefix.strip() for prefix in settings.allowed_prefixes.split(",") if prefix.strip()]
    allowed = tuple(map(_with_small_scheme, named))
    is_refused = allowed and not _with_small_scheme(uri).startswith(allowed)
    if is_refused or is_below(uri, settings.storage_root_url):
        raise UnsupportedInput(f"{field}: this place is not open to clients.")


def _with_small_scheme(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    return scheme.lower() + separator + rest


def _check_scheme(uri: str, schemes: tuple[str, ...], field: str) -> None:
    """A file:// URI from outside would read this machine's own files."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme.lower() not in schemes or not rest:
        allowed = ", ".join(f"{name}://" for name in schemes)
        raise UnsupportedInput(f"{field}: must be a URI that begins with {allowed}")
    if is_object_uri(uri):
        split_object_uri(uri)
    elif any(char < " " for char in uri):
        raise UnsupportedInput(f"{field}: must not have control characters")
