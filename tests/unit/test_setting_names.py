"""Every name under which a predecessor's operators set something is still heard."""

from __future__ import annotations

import os
from typing import Any

import pytest
from pydantic import SecretStr

from backend.settings import Settings

NAMES: list[tuple[str, str, str, Any]] = [
    # The person cropper
    ("PROCESS_TOKEN", "abcdefgh", "process_token", "abcdefgh"),
    ("CLEANUP_TOKEN", "abcdefgh", "cleanup_token", "abcdefgh"),
    ("RETENTION_DAYS", "7", "retention_days", 7.0),
    ("STALLED_MINUTES", "45", "stall_seconds", 2700.0),
    ("USE_GPU", "0", "use_gpu", False),
    ("OUTPUT_BUCKET", "films", "output_bucket", "films"),
    ("MODEL_NAME", "best.pt", "model_name", "best.pt"),
    ("CONF", "0.3", "conf", 0.3),
    ("IOU", "0.6", "iou", 0.6),
    ("PADDING_RATIO", "0.2", "padding_ratio", 0.2),
    ("MIN_CROP_RATIO", "0.5", "min_crop_ratio", 0.5),
    ("SMOOTH_ALPHA", "0.7", "smooth_alpha", 0.7),
    ("KEEP_ASPECT", "1", "keep_aspect", True),
    ("DRAW_TIMESTAMP", "1", "draw_timestamp", True),
    ("DETECT_BATCH_SIZE", "16", "detect_batch_size", 16),
    # The video editor's worker
    ("R2_ENDPOINT", "https://r2.example", "s3_endpoint_url", "https://r2.example"),
    ("R2_ACCESS_KEY_ID", "key", "s3_access_key_id", "key"),
    ("R2_SECRET_ACCESS_KEY", "word", "s3_secret_access_key", "word"),
    ("R2_BUCKET_NAME", "editor", "default_bucket", "editor"),
    # The coach
    ("DATABASE_URL", "postgresql://h/d", "database_url", "postgresql://h/d"),
    ("S3_COACH_VIDEOS_BUCKET", "coach", "storage_root_url", "s3://coach"),
    ("AWS_REGION", "eu-west-1", "s3_region", "eu-west-1"),
    ("CHUNK_SECONDS", "20", "chunk_seconds", 20.0),
    ("SAMPLE_FPS", "5", "sample_fps", 5.0),
    ("MAX_WIDTH", "320", "max_width", 320),
    ("COACH_PLUS_ANALYSIS_POLL_SECONDS", "2.5", "poll_seconds", 2.5),
    # The ffmpeg template
    ("S3_ENDPOINT_URL", "https://storage.googleapis.com", "s3_endpoint_url", "https://storage.googleapis.com"),
    ("S3_REGION", "auto", "s3_region", "auto"),
    ("S3_ADDRESSING_STYLE", "path", "s3_addressing_style", "path"),
    ("HMAC_KEY", "key", "s3_access_key_id", "key"),
    ("HMAC_SECRET", "word", "s3_secret_access_key", "word"),
    ("AWS_ACCESS_KEY_ID", "key", "s3_access_key_id", "key"),
    ("AWS_SECRET_ACCESS_KEY", "word", "s3_secret_access_key", "word"),
    ("R2_PUBLIC_BASE_URL", "https://pub.example", "public_base_url", "https://pub.example"),
    ("R2_PUBLIC_BUCKET", "open", "public_bucket", "open"),
    ("VIDEOS_BUCKET", "vids", "videos_bucket", "vids"),
    ("VIDEOS_PUBLIC_BASE_URL", "https://vids.example", "videos_public_base_url", "https://vids.example"),
    ("VIDEOS_PUBLIC_BUCKET", "open-vids", "videos_public_bucket", "open-vids"),
]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("AWS_", "S3_", "R2_", "HMAC_")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(("name", "value", "setting", "expected"), NAMES, ids=[name for name, *_ in NAMES])
def test_a_predecessors_setting_is_heard(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, setting: str, expected: Any
) -> None:
    before = getattr(Settings(), setting)
    monkeypatch.setenv(name, value)
    found = getattr(Settings(), setting)
    assert (found.get_secret_value() if isinstance(found, SecretStr) else found) == expected
    assert before != expected or name in {"USE_GPU", "S3_ADDRESSING_STYLE"}


def test_what_they_had_for_defaults_is_the_default_still() -> None:
    settings = Settings()
    had = {
        "retention_days": 14, "conf": 0.25, "iou": 0.5, "chunk_seconds": 30, "sample_fps": 10, "max_width": 640,
        "poll_seconds": 1.0, "videos_bucket": "videos",
    }  # fmt: skip
    assert {name: getattr(settings, name) for name in had} == had


def test_settings_of_jobs_reach_jobs_that_do_not_say_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.kinds import kind_named

    for name, value in {"PADDING_RATIO": "0.3", "SMOOTH_ALPHA": "0.5", "DRAW_TIMESTAMP": "1"}.items():
        monkeypatch.setenv(name, value)
    crop, settings = kind_named("crop"), Settings()
    params = crop.parse_params(crop.with_defaults({"smooth_alpha": 0.6}, settings))
    assert (params.padding_ratio, params.smooth_alpha, params.draw_timestamp) == (0.3, 0.6, True)


def test_stall_seconds_goes_before_its_other_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STALLED_MINUTES", "45")
    monkeypatch.setenv("STALL_SECONDS", "60")
    assert Settings().stall_seconds == 60


def test_tokens_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCESS_TOKEN", "hunter2hunter2")
    assert "hunter2" not in repr(Settings()) + str(Settings().model_dump())
