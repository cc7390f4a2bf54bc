"""Which object a URI means, however it is spelt, and which places are open to clients.

Our credentials reach more than any client may: what is not opened by name is closed, and our own store always is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from backend.errors import UnsupportedInput
from backend.settings import Settings
from backend.storage.guard import Target, parse_target
from backend.storage.names import is_object_uri, scheme_of, split_object_uri

AWS, GCS = "aws", "gcs"
MAX_DECODINGS = 4
# bucket.s3.eu-west-1.amazonaws.com, s3.amazonaws.com, s3-fips.dualstack.…, bucket.s3-accelerate.amazonaws.com
_AWS_HOST = re.compile(r"(?:(?P<bucket>.+)\.)?s3(?:[.-][a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?")
_GCS_HOST = re.compile(r"(?:(?P<bucket>.+)\.)?(?:commondata)?storage\.googleapis\.com|storage\.cloud\.google\.com")

CLOSED = "this place is not open to clients"
TO_OPEN = "The operator opens s3:// and gs:// places with ALLOWED_PREFIXES."


@dataclass(frozen=True)
class Spot:
    """An object, or a folder of them: the store that keeps it, its bucket and its key."""

    store: str
    bucket: str
    key: str


def spot_of(uri: str, settings: Settings) -> Spot | None:
    """The object that an s3 or gs URI, or a URL of a known store, means; None for a URL of anything else.

    Raises UnsupportedInput for what is malformed.
    """
    if is_object_uri(uri):
        return Spot(_own_endpoint(settings, scheme_of(uri)), *split_object_uri(uri))
    target = parse_target(uri)
    store, bucket = _host_in(target, settings)
    if store is None:
        return None
    path = unquote(target.path.partition("?")[0].partition("#")[0], errors="replace").lstrip("/")
    if bucket is not None:
        return Spot(store, bucket, path)
    bucket, _, key = path.partition("/")
    return Spot(store, bucket, key)


class ClientPlaces:
    """What a client may name as input and as output.

    `allowed` is ALLOWED_PREFIXES: s3:// and gs:// places with commas between them, each a folder, an object or a whole
    bucket. `closed` are folders below our own store that stay closed whatever is allowed; "" is all of it.
    """

    def __init__(self, allowed: str, settings: Settings, *, closed: tuple[str, ...] = ("",)) -> None:
        self._settings = settings
        prefixes = [prefix.strip() for prefix in allowed.split(",")]
        self._open = [_folder(prefix, settings) for prefix in prefixes if prefix]
        self._closed = closed if is_object_uri(settings.storage_root_url) else ()

    def check_input(self, uri: str, field: str) -> None:
        """Raises UnsupportedInput, which names the field. Links are whoever signed them's to give: the guard of
        addresses is all that they meet."""
        if is_object_uri(uri):
            self._check(uri, field)

    def check_beside(self, input_uri: str, field: str) -> None:
        """Of an input whose film goes beside it: that this folder is open too. Raises UnsupportedInput."""
        if is_object_uri(input_uri) and not self._is_open(f"{input_uri.rpartition('/')[0]}/film"):
            raise UnsupportedInput(f"{field}: its folder is not open to clients for the film: give output_uri.")

    def check_output(self, uri: str, field: str) -> None:
        """Of an s3 or gs URI. Raises UnsupportedInput, which names the field."""
        self._check(uri, field)

    def check_put_url(self, url: str, field: str) -> None:
        """Of a signed link: no link into our own store, whoever signed it. Raises UnsupportedInput."""
        try:
            is_ours = self._is_ours(url)
        except UnsupportedInput as malformed:
            raise UnsupportedInput(f"{field}: {malformed.message}") from None
        if is_ours:
            raise UnsupportedInput(f"{field}: {CLOSED}. Give a link into a store of your own.")

    def _check(self, uri: str, field: str) -> None:
        if self._is_ours(uri) or not self._is_open(uri):
            raise UnsupportedInput(f"{field}: {CLOSED}. {TO_OPEN}")

    def _is_open(self, uri: str) -> bool:
        spot = spot_of(uri, self._settings)
        return spot is not None and any(_covers(folder, spot) for folder in self._open)

    def _is_ours(self, uri: str) -> bool:
        """By the bucket's name alone where both are object URIs: some stores are reached by several endpoints."""
        spot = spot_of(uri, self._settings)
        if spot is None or not self._closed:
            return False
        root = _folder(self._settings.storage_root_url, self._settings)
        if not is_object_uri(uri) and spot.store != root.store:
            return False
        if spot.bucket.casefold() != root.bucket.casefold():
            return False
        folders = ["/".join(filter(None, (root.key.strip("/"), each.strip("/")))) for each in self._closed]
        return any(_lies_in(form.casefold(), folder.casefold()) for folder in folders for form in _forms(spot.key))


def _covers(folder: Spot, spot: Spot) -> bool:
    if (folder.store, folder.bucket) != (spot.store, spot.bucket):
        return False
    return all(_lies_in(form, folder.key.rstrip("/")) for form in _forms(spot.key))


def _lies_in(key: str, folder: str) -> bool:
    """At or below it: `pre` holds `pre/x` and not `prefix/x`; an empty one holds all."""
    return not folder or key == folder or key.startswith(f"{folder}/")


def _forms(key: str) -> Iterator[str]:
    """The key as it is, as S3 takes it, and as proxies and stores on file systems may walk it."""
    yield key
    walked = key
    for _ in range(MAX_DECODINGS):
        walked = unquote(walked, errors="replace")
    steps: list[str] = []
    for step in walked.replace("\\", "/").split("/"):
        if step == "..":
            del steps[-1:]
        elif step not in ("", "."):
            steps.append(step)
    yield "/".join(steps)


def _folder(uri: str, settings: Settings) -> Spot:
    spot = spot_of(uri, settings)
    assert spot is not None, "settings take s3 and gs URIs alone"
    return spot


def _own_endpoint(settings: Settings, scheme: str) -> str:
    """The store that our credentials are used with for this scheme: with an endpoint of its own one for both."""
    if settings.s3_endpoint_url is None:
        return GCS if scheme == "gs" else AWS
    parts = urlsplit(settings.s3_endpoint_url)
    return _store_named(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))[0]


def _store_named(host: str, port: int) -> tuple[str, str | None]:
    """The store behind a host, and the bucket that the host names."""
    host = host.casefold().rstrip(".")
    for store, pattern in ((AWS, _AWS_HOST), (GCS, _GCS_HOST)):
        match = pattern.fullmatch(host)
        if match:
            return store, match.group("bucket")
    return f"{host}:{port}", None


def _host_in(target: Target, settings: Settings) -> tuple[str | None, str | None]:
    """The known store that a URL leads to, and the bucket where the host names it; (None, None) for any other host."""
    store, bucket = _store_named(target.host, target.port)
    if store in (AWS, GCS):
        return store, bucket
    own = _own_endpoint(settings, "s3")
    if store == own:
        return own, None
    if store.endswith(f".{own}"):
        return own, store.removesuffix(f".{own}")
    return None, None
