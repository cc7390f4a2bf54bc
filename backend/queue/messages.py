"""What a remote worker and its server say to one another: JSON, and hostile until it is checked."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from backend.errors import FramefleetError, Unexpected, error_by_code, writable
from backend.events import Event
from backend.media.sound_facts import as_probed
from backend.queue.claims import ChunkClaim
from backend.states import DeepMode, JobStatus

REMOTE_PATH = "/api/v1/remote"
MAX_TEXT = 2000
MAX_DEVICE_CHARACTERS = 200
MAX_DETECTOR_CHARACTERS = 10_000
MAX_HELD = 64
# What one PUT to S3 may hold.
MAX_ARTIFACT_BYTES = 5 * 2**30
MAX_PREVIEW_BYTES = 16 * 2**20  # a chunk of half a minute has an eighth of it at most


def _small(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """Without what lies deeper, as every list of jobs shows it and JSON has a depth that nobody reads.

    Raises ValueError for what no database takes: NUL, NaN, half a character.
    """
    found = found and {name: value for name, value in found.items() if not isinstance(value, dict | list)}
    text = json.dumps(found, ensure_ascii=False, allow_nan=False)
    text.encode()
    if len(text) > MAX_DETECTOR_CHARACTERS or "\\u0000" in text:
        raise ValueError("is too long, or has a NUL")
    return found


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:+-]{0,99}$")]
Names = Annotated[list[Name], Field(max_length=100)]
Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(writable)]
Detector = Annotated[dict[str, Any] | None, AfterValidator(_small)]
ChunkId = Annotated[int, Field(ge=1, lt=2**53)]  # as JSON of every language has them
Attempts = Annotated[int, Field(ge=1, lt=2**31)]
# In bodies true is no number, and "5" neither; a path is text.
StrictChunkId = Annotated[ChunkId, Field(strict=True)]
StrictAttempts = Annotated[Attempts, Field(strict=True)]
Bytes = Annotated[int, Field(ge=0, lt=2**53, strict=True)]
Flag = Annotated[bool, Field(strict=True)]


class _Said(BaseModel):
    model_config = ConfigDict(extra="ignore")  # a newer side may say more


class ClaimPath(_Said):
    chunk_id: ChunkId
    attempts: Attempts


class Known(_Said):
    """What a worker can work on; all else is left to others."""

    worker: Name = Field(description="one process of the remote worker; whatever it claims is its own")
    kinds: Names
    schema_version: int = Field(ge=1, lt=2**15, strict=True)
    has: Names = Field(default=[], description="encoders and models that not every worker has")


class Welcome(_Said):
    name: str
    lease_seconds: float
    schema_version: int


class Asked(Known):
    """For the next chunk, or whether there is any."""

    deep_mode: DeepMode = DeepMode.GPU
    job_id: UUID | None = None
    held: Annotated[list[tuple[StrictChunkId, StrictAttempts]], Field(max_length=MAX_HELD)] | None = Field(
        None, description="after an answer was lost: the claims it knows of. Others of this process go back"
    )


class Claimed(_Said):
    """A claim. `input_uri` only where the job names a place that the worker reads itself."""

    chunk_id: ChunkId
    attempts: Attempts
    job_id: UUID
    phase: str
    chunk_index: int
    phase_chunks: int
    start_pts: int
    end_pts: int
    kind: str
    params: dict[str, Any]
    input_uri: str | None
    source_etag: str
    source_size: int
    trace_context: str | None
    plan: dict[str, Any]
    probed: dict[str, Any] | None

    @classmethod
    def of(cls, claim: ChunkClaim, input_uri: str | None) -> Claimed:
        probed = None if claim.probed is None else claim.probed.model_dump(mode="json")
        fields = {name: getattr(claim, name) for name in cls.model_fields}
        return cls.model_validate(fields | {"input_uri": input_uri, "probed": probed})

    def as_claim(self) -> ChunkClaim:
        """Raises pydantic.ValidationError for what a newer server knows of a source."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return ChunkClaim(**fields | {"input_uri": self.input_uri or "", "probed": as_probed(self.probed)})


class Given(_Said):
    claim: Claimed | None


class Queued(_Said):
    queued: bool


class Beat(_Said):
    progress: float = Field(ge=0, le=1, strict=True)
    last_event: Event | None = None


class Completion(_Said):
    """The artifact lies where `artifact` said. `following`: asks for the next chunk with the same statement."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    detector: Detector = None
    bytes_read: Bytes | None = None
    following: Asked | None = None


class Completed(_Said):
    job_status: JobStatus
    claim: Claimed | None


class Failure(_Said):
    code: Annotated[str, Field(pattern="^[a-z_]{1,60}$")]
    message: Text

    @classmethod
    def of(cls, error: FramefleetError) -> Failure:
        return cls(code=error.code, message=error.message[:MAX_TEXT])

    def as_error(self) -> FramefleetError:
        """One that this version does not know is tried again, as a fault of ours is."""
        error = error_by_code(self.code, self.message)
        return Unexpected(self.message) if type(error) is FramefleetError else error


class PutBack(_Said):
    status: str


class WantedInput(_Said):
    uri: str | None = Field(None, max_length=4096, description="one that the parameters name; null: the source")


class InputPlace(_Said):
    """`path` on this server gives the bytes by range, for as long as the claim holds. `is_copy`: not under the etag."""

    path: str
    is_copy: bool
    etag: str | None


class WantedUpload(_Said):
    size_bytes: int = Field(ge=1, le=MAX_ARTIFACT_BYTES, strict=True)
    if_absent: Flag = True
    conditional: Flag = Field(True, description="false: the store knows no conditional writes")


class UploadPlace(_Said):
    """`url` takes the bytes in one PUT with exactly these headers; null: the path of this server, with the token."""

    url: str | None
    path: str | None
    headers: dict[str, str]


class ProbePlaces(_Said):
    """Where one small object may be written and read; null: at this server."""

    put: UploadPlace
    get_url: str | None


class Present(Known):
    kind: Literal["gpu_chunk_worker"]
    trouble: Text | None = None
    begins: Flag
    device: Annotated[str, Field(max_length=MAX_DEVICE_CHARACTERS), AfterValidator(writable)] | None = None


class Leaving(_Said):
    worker: Name


class PresentAnswer(_Said):
    others_are_well: bool
    stop: bool
