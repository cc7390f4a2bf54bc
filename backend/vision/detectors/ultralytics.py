"""Ultralytics YOLO on torch: `.pt` weights and TensorRT engines. The only place that imports either.

They come with `framefleet[gpu]`; loading them takes seconds and hundreds of megabytes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pynvml
from numpy.typing import NDArray

from backend.errors import ModelMissing
from backend.events import Event, emit, warn
from backend.settings import Settings
from backend.vision.classes import PEOPLE, class_numbers
from backend.vision.detector import Detections
from backend.vision.weights import PACKAGED_NAME, digest
from backend.vision.yolo import INPUT_PX, PERSON_CLASS

GPU_BATCH, CPU_BATCH = 32, 4


class UltralyticsNetwork:
    """fp16 on CUDA."""

    task: ClassVar[str]

    def __init__(self, model: Path, settings: Settings) -> None:
        _check_installed(model.name)
        _quieten(settings.data_dir)
        import torch
        from ultralytics import YOLO

        if settings.threads:
            torch.set_num_threads(settings.threads)
        self._device: str | int = 0 if settings.use_gpu and torch.cuda.is_available() else "cpu"
        on_gpu = self._device != "cpu"
        self.batch_size = settings.detect_batch_size or (GPU_BATCH if on_gpu else CPU_BATCH)
        emit(Event.LOADING_MODEL, model=str(model), device=str(self._device), half=on_gpu)
        try:
            self._yolo = YOLO(str(model), task=self.task)
        except (OSError, RuntimeError, ValueError) as error:
            warn(Event.LOADING_MODEL, model=str(model), message=f"{type(error).__name__}: {error}")
            raise ModelMissing(f"The weights {model} cannot be loaded: the log says why.") from error
        self.names: Mapping[int, str] = dict(self._yolo.names)
        self._half = on_gpu
        self._name = model.name
        self._sha256 = digest(model)
        # The first call compiles and allocates; a claim's lease is no place for it.
        self._results([np.zeros((INPUT_PX, INPUT_PX, 3), np.uint8)], conf=0.5, iou=0.5, numbers=[PERSON_CLASS])

    def _results(
        self, pictures: Sequence[NDArray[np.uint8]], *, conf: float, iou: float, numbers: Sequence[int]
    ) -> Any:
        """Ultralytics' own, one a picture."""
        if not pictures:
            return []
        results: Any = self._yolo.predict(
            list(pictures),
            conf=conf,
            iou=iou,
            classes=numbers,
            imgsz=INPUT_PX,
            half=self._half,
            device=self._device,
            verbose=False,
        )
        return results

    def describe(self) -> dict[str, Any]:
        return {"type": "yolo", "model": self._name, "sha256": self._sha256, "input_px": INPUT_PX}


class UltralyticsDetector(UltralyticsNetwork):
    task = "detect"

    def detect(
        self, pictures: Sequence[NDArray[np.uint8]], *, conf: float, iou: float, classes: Sequence[str] = PEOPLE
    ) -> list[Detections]:
        wanted = class_numbers(classes, self.names)
        results = self._results(pictures, conf=conf, iou=iou, numbers=wanted)
        return [_detections(result.boxes, wanted) for result in results]


def numbers(tensor: Any) -> NDArray[np.float64]:
    """A tensor of torch's as an array."""
    array: NDArray[np.float64] = tensor.cpu().numpy().astype(np.float64)
    return array


def _detections(boxes: Any, wanted: list[int]) -> Detections:
    corners, confidence = numbers(boxes.xyxy), numbers(boxes.conf)
    if len(wanted) == 1:
        return Detections(corners, confidence)
    found = boxes.cls.cpu().numpy().astype(np.int64)
    return Detections(corners, confidence, np.array([wanted.index(number) for number in found], np.int64))


def has_gpu() -> bool:
    """Whether Ultralytics would run on an NVIDIA GPU here. Asks the driver: torch would take seconds to say it."""
    if find_spec("ultralytics") is None:
        return False
    try:
        pynvml.nvmlInit()
        try:
            return bool(pynvml.nvmlDeviceGetCount())
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return False


def download(target: Path, settings: Settings) -> None:
    """Ultralytics' own weights of that name. Raises ModelMissing without Ultralytics, OSError without a network."""
    _check_installed(target.name)
    _quieten(settings.data_dir)
    from ultralytics.utils.downloads import attempt_download_asset

    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        attempt_download_asset(str(target))
    except RuntimeError as error:  # its own checks
        raise OSError(str(error)) from error


def _check_installed(model_name: str) -> None:
    if find_spec("ultralytics") is None:
        raise ModelMissing(
            f"{model_name!r} runs on Ultralytics and torch, which are not installed: pip install -c constraints.txt "
            f"'.[gpu]', or set MODEL_NAME to an exported model (.onnx, OpenVINO folder), such as {PACKAGED_NAME}."
        )


def _quieten(data_dir: Path) -> None:
    """Its telemetry and its installing of packages go off; it reads the variables at import."""
    os.environ.setdefault("YOLO_CONFIG_DIR", str((data_dir / "ultralytics").resolve()))
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ["YOLO_VERBOSE"] = "false"
    from ultralytics import settings as ultralytics_settings

    ultralytics_settings.update({"sync": False})
