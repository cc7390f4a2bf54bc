"""Names that cross the store's border: keys and URIs on the way in, download names on the way out."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import unicodedata
from pathlib import Path
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from backend.errors import UnsupportedInput, writable

MAX_KEY_CHARS = 512
MAX_SEGMENT_CHARS = 200  # under the 255 bytes that file systems allow
MAX_FILENAME_CHARS = 150
MAX_NAME_BYTES = 255
MAX_S3_KEY_BYTES = 1024
OBJECT_SCHEMES = ("s3", "gs")

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}")


def check_key(key: str) -> str:
    """The key itself, when it is one that framefleet generates. Raises ValueError for every other one."""
    segments = key.split("/")
    if not _KEY.fullmatch(key) or len(key) > MAX_KEY_CHARS:
        raise ValueError(f"not an object key: {key[:80]!r}")
    if any(segment in ("", ".", "..") or len(segment) > MAX_SEGMENT_CHARS for segment in segments):
        raise ValueError(f"not an object key: {key[:80]!r}")
    return key


def check_prefix(prefix: str) -> str:
    """The prefix itself, when keys can begin with it (`""` is every key). Raises ValueError for every other one."""
    if prefix:
        check_key(prefix + "x" if prefix.endswith("/") else prefix)
    return prefix


def check_folder(prefix: str) -> str:
    """The prefix itself, when it names a folder of keys. Raises ValueError for every other one."""
    if not prefix.endswith("/"):
        raise ValueError(f"not a folder of objects: {prefix[:80]!r}")
    return check_prefix(prefix)


def split_object_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key` or `gs://bucket/key`; the key may be empty.

    Nothing is percent-decoded: in an object's URI `?`, `#` and `%` are characters of the key, and so are line breaks.
    Raises UnsupportedInput.
    """
    bucket, _, key = uri.partition("://")[2].partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise UnsupportedInput("The URI names no valid bucket: write s3://bucket/key or gs://bucket/key.")
    try:
        size_bytes = len(key.encode())
    except UnicodeEncodeError:
        raise UnsupportedInput("The URI's key is no UTF-8: object stores have no such keys.") from None
    if size_bytes > MAX_S3_KEY_BYTES or "\0" in key:
        raise UnsupportedInput(f"The URI's key is longer than {MAX_S3_KEY_BYTES} bytes, or has a NUL.")
    # Some stores and proxies walk such steps as in a file system, which leads out of a prefix that is allowed.
    if any(segment in (".", "..") for segment in key.split("/")):
        raise UnsupportedInput("The URI's key has a step that is . or .. alone: give the object another key.")
    return bucket, key


def is_object_uri(uri: str) -> bool:
    return scheme_of(uri) in OBJECT_SCHEMES


def is_web(uri: str) -> bool:
    return scheme_of(uri) in ("http", "https")


def scheme_of(uri: str) -> str:
    """In small letters; empty for what is a path."""
    return uri.partition("://")[0].lower() if "://" in uri else ""


def path_from_uri(uri: str) -> Path:
    """The absolute path of a `file://` URI, percent-decoded byte by byte: a name need not be UTF-8.

    `?` and `#` are characters of the path. Raises UnsupportedInput for another machine's file or a bad path.
    """
    host, slash, path = uri.partition("://")[2].partition("/")
    decoded = os.fsdecode(unquote_to_bytes(os.fsencode(slash + path)))
    if host not in ("", "localhost") or not slash or scheme_of(uri) != "file" or "\0" in decoded:
        raise UnsupportedInput("A file URI must look like file:///absolute/path on this machine.")
    return Path(decoded)


def local_path(given: str) -> Path | None:
    """Where a path or a `file://` URI leads; None for the URI of something elsewhere. Raises UnsupportedInput."""
    scheme = scheme_of(given)
    if scheme == "file":
        return path_from_uri(given)
    return None if scheme else Path(given)


def name_in(uri: str) -> str:
    """What the user calls the object or file behind a URI (or a path): text that any database and page can hold.

    Raises UnsupportedInput for what is no URI.
    """
    path = local_path(uri)
    if path is not None:
        name = path.name
    elif is_object_uri(uri):
        name = uri.rstrip("/").rpartition("/")[2] if uri.count("/") > 2 else ""
    else:
        try:
            path_in_url = urlsplit(uri).path
        except ValueError:
            raise UnsupportedInput("The URL is malformed: write http(s)://host/path.") from None
        name = unquote(path_in_url.rstrip("/").rpartition("/")[2], errors="replace")
    return writable(name) or "video"


def derived_name(name: str, tail: str, max_bytes: int = MAX_NAME_BYTES) -> str:
    """`name` with `tail`, as in `_cropped.mp4`, in place of its extension, every other character as it is.

    Too long a name is shortened and told apart by a hash of the whole of it.
    """
    return shortened(posixpath.splitext(name)[0] or "video", tail, name, max_bytes)


def film_name(input_name: str, tail: str) -> str:
    """The film's file name, made from what the user calls the input."""
    return derived_name(tame_name(input_name), tail)


def tame_name(name: str) -> str:
    """A file name with letters of every script, and nothing that leads elsewhere or changes how the name reads
    (control characters, bidi overrides)."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join("_" if _is_unruly(char) else char for char in last).strip(" .") or "video"


def shortened(stem: str, ending: str, whole: str, max_bytes: int) -> str:
    """`stem + ending` in at most `max_bytes` of UTF-8, never cut inside of a character."""
    if len(os.fsencode(stem + ending)) <= max_bytes:
        return stem + ending
    mark = "-" + hashlib.sha256(os.fsencode(whole)).hexdigest()[:12]
    room_bytes = max_bytes - len(os.fsencode(mark + ending))
    return os.fsencode(stem)[:room_bytes].decode("utf-8", "ignore") + mark + ending


def content_disposition(filename: str) -> str:
    """The header that makes a browser save under `filename` (RFC 6266, with RFC 8187's UTF-8 form)."""
    name = re.split(r"[/\\]", filename)[-1]
    name = "".join(char for char in name if _is_printable(char)).strip(" .")[:MAX_FILENAME_CHARS] or "download"
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9 ._()+-]", "_", plain).strip(" .") or "download"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _is_printable(text: str) -> bool:
    """No control, format (bidi overrides), surrogate or unassigned characters."""
    return not any(unicodedata.category(char).startswith("C") for char in text)


def _is_unruly(char: str) -> bool:
    """Joiners (U+200C, U+200D) are letters' own; what else has no shape of its own may hide what a name says."""
    return char not in "\u200c\u200d" and not _is_printable(char)
