"""Where bytes live: the object store of this installation, and the sources that jobs read."""

from __future__ import annotations

from urllib.parse import quote

from backend.errors import MediaTooLarge, NoPresignMethod, SourceChanged, UnsupportedInput
from backend.settings import Settings
from backend.storage.base import Destination, ObjectStore, Source
from backend.storage.guard import OwnHosts
from backend.storage.local import LocalStore
from backend.storage.local_file import FileSource
from backend.storage.names import path_from_uri, scheme_of, split_object_uri
from backend.storage.pace import Cutoff

WHERE_PUBLIC = "Or set R2_PUBLIC_BASE_URL to where the bucket can be read by anybody."


def open_store(settings: Settings) -> ObjectStore:
    """The store at `storage_root_url`. Raises StorageError, or UnsupportedInput for a malformed URL."""
    return open_folder(settings.storage_root_url, settings)


def open_folder(url: str, settings: Settings) -> ObjectStore:
    """The objects below a file, s3 or gs URL, as a store. Raises as `open_store` does."""
    scheme = scheme_of(url)
    if scheme == "file":
        return LocalStore(path_from_uri(url))
    if scheme not in ("s3", "gs"):
        raise UnsupportedInput("STORAGE_URL must begin with file://, s3:// or gs://.")
    from backend.storage.s3 import S3Store, make_client  # boto3 costs a third of a second that a local run need not pay

    bucket, prefix = split_object_uri(url)
    return S3Store(bucket, prefix, make_client(settings, scheme), scheme=scheme)


def open_source(uri: str, settings: Settings, *, etag: str | None = None, cutoff: Cutoff | None = None) -> Source:
    """The source behind a file, s3, gs, http or https URI; with `etag`, only in that version. `cutoff` ends its reads.

    Whether a user may name a file of this machine is the caller's to decide.
    Raises UnsupportedInput, SourceNotFound, SourceForbidden, SourceUnreachable, MediaTooLarge above
    `max_source_bytes`, and SourceChanged when the etag is another one.
    """
    source = _open(uri, settings, etag, cutoff)
    if source.info.size_bytes > settings.max_source_bytes:
        raise MediaTooLarge(f"The source is larger than {settings.max_source_bytes} bytes: send a shorter video.")
    if etag is not None and source.info.etag != etag:
        raise SourceChanged(f"{source.uri} changed since the job was made: submit the job again.")
    return source


def open_destination(
    uri: str, settings: Settings, *, owner: str | None = None, keeps_existing: bool = False, hasty: bool = False
) -> Destination:
    """The object that an s3 or gs URI, or a presigned PUT URL, names, to be written by the job `owner`; with
    `keeps_existing` over nothing but its own. `hasty`: for a look that is worth no wait.

    Raises UnsupportedInput, StorageError.
    """
    scheme = scheme_of(uri)
    if scheme in ("http", "https"):
        from backend.storage.http_put import PutUrl

        return PutUrl(
            uri,
            allow_private=settings.http_allow_private,
            stall_sec=settings.source_stall_seconds,
            own_hosts=OwnHosts(settings.http_allowed_hosts),
        )
    from backend.storage.s3 import make_client
    from backend.storage.s3_object import S3Object

    bucket, key = split_object_uri(uri)
    if not key:
        raise UnsupportedInput(f"{scheme}://{bucket} names a bucket: add the key of the film.")
    client = make_client(settings, scheme, for_source=hasty)
    return S3Object(bucket, key, client, scheme=scheme, owner=owner, keeps_existing=keeps_existing)


def public_url(bucket: str, key: str, settings: Settings) -> str | None:
    """Where anybody may read the object: below R2_PUBLIC_BASE_URL or VIDEOS_PUBLIC_BASE_URL; None where nobody may."""
    videos = settings.videos_public_bucket or settings.videos_bucket
    if settings.videos_public_base_url is not None and bucket == videos:
        base = settings.videos_public_base_url
    elif settings.public_base_url is not None and settings.public_bucket in (None, bucket):
        base = settings.public_base_url
    else:
        return None
    return f"{base.rstrip('/')}/{quote(key)}"


def _open(uri: str, settings: Settings, etag: str | None, cutoff: Cutoff | None) -> Source:
    match scheme := scheme_of(uri):
        case "file":
            return FileSource(path_from_uri(uri))
        case "s3" | "gs":
            return _open_object(uri, scheme, settings, etag, cutoff)
        case "http" | "https":
            from backend.storage.http import HttpSource

            return HttpSource(
                uri,
                allow_private=settings.http_allow_private,
                max_bytes=settings.max_source_bytes,
                stall_sec=settings.source_stall_seconds,
                etag=etag,
                own_hosts=OwnHosts(settings.http_allowed_hosts),
                cutoff=cutoff,
            )
        case _:
            raise UnsupportedInput("The input's scheme is not read here: use file, s3, gs, http or https.")


def _open_object(uri: str, scheme: str, settings: Settings, etag: str | None, cutoff: Cutoff | None) -> Source:
    from backend.storage.s3 import make_client
    from backend.storage.s3_source import S3Source

    bucket, key = split_object_uri(uri)
    if not key:
        raise UnsupportedInput(f"{scheme}://{bucket} names a bucket: add the key of a video.")
    client = make_client(settings, scheme, for_source=True)
    try:
        return S3Source(client, bucket, key, scheme=scheme, stall_sec=settings.source_stall_seconds, cutoff=cutoff)
    except NoPresignMethod as failure:
        url = public_url(bucket, key, settings)
        if url is None:
            raise NoPresignMethod(f"NO_PRESIGN_METHOD_AVAILABLE: {failure.message} {WHERE_PUBLIC}") from failure
    return _open(url, settings, etag, cutoff)
