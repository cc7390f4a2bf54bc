"""Finds people in pictures. The only place, with tracker.py, that imports ultralytics."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from backend.errors import ModelMissing
from backend.events import Event, emit, warn
from backend.settings import Settings

PERSON_CLASS = 0  # COCO
YOLO_INPUT_PX = 640
GPU_BATCH, CPU_BATCH = 32, 4
HASH_BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class Detections:
    """People in one picture: boxes (n, 4) as x1, y1, x2, y2 in its pixels, confidence (n,)."""

    boxes: NDArray[np.float64]
    confidence: NDArray[np.float64]


class Detector(Protocol):
    batch_size: int

    def detect(self, pictures: Sequence[NDArray[np.uint8]], *, conf: float, iou: float) -> list[Detections]:
        """One result a picture. Pictures are BGR, (height, width, 3)."""
        ...

    def describe(self) -> dict[str, Any]:
        """What identifies this detector's results: goes into the artifact and its parameter hash."""
        ...


class YoloDetector:
    """Ultralytics YOLO: .pt, .onnx, an OpenVINO folder or a TensorRT engine. fp16 on CUDA."""

    def __init__(self, settings: Settings) -> None:
        model = _fetched_model(settings)
        import torch
        from ultralytics import YOLO

        if settings.threads:
            torch.set_num_threads(settings.threads)
        self._device: str | int = 0 if settings.use_gpu and torch.cuda.is_available() else "cpu"
        on_gpu = self._device != "cpu"
        self.batch_size = settings.detect_batch_size or (GPU_BATCH if on_gpu else CPU_BATCH)
        emit(Event.LOADING_MODEL, model=settings.model_name, device=str(self._device), half=on_gpu)
        try:
            self._yolo = YOLO(str(model), task="detect")
        except (OSError, RuntimeError, ValueError) as error:
            raise ModelMissing(f"The weights {model} cannot be loaded ({type(error).__name__}).") from error
        self._half = on_gpu
        self._name = settings.model_name
        self._sha256 = _digest(model)
        # The first call compiles and allocates; a claim's lease is no place for it.
        self.detect([np.zeros((YOLO_INPUT_PX, YOLO_INPUT_PX, 3), np.uint8)], conf=0.5, iou=0.5)

    def detect(self, pictures: Sequence[NDArray[np.uint8]], *, conf: float, iou: float) -> list[Detections]:
        if not pictures:
            return []
        results: Any = self._yolo.predict(
            list(pictures),
            conf=conf,
            iou=iou,
            classes=[PERSON_CLASS],
            imgsz=YOLO_INPUT_PX,
            half=self._half,
            device=self._device,
            verbose=False,
        )
        return [
            Detections(
                result.boxes.xyxy.cpu().numpy().astype(np.float64), result.boxes.conf.cpu().numpy().astype(np.float64)
            )
            for result in results
        ]

    def describe(self) -> dict[str, Any]:
        return {"type": "yolo", "model": Path(self._name).name, "sha256": self._sha256, "input_px": YOLO_INPUT_PX}


