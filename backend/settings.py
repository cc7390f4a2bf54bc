"""The only reader of the environment. Validated once, at start: a worker with bad settings never claims."""

from __future__ import annotations

import os
import secrets
import socket
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Positive = Annotated[float, Field(gt=0)]


def _named(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class Settings(BaseSettings):
    """Every setting, its unit in its name, its default for one machine."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True, populate_by_name=True)

    # Where things are. Unset means: embedded parts in the data folder.
    data_dir: Path = Field(Path(".framefleet"), validation_alias=_named("FRAMEFLEET_DATA_DIR", "DATA_DIR"))
    database_url: SecretStr | None = Field(None, validation_alias="DATABASE_URL")
    storage_url: str | None = Field(None, validation_alias="STORAGE_URL")
    output_bucket: str | None = Field(None, validation_alias="OUTPUT_BUCKET")

    # S3 and whatever speaks its API (R2, MinIO, GCS with HMAC keys).
    s3_endpoint_url: str | None = Field(None, validation_alias=_named("S3_ENDPOINT_URL", "R2_ENDPOINT"))
    s3_region: str | None = Field(None, validation_alias=_named("S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"))
    s3_addressing_style: Literal["auto", "virtual", "path"] = Field("auto", validation_alias="S3_ADDRESSING_STYLE")
    s3_access_key_id: SecretStr | None = Field(
        None, validation_alias=_named("HMAC_KEY", "R2_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID")
    )
    s3_secret_access_key: SecretStr | None = Field(
        None, validation_alias=_named("HMAC_SECRET", "R2_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY")
    )
    s3_session_token: SecretStr | None = Field(None, validation_alias="AWS_SESSION_TOKEN")
    # What clients of the API may name as input or output; empty: every bucket that our credentials reach.
    allowed_prefixes: str = Field("", validation_alias="ALLOWED_PREFIXES")
    http_allow_private: bool = Field(False, validation_alias="HTTP_ALLOW_PRIVATE")
    max_source_bytes: int = Field(200 * 2**30, gt=0, validation_alias="MAX_SOURCE_BYTES")
    max_upload_bytes: int = Field(20 * 2**30, gt=0, validation_alias="MAX_UPLOAD_BYTES")

    # Chunks and the queue.
    chunk_seconds: Positive = Field(30.0, validation_alias="CHUNK_SECONDS")
    lease_seconds: Positive = Field(60.0, validation_alias="LEASE_SECONDS")
    drain_seconds: float = Field(100.0, ge=0, validation_alias="DRAIN_SECONDS")
    poll_seconds: Positive = Field(1.0, validation_alias=_named("POLL_SECONDS", "COACH_PLUS_ANALYSIS_POLL_SECONDS"))
    max_attempts: int = Field(5, ge=1, validation_alias="MAX_ATTEMPTS")
    # A tenant's chunks in work at once, in each mode; a row of queue_lanes can say otherwise. Unset: no cap.
    tenant_max_chunks_in_work: int | None = Field(None, ge=1, validation_alias="TENANT_MAX_CHUNKS_IN_WORK")
    retry_base_seconds: float = Field(2.0, ge=0, validation_alias="RETRY_BASE_SECONDS")
    retry_cap_seconds: float = Field(300.0, ge=0, validation_alias="RETRY_CAP_SECONDS")
    worker_id: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}",
        validation_alias="WORKER_ID",
    )

    # Detection.
    detector: Literal["auto", "yolo", "hog"] = Field("yolo", validation_alias="DETECTOR")
    model_name: str = Field("yolo11n.pt", validation_alias="MODEL_NAME")
    model_sha256: str | None = Field(None, validation_alias="MODEL_SHA256")
    use_gpu: bool = Field(True, validation_alias="USE_GPU")
    conf: float = Field(0.25, gt=0, lt=1, validation_alias="CONF")
    iou: float = Field(0.5, gt=0, lt=1, validation_alias="IOU")
    sample_fps: Positive = Field(10.0, le=240, validation_alias="SAMPLE_FPS")
    max_width: int = Field(640, ge=64, le=4096, validation_alias="MAX_WIDTH")
    detect_batch_size: int | None = Field(None, ge=1, le=512, validation_alias="DETECT_BATCH_SIZE")
    overlap_samples: int = Field(20, ge=1, validation_alias="OVERLAP_SAMPLES")
    threads: int | None = Field(None, ge=1, validation_alias="FRAMEFLEET_THREADS")

    # Child processes that parse hostile bytes.
    sandbox_silence_seconds: Positive = Field(60.0, validation_alias="SANDBOX_SILENCE_SECONDS")
    sandbox_memory_bytes: int = Field(8 * 2**30, gt=0, validation_alias="SANDBOX_MEMORY_BYTES")
    max_pixels: int = Field(8192 * 8192, gt=0, validation_alias="MAX_PIXELS")

    @field_validator("storage_url")
    @classmethod
    def _known_scheme(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("file://", "s3://", "gs://")):
            raise ValueError("STORAGE_URL must begin with file://, s3:// or gs://")
        return url

    @property
    def storage_root_url(self) -> str:
        """Where objects live: STORAGE_URL, or the folder `objects` under the data folder."""
        return self.storage_url or (self.data_dir.resolve() / "objects").as_uri()


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read from the environment once.

    Raises pydantic.ValidationError, which names the variable and what it must be.
    """
    return Settings()
