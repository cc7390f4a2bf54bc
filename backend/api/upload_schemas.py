"""Requests and responses of /api/v1/uploads."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from backend.states import UploadState

MAX_LINKS = 100
MAX_NAME_CHARACTERS = 4096  # of what is sent; 255 of them are kept
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="in hex, small letters")]
Number = Annotated[int, Field(ge=1, le=10_000, strict=True, description="of the part, from 1")]


class UploadPath(BaseModel):
    upload_id: UUID


class PartPath(UploadPath):
    number: int = Field(ge=1, le=10_000)


class UploadRequest(BaseModel):
    """A file that is to arrive in parts."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARACTERS, description="what people call the file")
    size_bytes: int = Field(ge=1, strict=True)
    content_type: str | None = Field(None, max_length=255)
    sha256: Sha256 | None = Field(None, description="of the whole file, in hex")
    part_checksum: Literal["sha256"] | None = Field(
        None, description="every part is to be checked: then none is taken without its SHA-256"
    )


class WantedPart(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: Number
    sha256: Sha256 | None = None


class WantedParts(BaseModel):
    model_config = ConfigDict(extra="forbid")

    parts: list[WantedPart] = Field(min_length=1, max_length=MAX_LINKS)


class StoredPart(BaseModel):
    number: int
    size_bytes: int
    sha256: str | None = Field(description="in hex; null where the store does not say")


class PartLink(BaseModel):
    """Send the part's bytes there, with these headers. A path is one of this API, under your own key."""

    number: int
    size_bytes: int
    method: Literal["PUT"] = "PUT"
    url: str
    headers: dict[str, str]
    expires_in_seconds: int | None = Field(description="null: for as long as the upload is open")


class PartLinks(BaseModel):
    parts: list[PartLink]


class UploadResource(BaseModel):
    id: UUID
    name: str
    size_bytes: int
    content_type: str | None
    sha256: str | None
    state: UploadState
    part_bytes: int = Field(description="of every part but the last one")
    parts: int
    part_checksum: Literal["sha256"] | None = Field(description="null: the store does not check parts")
    checked: Literal["sha256", "parts", "size"] = Field(
        description="what `complete` is sure of: the whole file, each of its parts, or their lengths"
    )
    received: list[StoredPart] = Field(description="the parts that are there; empty once the upload is complete")
    received_bytes: int
    created_at: str
    expires_at: str
    links: dict[str, str]
