"""The only reader of the environment. Validated once, at start: a worker with bad settings never claims."""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import socket
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Positive = Annotated[float, Field(gt=0)]
RATE = r"^(off|[1-9][0-9]{0,6} per ([1-9][0-9]{0,4} )?(second|minute|hour)s?)$"
KUBERNETES_NAME = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
# Settings that are parameters of jobs too, where the request does not name them.
PARAM_SETTINGS = (
    "sample_fps", "conf", "iou", "padding_ratio", "min_crop_ratio", "smooth_alpha", "keep_aspect", "draw_timestamp",
)  # fmt: skip


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _named(*names: str) -> AliasChoices:
    return AliasChoices(*names)


def misspelt_prefix(prefixes: str) -> str | None:
    """The first of places with commas between them that is none; None: all are. `{tenant}` stands for a name."""
    named = filter(None, map(str.strip, prefixes.replace("{tenant}", "tenant").split(",")))
    place = re.compile(r"(?i:s3|gs)://[A-Za-z0-9][A-Za-z0-9._-]{1,221}(/.*)?")
    return next((prefix for prefix in named if not place.fullmatch(prefix)), None)


class Settings(BaseSettings):
    """Every setting, its unit in its name, its default for one machine."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True, populate_by_name=True)

    # Where things are. Unset means: embedded parts in the data folder.
    data_dir: Path = Field(Path(".framefleet"), validation_alias=_named("FRAMEFLEET_DATA_DIR", "DATA_DIR"))
    database_url: SecretStr | None = Field(None, validation_alias="DATABASE_URL")
    # The role that services log in as; only the command that makes it reads this (backend/db/app_role.py).
    app_database_url: SecretStr | None = Field(None, validation_alias="APP_DATABASE_URL")
    # The most that one answer of the database may take; well below LEASE_SECONDS, so that a heartbeat has a second try.
    database_timeout_seconds: Positive = Field(15.0, validation_alias="DATABASE_TIMEOUT_SECONDS")
    storage_url: str | None = Field(None, validation_alias="STORAGE_URL")
    storage_bucket: str | None = Field(None, validation_alias="S3_COACH_VIDEOS_BUCKET")  # where STORAGE_URL is unset
    output_bucket: str | None = Field(None, validation_alias="OUTPUT_BUCKET")

    # The bucket that keys without one are in (the RunPod handler's `input_video_key`).
    default_bucket: str | None = Field(None, validation_alias="R2_BUCKET_NAME")
    # Where pipelines lie (/api/pipeline), and where anybody may read what is in that bucket.
    videos_bucket: str = Field("videos", validation_alias="VIDEOS_BUCKET")
    videos_public_base_url: str | None = Field(None, pattern="^https?://", validation_alias="VIDEOS_PUBLIC_BASE_URL")
    videos_public_bucket: str | None = Field(None, validation_alias="VIDEOS_PUBLIC_BUCKET")
    # Jobs of pipelines get signed URLs, so that their workers need no credentials.
    fully_presigned: bool = Field(False, validation_alias="FULLY_PRESIGNED")
    # Without credentials s3://bucket/key is read from here: of every bucket, or of the one named.
    public_base_url: str | None = Field(None, pattern="^https?://", validation_alias="R2_PUBLIC_BASE_URL")
    public_bucket: str | None = Field(None, validation_alias="R2_PUBLIC_BUCKET")

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
    # s3:// and gs:// places that clients may name as input or output; empty: none.
    allowed_prefixes: str = Field("", validation_alias="ALLOWED_PREFIXES")
    http_allow_private: bool = Field(False, validation_alias="HTTP_ALLOW_PRIVATE")
    # Hosts of one's own that inputs, outputs and callbacks may lead to: host, host:port or a network in CIDR notation.
    http_allowed_hosts: str = Field("", validation_alias="HTTP_ALLOWED_HOSTS")
    max_source_bytes: int = Field(200 * 2**30, gt=0, validation_alias="MAX_SOURCE_BYTES")
    # How far a source may fall behind 32 KiB/s; less than SANDBOX_SILENCE_SECONDS, so that its own words are said.
    source_stall_seconds: Positive = Field(45.0, validation_alias="SOURCE_STALL_SECONDS")
    max_upload_bytes: int = Field(100 * 2**30, gt=0, validation_alias="MAX_UPLOAD_BYTES")

    # Uploads in parts. A bucket's parts are of 5 MiB at least, and a large file's are as long as they have to be.
    upload_part_bytes: int = Field(16 * 2**20, ge=64 * 2**10, le=2**30, validation_alias="UPLOAD_PART_BYTES")
    # What uploads leave free of the disk that a file:// store is on.
    upload_free_bytes_min: int = Field(2**30, ge=0, validation_alias="UPLOAD_FREE_BYTES_MIN")
    # Of one tenant, begun and not yet made into jobs: how many, and of what size together.
    uploads_open_max: int = Field(100, ge=1, validation_alias="UPLOADS_OPEN_MAX")
    uploads_open_bytes_max: int = Field(500 * 2**30, ge=1, validation_alias="UPLOADS_OPEN_BYTES_MAX")

    # Bodies of requests wait whole in TMPDIR (up to 32 MiB each; larger ones go straight on): of each API process, and
    # what they leave free of that disk.
    spool_max_bytes: int = Field(8 * 2**30, gt=0, validation_alias="SPOOL_MAX_BYTES")
    spool_min_free_bytes: int = Field(2**30, ge=0, validation_alias="SPOOL_MIN_FREE_BYTES")

    # Chunks and the queue.
    chunk_seconds: Positive = Field(30.0, validation_alias="CHUNK_SECONDS")
    # Films at least so long are rendered in pieces by all workers; shorter ones in one go. On one small machine pieces
    # cost more than they bring: see backend/local/parts.py.
    render_fanout_seconds: Positive = Field(45.0, validation_alias="RENDER_FANOUT_SECONDS")
    # Either one set: chunks adapt to how fast the workers are, between these bounds.
    chunk_seconds_min: Positive | None = Field(None, validation_alias="CHUNK_SECONDS_MIN")
    chunk_seconds_max: Positive | None = Field(None, validation_alias="CHUNK_SECONDS_MAX")
    # A job adopts what an earlier job of its tenant found in the same source with the same parameters.
    reuse_chunks: bool = Field(True, validation_alias="REUSE_CHUNKS")
    # Chunk workers keep a small film of what they sampled, which the page shows before the job is done.
    previews: bool = Field(True, validation_alias="PREVIEWS")
    lease_seconds: Positive = Field(60.0, validation_alias="LEASE_SECONDS")
    drain_seconds: float = Field(100.0, ge=0, validation_alias="DRAIN_SECONDS")
    poll_seconds: Positive = Field(1.0, validation_alias=_named("POLL_SECONDS", "COACH_PLUS_ANALYSIS_POLL_SECONDS"))
    max_attempts: int = Field(5, ge=1, validation_alias="MAX_ATTEMPTS")
    # A tenant's chunks in work at once, in each mode; a row of queue_lanes can say otherwise. Unset: no cap.
    tenant_max_chunks_in_work: int | None = Field(None, ge=1, validation_alias="TENANT_MAX_CHUNKS_IN_WORK")
    # What a tenant may use that has no limits of its own; unset: as much as it likes (backend/jobs/quotas.py).
    tenant_max_open_jobs: int | None = Field(None, ge=0, validation_alias="TENANT_MAX_OPEN_JOBS")
    tenant_max_bytes_a_day: int | None = Field(None, ge=0, validation_alias="TENANT_MAX_BYTES_A_DAY")
    tenant_max_frames_a_day: int | None = Field(None, ge=0, validation_alias="TENANT_MAX_FRAMES_A_DAY")
    tenant_max_cpu_seconds_a_day: float | None = Field(None, ge=0, validation_alias="TENANT_MAX_CPU_SECONDS_A_DAY")
    retry_base_seconds: float = Field(2.0, ge=0, validation_alias="RETRY_BASE_SECONDS")
    retry_cap_seconds: float = Field(300.0, ge=0, validation_alias="RETRY_CAP_SECONDS")
    # Work without progress for so long is given up; some steps may take a multiple of it (backend/queue/stall.py).
    stall_seconds: Positive = Field(300.0, validation_alias="STALL_SECONDS")
    # The same in minutes, where STALL_SECONDS is unset.
    stalled_minutes: Positive | None = Field(None, validation_alias="STALLED_MINUTES")
    # Work that lost its claim and does not notice within so long ends with its process.
    stall_grace_seconds: Positive = Field(30.0, validation_alias="STALL_GRACE_SECONDS")
    worker_id: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}",
        validation_alias="WORKER_ID",
    )

    # Who may call the API. auto: this machine itself needs no key, all others do; keys: everybody; open: nobody.
    api_access: Literal["auto", "keys", "open"] = Field("auto", validation_alias="API_ACCESS")
    # What Prometheus may send instead of a key with the scope `metrics`.
    metrics_token: SecretStr | None = Field(None, min_length=16, validation_alias="METRICS_TOKEN")
    # Requests of one key, or of one address without a key; of other machines alone.
    rate_limit: str = Field("200 per 4 seconds", pattern=RATE, validation_alias="RATE_LIMIT")
    rate_limit_create: str = Field("100 per 10 seconds", pattern=RATE, validation_alias="RATE_LIMIT_CREATE")

    # Who may call /process and /cleanup. All that is set must hold; with nothing set, only this machine may.
    process_token: SecretStr | None = Field(None, min_length=8, validation_alias="PROCESS_TOKEN")
    cleanup_token: SecretStr | None = Field(None, min_length=8, validation_alias="CLEANUP_TOKEN")
    oidc_audience: str | None = Field(None, validation_alias="OIDC_AUDIENCE")
    oidc_issuer: str = Field("https://accounts.google.com", validation_alias="OIDC_ISSUER")
    oidc_service_account: str | None = Field(None, validation_alias="OIDC_SERVICE_ACCOUNT")
    oidc_jwks_url: str = Field(
        "https://www.googleapis.com/oauth2/v3/certs", pattern="^https?://", validation_alias="OIDC_JWKS_URL"
    )

    # Names that the API is called by, with commas, as in api.example.com, *.example.com; loopback names and addresses
    # need none.
    allowed_hosts: str = Field("", validation_alias="ALLOWED_HOSTS")
    # Origins of other sites whose pages may call the API, as in https://app.example.com.
    cors_origins: str = Field("", validation_alias="CORS_ORIGINS")
    cors_credentials: bool = Field(False, validation_alias="CORS_CREDENTIALS")  # with cookies

    # Of a worker that reaches no database: the API that it works for, and its token.
    remote_server: str | None = Field(None, validation_alias="FRAMEFLEET_SERVER")
    remote_token: SecretStr | None = Field(None, validation_alias="FRAMEFLEET_TOKEN")

    # Of the command line where it asks a server in place of a database: its key; FRAMEFLEET_SERVER is the address.
    api_key: SecretStr | None = Field(None, validation_alias="FRAMEFLEET_KEY")

    # Detection.
    detector: Literal["auto", "yolo", "hog"] = Field("yolo", validation_alias="DETECTOR")
    model_name: str = Field("yolo11n.pt", validation_alias="MODEL_NAME")
    model_sha256: str | None = Field(None, validation_alias="MODEL_SHA256")
    # Finds people and their landmarks, for jobs of kind `pose`. Unset: this worker leaves those jobs to others.
    pose_model_name: str | None = Field(None, validation_alias="POSE_MODEL_NAME")
    pose_model_sha256: str | None = Field(None, validation_alias="POSE_MODEL_SHA256")
    use_gpu: bool = Field(True, validation_alias="USE_GPU")
    hardware_decode: bool = Field(True, validation_alias="HARDWARE_DECODE")
    conf: float = Field(0.25, gt=0, lt=1, validation_alias="CONF")
    iou: float = Field(0.5, gt=0, lt=1, validation_alias="IOU")
    sample_fps: Positive = Field(10.0, le=240, validation_alias="SAMPLE_FPS")
    # Of jobs of kinds that have such a parameter.
    padding_ratio: float | None = Field(None, ge=0, le=5, validation_alias="PADDING_RATIO")
    min_crop_ratio: float | None = Field(None, gt=0, le=1, validation_alias="MIN_CROP_RATIO")
    smooth_alpha: float | None = Field(None, ge=0, lt=1, validation_alias="SMOOTH_ALPHA")
    keep_aspect: bool | None = Field(None, validation_alias="KEEP_ASPECT")
    draw_timestamp: bool | None = Field(None, validation_alias="DRAW_TIMESTAMP")
    max_width: int = Field(640, ge=64, le=4096, validation_alias="MAX_WIDTH")
    detect_batch_size: int | None = Field(None, ge=1, le=512, validation_alias="DETECT_BATCH_SIZE")
    overlap_samples: int = Field(20, ge=1, validation_alias="OVERLAP_SAMPLES")
    threads: int | None = Field(None, ge=1, validation_alias="FRAMEFLEET_THREADS")

    # Child processes that parse hostile bytes.
    sandbox_silence_seconds: Positive = Field(60.0, validation_alias="SANDBOX_SILENCE_SECONDS")
    # Unset: by the machine's memory, see backend/media/limits.py.
    sandbox_memory_bytes: int | None = Field(None, gt=0, validation_alias="SANDBOX_MEMORY_BYTES")
    # What closes them in: without Landlock and seccomp nothing is parsed, unless somebody says so here.
    media_jail: Literal["required", "best-effort", "off"] = Field("required", validation_alias="MEDIA_JAIL")
    media_cpu_seconds: int = Field(24 * 3600, ge=1, validation_alias="MEDIA_CPU_SECONDS")  # of one such process
    # One that drips along costs no processor time, and holds a worker.
    media_wall_seconds: Positive = Field(12 * 3600.0, validation_alias="MEDIA_WALL_SECONDS")
    max_result_bytes: int = Field(200 * 2**30, gt=0, validation_alias="MAX_RESULT_BYTES")  # of each file it writes
    max_frames: int = Field(3_000_000, ge=1, validation_alias="MAX_FRAMES")
    probe_seconds: Positive = Field(600.0, validation_alias="PROBE_SECONDS")  # a file without an index is read whole
    first_look_seconds: Positive = Field(30.0, validation_alias="FIRST_LOOK_SECONDS")  # of a first try behind a URL
    max_pixels: int = Field(8192 * 8192, gt=0, validation_alias="MAX_PIXELS")

    # What operators see. Off unless asked for.
    metrics: Literal["off", "cloudwatch"] = Field("off", validation_alias="METRICS")
    metrics_namespace: str = Field(
        "framefleet", pattern=r"^[A-Za-z0-9._/#-]{1,255}$", validation_alias="METRICS_NAMESPACE"
    )
    metrics_service: str | None = Field(None, max_length=255, validation_alias="METRICS_SERVICE")
    metrics_region: str | None = Field(
        None, validation_alias=_named("METRICS_REGION", "AWS_REGION", "AWS_DEFAULT_REGION")
    )
    # The ECS service of the GPU workers, whose desired count the metrics ask for: see backend/workers/metrics.py.
    fleet_ecs_service: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_-]{1,255}/[A-Za-z0-9_-]{1,255}$", validation_alias="FLEET_ECS_SERVICE"
    )
    metrics_port: int | None = Field(None, ge=1, le=65535, validation_alias="METRICS_PORT")
    metrics_host: str = Field("127.0.0.1", validation_alias="METRICS_HOST")
    prometheus_multiproc_dir: Path | None = Field(None, validation_alias="PROMETHEUS_MULTIPROC_DIR")
    otel_endpoint: str | None = Field(
        None, validation_alias=_named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    )
    otel_traces_exporter: Literal["otlp", "console", "none"] | None = Field(
        None, validation_alias="OTEL_TRACES_EXPORTER"
    )
    otel_sdk_disabled: bool = Field(False, validation_alias="OTEL_SDK_DISABLED")

    # Stopping and cleaning up.
    ecs_agent_uri: str | None = Field(None, pattern="^http://", validation_alias="ECS_AGENT_URI")  # set by ECS
    # Kubernetes sets the first two in every pod, the manifests the names; with all of them a busy worker marks its pod.
    kubernetes_service_host: str | None = Field(None, validation_alias="KUBERNETES_SERVICE_HOST")
    kubernetes_service_port: int = Field(443, ge=1, le=65535, validation_alias="KUBERNETES_SERVICE_PORT")
    pod_name: str | None = Field(None, pattern=KUBERNETES_NAME, validation_alias="POD_NAME")
    pod_namespace: str | None = Field(None, pattern=KUBERNETES_NAME, validation_alias="POD_NAMESPACE")
    service_account_dir: Path = Field(
        Path("/var/run/secrets/kubernetes.io/serviceaccount"), validation_alias="SERVICE_ACCOUNT_DIR"
    )
    scale_in_protection: Literal["auto", "off"] = Field("auto", validation_alias="SCALE_IN_PROTECTION")
    scale_in_protection_minutes: int = Field(60, ge=2, le=2880, validation_alias="SCALE_IN_PROTECTION_MINUTES")
    spot_notice: Literal["off", "ec2"] = Field("off", validation_alias="SPOT_NOTICE")
    spot_metadata_url: str = Field("http://169.254.169.254", pattern="^http://", validation_alias="SPOT_METADATA_URL")
    spot_poll_seconds: Positive = Field(5.0, validation_alias="SPOT_POLL_SECONDS")
    retention_days: float = Field(14.0, ge=0, validation_alias="RETENTION_DAYS")  # 0: for ever
    upload_expire_hours: Positive = Field(24.0, validation_alias="UPLOAD_EXPIRE_HOURS")
    oldest_transaction_warn_seconds: Positive = Field(300.0, validation_alias="OLDEST_TRANSACTION_WARN_SECONDS")

    @field_validator("cors_origins")
    @classmethod
    def _exact_origins(cls, origins: str) -> str:
        for origin in _listed(origins):
            if not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+", origin):
                raise ValueError(
                    "CORS_ORIGINS must be origins, as in https://app.example.com,https://b.example.com:8443"
                )
        return origins

    @field_validator("storage_url")
    @classmethod
    def _known_scheme(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("file://", "s3://", "gs://")):
            raise ValueError("STORAGE_URL must begin with file://, s3:// or gs://")
        return url

    @field_validator("allowed_prefixes")
    @classmethod
    def _object_places(cls, prefixes: str) -> str:
        if misspelt_prefix(prefixes) is not None:
            raise ValueError("ALLOWED_PREFIXES must be s3://bucket/folder/ or gs://bucket/folder/, with commas")
        return prefixes

    @field_validator("http_allowed_hosts")
    @classmethod
    def _hosts(cls, hosts: str) -> str:
        for host in filter(None, map(str.strip, hosts.split(","))):
            if "/" in host:
                ipaddress.ip_network(host)
            elif not re.fullmatch(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?", host):
                raise ValueError("HTTP_ALLOWED_HOSTS must be host, host:port or 10.0.0.0/8, with commas")
        return hosts

    @model_validator(mode="after")
    def _other_names(self) -> Self:
        if self.stalled_minutes is not None and "stall_seconds" not in self.model_fields_set:
            self.stall_seconds = 60 * self.stalled_minutes
        if self.storage_bucket is not None and self.storage_url is None:
            self.storage_url = f"s3://{self.storage_bucket}"
        return self

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.metrics == "cloudwatch" and self.metrics_region is None:
            raise ValueError("METRICS=cloudwatch needs AWS_REGION or METRICS_REGION")
        if self.traces and find_spec("opentelemetry") is None:
            raise ValueError("traces are configured (OTEL_…): install framefleet[otel], or set OTEL_SDK_DISABLED=true")
        return self

    @property
    def traces(self) -> Literal["otlp", "console"] | None:
        """Where traces go; None: nobody asked for them."""
        if self.otel_sdk_disabled or self.otel_traces_exporter == "none":
            return None
        return self.otel_traces_exporter or ("otlp" if self.otel_endpoint else None)

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        low, high = self.chunk_seconds_bounds
        if not low <= self.chunk_seconds <= high:
            raise ValueError("CHUNK_SECONDS must be from CHUNK_SECONDS_MIN to CHUNK_SECONDS_MAX")
        return self

    @property
    def allowed_host_names(self) -> tuple[str, ...]:
        return tuple(name.lower().rstrip(".") for name in _listed(self.allowed_hosts))

    @property
    def cors_origin_list(self) -> tuple[str, ...]:
        return _listed(self.cors_origins)

    @property
    def param_defaults(self) -> dict[str, Any]:
        """Parameters of jobs that the environment sets: SAMPLE_FPS, CONF, IOU, PADDING_RATIO, …"""
        return {name: getattr(self, name) for name in PARAM_SETTINGS if name in self.model_fields_set}

    @property
    def adapts_chunks(self) -> bool:
        return self.chunk_seconds_min is not None or self.chunk_seconds_max is not None

    @property
    def chunk_seconds_bounds(self) -> tuple[float, float]:
        return self.chunk_seconds_min or self.chunk_seconds, self.chunk_seconds_max or self.chunk_seconds

    @property
    def kubernetes_api_url(self) -> str | None:
        """Of the cluster that this process runs in; None: it runs in none."""
        host = self.kubernetes_service_host
        if host is None:
            return None
        return f"https://{f'[{host}]' if ':' in host else host}:{self.kubernetes_service_port}"

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
