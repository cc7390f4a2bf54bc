"""What botocore raises, told as this project's errors: a sentence that says what to do, and no secret."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto

from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    TokenRetrievalError,
)
from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError
from urllib3.exceptions import HTTPError

from backend.errors import (
    FramefleetError,
    NoPresignMethod,
    ObjectExists,
    ObjectNotFound,
    SourceChanged,
    SourceExpired,
    SourceForbidden,
    SourceNotFound,
    SourceUnreachable,
    StorageError,
)

S3_ERRORS = (ClientError, BotoCoreError, Boto3Error, RetriesExceededError, S3DownloadFailedError, HTTPError)
_NETWORK = (
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    RetriesExceededError,
    S3DownloadFailedError,
    HTTPError,
)
_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, TokenRetrievalError)


class Trouble(Enum):
    ABSENT = auto()
    NO_BUCKET = auto()
    PRECONDITION = auto()
    CONFLICT = auto()
    NOT_IMPLEMENTED = auto()
    WRONG_REGION = auto()
    FORBIDDEN = auto()
    EXPIRED = auto()
    NO_CREDENTIALS = auto()
    UNREACHABLE = auto()
    OTHER = auto()


_BY_CODE = {
    "NoSuchBucket": Trouble.NO_BUCKET,
    "ConditionalRequestConflict": Trouble.CONFLICT,
    "OperationAborted": Trouble.CONFLICT,
    "NotImplemented": Trouble.NOT_IMPLEMENTED,
    "PermanentRedirect": Trouble.WRONG_REGION,
    "AuthorizationHeaderMalformed": Trouble.WRONG_REGION,
    "IllegalLocationConstraintException": Trouble.WRONG_REGION,
    "ExpiredToken": Trouble.EXPIRED,
    "TokenRefreshRequired": Trouble.EXPIRED,
    "InvalidAccessKeyId": Trouble.FORBIDDEN,
    "SlowDown": Trouble.UNREACHABLE,
    "RequestTimeout": Trouble.UNREACHABLE,
}
# A HEAD has no body, so there the status is all there is.
_BY_STATUS = {
    301: Trouble.WRONG_REGION,
    401: Trouble.FORBIDDEN,
    403: Trouble.FORBIDDEN,
    404: Trouble.ABSENT,
    409: Trouble.CONFLICT,
    412: Trouble.PRECONDITION,
    429: Trouble.UNREACHABLE,
    501: Trouble.NOT_IMPLEMENTED,
}

_SENTENCES = {
    Trouble.ABSENT: "{uri} does not exist: check the name.",
    Trouble.NO_BUCKET: "The bucket of {uri} does not exist: create it, or correct the bucket's name.",
    Trouble.PRECONDITION: "{uri} changed meanwhile: submit the job again.",
    Trouble.CONFLICT: "Others write {uri} at this moment: try again.",
    Trouble.NOT_IMPLEMENTED: "The object store does not offer what {uri} needs: use one with the whole S3 API.",
    Trouble.WRONG_REGION: "The bucket of {uri} is in another region: set S3_REGION to the bucket's.",
    Trouble.FORBIDDEN: "Access to {uri} was refused ({code}): check that the credentials are in force, and allow them "
    "s3:GetObject, s3:PutObject and s3:ListBucket there.",
    Trouble.EXPIRED: "The session token for {uri} has expired ({code}): give the workers fresh credentials, then retry "
    "the job.",
    Trouble.NO_CREDENTIALS: "There are no usable credentials for {uri}: set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, or give the machine a role.",
    Trouble.UNREACHABLE: "The object store of {uri} cannot be reached or does not answer ({code}): check the network "
    "and S3_ENDPOINT_URL.",
    Trouble.OTHER: "The object store refused a request for {uri} ({code}): look the code up in its documentation.",
}

_STORE_ERRORS: dict[Trouble, type[FramefleetError]] = {
    Trouble.ABSENT: ObjectNotFound,
    Trouble.PRECONDITION: ObjectExists,
}
_SOURCE_ERRORS: dict[Trouble, type[FramefleetError]] = {
    Trouble.ABSENT: SourceNotFound,
    Trouble.NO_BUCKET: SourceNotFound,
    Trouble.PRECONDITION: SourceChanged,
    Trouble.FORBIDDEN: SourceForbidden,
    Trouble.EXPIRED: SourceExpired,
    Trouble.NO_CREDENTIALS: SourceForbidden,
    Trouble.WRONG_REGION: SourceForbidden,
}


def classify(error: Exception) -> Trouble:
    """What went wrong, whatever class botocore chose for it."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        unknown = Trouble.UNREACHABLE if status >= 500 else Trouble.OTHER
        return _BY_CODE.get(_code(error)) or _BY_STATUS.get(status, unknown)
    if isinstance(error, _CREDENTIALS):
        return Trouble.NO_CREDENTIALS
    return Trouble.UNREACHABLE if isinstance(error, _NETWORK) else Trouble.OTHER


@contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Raises ObjectNotFound, ObjectExists, or StorageError for all else."""
    try:
        yield
    except S3_ERRORS as error:
        raise _told(error, uri, _STORE_ERRORS, StorageError) from error


@contextmanager
def source_errors(uri: str) -> Iterator[None]:
    """Raises SourceNotFound, SourceForbidden, SourceChanged, or SourceUnreachable for all else."""
    try:
        yield
    except NoCredentialsError as error:
        raise NoPresignMethod(_SENTENCES[Trouble.NO_CREDENTIALS].format(uri=uri)) from error
    except S3_ERRORS as error:
        raise _told(error, uri, _SOURCE_ERRORS, SourceUnreachable) from error


def _told(
    error: Exception, uri: str, kinds: dict[Trouble, type[FramefleetError]], other: type[FramefleetError]
) -> FramefleetError:
    trouble = classify(error)
    sentence = "{uri} is already there." if kinds.get(trouble) is ObjectExists else _SENTENCES[trouble]
    return kinds.get(trouble, other)(sentence.format(uri=uri, code=_code(error)))


def _code(error: Exception) -> str:
    """The service's own code, or the class of a failure on the way there; never the message, which may name keys."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "unknown"))
    return type(error).__name__
