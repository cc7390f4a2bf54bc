"""Which URIs a client may name as input or output: no file of this machine, nothing of our own store, and of the
buckets that our credentials reach only what ALLOWED_PREFIXES opens, or the tenant's own in its place."""

from __future__ import annotations

from typing import cast

from flask import g

from backend.access.tenants import allowed_prefixes_of
from backend.api.access import caller
from backend.api.context import context
from backend.errors import UnsupportedInput
from backend.kinds.params import Params
from backend.storage.guard import parse_target
from backend.storage.names import OBJECT_SCHEMES, is_object_uri, is_web, split_object_uri
from backend.storage.places import ClientPlaces

OF_TENANT = "{tenant}"  # in ALLOWED_PREFIXES
REMOTE_SCHEMES = ("http", "https", *OBJECT_SCHEMES)


def check_input(uri: str, field: str, *, film_beside: bool = False) -> None:
    """`film_beside`: the film goes into the same folder. Raises UnsupportedInput, which names the field."""
    _check_scheme(uri, REMOTE_SCHEMES, field)
    if is_web(uri):
        _check_url(uri, field)
    places = _places()
    places.check_input(uri, field)
    if film_beside:
        places.check_beside(uri, field)


def check_inputs(params: Params) -> None:
    """Of the further inputs that parameters name, as `check_input`."""
    for field, uri in params.inputs():
        check_input(uri, f"params.{field}")


def check_output(uri: str, field: str) -> None:
    """Raises UnsupportedInput, which names the field."""
    _check_scheme(uri, OBJECT_SCHEMES, field)
    _places().check_output(uri, field)


def check_put_url(url: str, field: str) -> None:
    """Raises UnsupportedInput, which names the field."""
    _check_scheme(url, ("http", "https"), field)
    _places().check_put_url(url, field)


def _check_url(url: str, field: str) -> None:
    """A password in it would be refused when it is read, and stay in the row until then."""
    try:
        parse_target(url)
    except UnsupportedInput as refusal:
        raise UnsupportedInput(f"{field}: {refusal.message}") from None


def _places() -> ClientPlaces:
    """Of the caller's tenant, whose name stands for `{tenant}` in a prefix; asked once in a request."""
    if "client_places" not in g:
        app, tenant = context(), caller().tenant
        allowed = allowed_prefixes_of(app.database, tenant, app.settings.allowed_prefixes)
        g.client_places = ClientPlaces(allowed.replace(OF_TENANT, tenant), app.settings)
    return cast(ClientPlaces, g.client_places)


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
