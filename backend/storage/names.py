"""Names that cross the store's border: keys and URIs on the way in, download names on the way out."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from backend.errors import UnsupportedInput

MAX_KEY_CHARS = 512
MAX_SEGMENT_CHARS = 200  # under the 255 bytes that file systems allow
MAX_FILENAME_CHARS = 150
MAX_S3_KEY_BYTES = 1024

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

    Nothing is percent-decoded: in an object's URI `?`, `#` and `%` are characters of the key.
    Raises UnsupportedInput.
    """
    bucket, _, key = uri.partition("://")[2].partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise UnsupportedInput("The URI names no valid bucket: write s3://bucket/key or gs://bucket/key.")
    if len(key.encode("utf-8", "replace")) > MAX_S3_KEY_BYTES or not _is_printable(key):
        raise UnsupportedInput("The URI's key is too long or has control characters.")
    return bucket, key


def path_from_uri(uri: str) -> Path:
    """The absolute path of a `file://` URI. Raises UnsupportedInput for another machine's file or a bad path."""
    parts = urlsplit(uri)
    path = url2pathname(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
        raise UnsupportedInput("A file URI must look like file:///absolute/path on this machine.")
    return Path(path)


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
