"""Typed errors. Each has a stable `code`, a sentence that says what to do, and says whether a retry can help."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar

_UNWRITABLE = re.compile("[\0\ud800-\udfff]")


class Fault(StrEnum):
    """Whose failure an error is. backend/queue/outcome.py decides by it what becomes of the work."""

    WORK = "work"  # the chunk's, the job's, or this code's: it counts
    PLACE = "place"  # what the job names cannot be read or written: it counts, unless our own store is away too
    ENVIRONMENT = "environment"  # our store, disk, network or database: the work goes back, and nothing counts
    VERSION = "version"  # a newer worker wrote what this one cannot read: the work goes back, for that one


class FramefleetError(Exception):
    """Base of every error a user or an operator may see. `code` is part of the API; `retryable` and `fault` steer the
    queue."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False
    # Twice in a row is enough: each try costs a minute or more of doing nothing.
    final_when_repeated: ClassVar[bool] = False
    fault: ClassVar[Fault] = Fault.WORK
    retry_after_sec: int | None = None  # what a client is told, where it is known

    def __init__(self, message: str) -> None:
        # A message may quote a file's name, and ends in a database, a log and a page.
        self.message = writable(message)
        super().__init__(self.message)


def writable(text: str) -> str:
    """The text as any database, log or page takes it: bytes that are no UTF-8 and NUL become U+FFFD."""
    return _UNWRITABLE.sub("\ufffd", text)


# What the user sent.
class InvalidRequest(FramefleetError):
    """The request cannot be read."""

    code = "invalid_request"

    def __init__(self, message: str, fields: Sequence[tuple[str, str]] = ()) -> None:
        """`fields`: each value that is wrong, by its name, and what it must be."""
        super().__init__(message)
        self.fields = [(writable(name), writable(words)) for name, words in fields]


class UnsupportedMediaType(InvalidRequest):
    """The body is of a type that this route does not take."""

    code = "unsupported_media_type"


class HostNotAllowed(InvalidRequest):
    """The server is not known by this name."""

    code = "host_not_allowed"


class InvalidValue(InvalidRequest):
    """A value of the request is not allowed."""

    code = "invalid_value"


class InvalidParams(InvalidRequest):
    """A parameter of the job's kind is not allowed."""

    code = "invalid_params"


class KeyReused(InvalidRequest):
    """The Idempotency-Key belongs to another request."""

    code = "idempotency_key_reused"


class KeyInFlight(FramefleetError):
    """A request with this Idempotency-Key is still being answered."""

    code = "idempotency_in_flight"
    retryable = True
    retry_after_sec = 1


class UnsupportedInput(InvalidRequest):
    """A URI or scheme that this service does not read."""

    code = "unsupported_input"


class UploadTooLarge(InvalidRequest):
    """The body is larger than this route takes."""

    code = "upload_too_large"


class ChecksumMismatch(InvalidRequest):
    """Bytes arrived that are not the ones that were said."""

    code = "checksum_mismatch"
    retryable = True


class LengthRequired(InvalidRequest):
    """The body has no Content-Length."""

    code = "length_required"


class UploadNotFound(FramefleetError):
    """There is no such upload."""

    code = "upload_not_found"


class UploadBusy(FramefleetError):
    """Others write the same part, or complete the upload, at this moment."""

    code = "upload_busy"
    retryable = True


class UploadIncomplete(FramefleetError):
    """Parts of the upload are missing, or are not what was said."""

    code = "upload_incomplete"


class UploadQuotaReached(FramefleetError):
    """The tenant has as many uploads open as it may."""

    code = "upload_quota_reached"
    retryable = True


class OutputUnwritable(FramefleetError):
    """The file that the film is to go to cannot be written."""

    code = "output_unwritable"


class OutputExists(OutputUnwritable):
    """Something else lies where a client's film is to go, and is never overwritten."""

    code = "output_exists"


class CallerRefused(FramefleetError):
    """Who calls has no key or token, or not the right one, for a route that is not everybody's."""

    code = "caller_refused"


class KeyMissing(CallerRefused):
    """The route asks for a key, and the request has none."""

    code = "key_missing"


class KeyInvalid(CallerRefused):
    """The key, or the session, opens nothing here."""

    code = "key_invalid"


class KeyExpired(CallerRefused):
    """The key's time is over."""

    code = "key_expired"


class KeyRevoked(CallerRefused):
    """The key was revoked."""

    code = "key_revoked"


class ScopeMissing(FramefleetError):
    """The caller is known, and its key is not for this."""

    code = "scope_missing"


class RateLimited(FramefleetError):
    """Too many requests in too little time."""

    code = "rate_limited"
    retryable = True

    def __init__(self, message: str, retry_after_sec: int = 1) -> None:
        super().__init__(message)
        self.retry_after_sec = retry_after_sec


class KeysUnavailable(FramefleetError):
    """The keys that bearer tokens are checked with cannot be had now."""

    code = "keys_unavailable"
    retryable = True


class Busy(FramefleetError):
    """The machine works on another job."""

    code = "busy"
    retryable = True


class QuotaExceeded(FramefleetError):
    """The tenant's jobs use all that they may; the message says of what, and when some of it is free."""

    code = "quota_exceeded"


class JobNotFound(FramefleetError):
    """There is no such job."""

    code = "job_not_found"


class InvalidState(FramefleetError):
    """The job is in a state from which the wanted move is not allowed."""

    code = "invalid_state"


# The source's bytes.
class MediaError(FramefleetError):
    """The source will never work: permanent."""

    code = "media_error"


class EmptyFile(MediaError):
    code = "empty_file"


class NotAVideo(MediaError):
    code = "not_a_video"