class HogDetector:
    """OpenCV's built-in people detector (Dalal and Triggs, 2005): no download, finds whole standing people only."""

    batch_size = CPU_BATCH
    _stride = (8, 8)
    _pyramid_step = 1.05
    _min_height_px = 128  # of the detector's own window
    _max_height_px = 480

    def __init__(self, reason: str | None = None) -> None:
        self._reason = reason
        self._hog = cv2.HOGDescriptor()
        self._hog.setSVMDetector(np.array(cv2.HOGDescriptor.getDefaultPeopleDetector()))

    def detect(self, pictures: Sequence[NDArray[np.uint8]], *, conf: float, iou: float) -> list[Detections]:
        return [self._detect(picture, conf, iou) for picture in pictures]

    def describe(self) -> dict[str, Any]:
        fallback = {"fallback": self._reason} if self._reason else {}
        return {"type": "hog", "model": "opencv-default-people", **fallback}

    def _detect(self, picture: NDArray[np.uint8], conf: float, iou: float) -> Detections:
        scale = min(1.0, self._max_height_px / picture.shape[0])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
        if small.shape[0] < self._min_height_px or small.shape[1] < self._min_height_px // 2:
            return Detections(np.zeros((0, 4)), np.zeros(0))
        found, weights = self._hog.detectMultiScale(small, winStride=self._stride, scale=self._pyramid_step)
        if len(found) == 0:
            return Detections(np.zeros((0, 4)), np.zeros(0))
        # The SVM's margin has no upper end; a logistic curve makes it comparable with a confidence.
        confidence = 1 / (1 + np.exp(-2 * (np.asarray(weights, np.float64).reshape(-1) - 0.3)))
        boxes = _tightened(np.asarray(found, np.float64))
        kept = np.array(cv2.dnn.NMSBoxes(boxes.tolist(), confidence.tolist(), conf, iou), int).reshape(-1)
        corners = np.hstack([boxes[kept, :2], boxes[kept, :2] + boxes[kept, 2:]]) / scale
        return Detections(corners, confidence[kept])


def open_detector(settings: Settings) -> Detector:
    """The detector that the settings ask for. Raises ModelMissing; with DETECTOR=auto falls back to HOG and says so."""
    _quieten_ultralytics(settings.data_dir)
    if settings.detector == "hog":
        return HogDetector()
    try:
        return YoloDetector(settings)
    except ModelMissing as error:
        if settings.detector != "auto":
            raise
        warn(Event.DETECTOR_FALLBACK, model=settings.model_name, message=error.message)
        return HogDetector(reason=f"{settings.model_name} could not be had")


def _tightened(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """x, y, w, h of the person: the detector's window has a wide margin around it."""
    x, y, w, h = boxes.T
    return np.stack([x + 0.12 * w, y + 0.06 * h, 0.76 * w, 0.88 * h], axis=1)


def _quieten_ultralytics(data_dir: Path) -> None:
    """Its telemetry and its installing of packages go off; it reads the variables at import, the tracker's too."""
    os.environ.setdefault("YOLO_CONFIG_DIR", str((data_dir / "ultralytics").resolve()))
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ["YOLO_VERBOSE"] = "false"
    from ultralytics import settings as ultralytics_settings

    ultralytics_settings.update({"sync": False})  # type: ignore[no-untyped-call]


def find_model(settings: Settings) -> Path | None:
    """The weights' path; None for weights of Ultralytics' own that are not here yet. Raises ModelMissing."""
    path = Path(settings.model_name)
    downloaded = settings.data_dir / "models" / path
    found = next((candidate for candidate in (path, downloaded) if candidate.exists()), None)
    if found is None:
        if len(path.parts) > 1 or path.suffix != ".pt":
            raise ModelMissing(_missing(settings.model_name))
        return None
    # .pt weights are pickles, and loading one runs what is in it.
    if settings.model_sha256 and _digest(found) != settings.model_sha256:
        raise ModelMissing(f"The weights {found} are not the ones that MODEL_SHA256 names.")
    return found


def _fetched_model(settings: Settings) -> Path:
    """The weights' path, downloaded first where they are Ultralytics' own. Raises ModelMissing."""
    found = find_model(settings)
    if found is not None:
        return found
    from ultralytics.utils.downloads import attempt_download_asset

    target = settings.data_dir / "models" / settings.model_name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        attempt_download_asset(str(target))
    except (OSError, RuntimeError) as error:  # ConnectionError is an OSError
        raise ModelMissing(_missing(settings.model_name)) from error
    model = find_model(settings)
    if model is None:
        raise ModelMissing(_missing(settings.model_name))
    return model


def _missing(model_name: str) -> str:
    return (
        f"The detector's weights {model_name!r} are not there and cannot be downloaded. Put them on this machine and "
        "set MODEL_NAME to their path, or set DETECTOR=hog for OpenCV's built-in people detector."
    )


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files in order of their names."""
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        with file.open("rb") as stream:
            while block := stream.read(HASH_BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()