class UnsupportedContainer(NotAVideo):
    """It names other files or addresses, which are never opened for it."""

    code = "unsupported_container"


class NoVideoStream(MediaError):
    code = "no_video_stream"


class NotASound(MediaError):
    code = "not_a_sound"


class NoAudioStream(MediaError):
    code = "no_audio_stream"


class SubtitlesUnreadable(MediaError):
    code = "subtitles_unreadable"


class MediaUndecodable(MediaError):
    code = "media_undecodable"


class MediaTruncated(MediaError):
    code = "media_truncated"


class MediaTooLarge(MediaError):
    code = "media_too_large"


class MediaTooCostly(MediaError):
    """It takes more frames, or more processor time, than a video may."""

    code = "media_too_costly"


class SourceChanged(MediaError):
    """The object behind the URI is no longer the one that was planned."""

    code = "source_changed"


# Stores and networks.
class SourceNotFound(FramefleetError):
    """The input is not there, or a further one that a parameter names."""

    code = "input_not_found"
    fault = Fault.PLACE


class SourceForbidden(FramefleetError):
    """The input may not be read."""

    code = "source_forbidden"
    fault = Fault.PLACE


class SourceExpired(SourceForbidden):
    """The signed link, or the token, that the source is read with has run out."""

    code = "source_expired"


class NoPresignMethod(SourceForbidden):
    """No credentials to read or sign with, and no public address either. The words are what a predecessor said."""

    code = "no_presign_method_available"


class SourceUnreachable(FramefleetError):
    """The input cannot be read now."""

    code = "source_unreachable"
    retryable = True
    fault = Fault.PLACE


class OutputRefused(FramefleetError):
    """The place that the job names for its film does not take it."""

    code = "output_refused"
    retryable = True
    fault = Fault.PLACE


class StorageError(FramefleetError):
    """The store cannot be used now: this installation's own, or this machine's disk."""

    code = "storage_error"
    retryable = True
    fault = Fault.ENVIRONMENT


class StorageFull(StorageError):
    """The store has no room for so much."""

    code = "storage_full"


class ObjectNotFound(FramefleetError):
    """There is no such file."""

    code = "object_not_found"
    fault = Fault.PLACE  # a store that lacks its bucket has no object either


class ObjectExists(FramefleetError):
    """There is such an object already: a put-if-absent found the key taken."""

    code = "object_exists"


# Work.
class ClaimLost(FramefleetError):
    """A guarded write matched no row: someone else owns the work now. Drop it and write nothing."""

    code = "claim_lost"


class WorkStalled(FramefleetError):
    """No progress for longer than the step may take."""

    code = "work_stalled"
    retryable = True


class NewerVersion(FramefleetError):
    """A newer version wrote what this one cannot read."""

    code = "newer_version"
    retryable = True
    fault = Fault.VERSION


class LeaseLapsed(ClaimLost):
    """No heartbeat got through for a whole lease. The claim may still be ours, if nobody else reached the database."""

    fault = Fault.ENVIRONMENT


class AccessRevoked(ClaimLost):
    """The server does not take this worker's token, so whatever it holds is lost to it; it ends."""

    code = "access_revoked"


class ArtifactCorrupt(FramefleetError):
    """A file of ours is damaged."""

    code = "artifact_corrupt"


class FrameMismatch(FramefleetError):
    """Rendering met other frames than analysis did."""

    code = "frame_mismatch"


class PiecesApart(FrameMismatch):
    """Pieces of a film, each intact, that do not make one film together. Rendering it in one go can help."""

    code = "pieces_apart"


class EncodeFailed(FramefleetError):
    code = "encode_failed"


class EncoderUnavailable(FramefleetError):
    """This machine lacks the encoder that the film's other pieces are made with, or all its sessions are taken."""

    code = "encoder_unavailable"
    retryable = True


class HardwareDecoderUnfit(FramefleetError):
    """The GPU's decoder is not here, or does not give the CPU's frames of this film: decode it on the CPU."""

    code = "hardware_decoder_unfit"
    retryable = True


class SandboxCrashed(FramefleetError):
    """The child process that parses media died or broke its protocol."""

    code = "media_process_crashed"
    retryable = True


class SandboxTimeout(FramefleetError):
    code = "media_process_timeout"
    retryable = True
    final_when_repeated = True


class TemporaryFolderUnsafe(FramefleetError):
    code = "temporary_folder_unsafe"


class JailUnavailable(FramefleetError):
    """This machine cannot close in the process that parses media, and the settings say that it must."""

    code = "media_jail_unavailable"
    retryable = True
    fault = Fault.ENVIRONMENT


class ModelMissing(FramefleetError):
    """The detector's weights are not there."""

    code = "model_missing"


class DatabaseUnavailable(FramefleetError):
    """The database cannot be used now."""

    code = "database_unavailable"
    retryable = True
    fault = Fault.ENVIRONMENT


class ServerUnavailable(DatabaseUnavailable):
    """A remote worker does not reach its server, or that does not reach its database."""

    code = "server_unavailable"


class Unexpected(FramefleetError):
    """A fault of ours: tried again, since it may have been the machine's."""

    code = "internal_error"
    retryable = True


def unexpected() -> Unexpected:
    """For an exception that is none of ours. Its words are a library's: they are for the log."""
    return Unexpected("Something unexpected stopped the work; the worker's log has the details.")


def error_by_code(code: str, message: str) -> FramefleetError:
    """The typed error for a code that crossed a process boundary; FramefleetError for one this version lacks."""
    pending = [FramefleetError]
    while pending:
        kind = pending.pop()
        if kind.code == code:
            return kind(message)
        pending.extend(kind.__subclasses__())
    return FramefleetError(message)
