"""YOLO exported to ONNX or OpenVINO, run on OpenVINO's CPU plugin: no torch, a second to start.

Not OpenVINO's own AsyncInferQueue, which can hang (Ultralytics' issue 25923): plain requests, started and waited for.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import openvino as ov
import yaml
from numpy.typing import NDArray
from openvino import properties
from openvino.preprocess import ColorFormat, PrePostProcessor

from backend.errors import ModelMissing
from backend.events import Event, emit, warn
from backend.settings import Settings
from backend.vision.classes import PEOPLE, PERSON, class_numbers
from backend.vision.detector import Detections
from backend.vision.weights import digest
from backend.vision.yolo import INPUT_PX, PERSON_CLASS, Letterbox, objects

BATCH = 4
Picture = NDArray[np.uint8]
Found = TypeVar("Found")


class OpenVinoNetwork:
    """A YOLO network, whatever it finds. A model of fixed shape gets its pictures one by one, several at a time;
    another one a whole batch at once."""

    def __init__(self, model: Path, settings: Settings, fallback: str | None = None) -> None:
        emit(Event.LOADING_MODEL, model=str(model), device="cpu", half=False)
        self._fallback = fallback
        self._name = model.name
        self._sha256 = digest(model)
        try:
            network = _read(model)
            self.names: Mapping[int, str] = _names(model, network)
            shape = network.input(0).partial_shape
            self._tight = shape[2].is_dynamic
            self._limit = (INPUT_PX, INPUT_PX) if self._tight else (shape[2].get_length(), shape[3].get_length())
            fixed_batch = None if shape[0].is_dynamic else shape[0].get_length()
            compiled = ov.Core().compile_model(_fed_with_pictures(network), "CPU", _properties(settings))
        except (RuntimeError, ValueError, IndexError) as error:
            raise _unreadable(model, error) from error
        count = int(compiled.get_property(properties.optimal_number_of_infer_requests()))
        self._requests = [compiled.create_infer_request() for _ in range(count)]
        self.batch_size = settings.detect_batch_size or max(BATCH, count)
        # Every core has a part of the batch, and the parts are as large as that allows.
        self._is_fixed = fixed_batch is not None
        self._group = fixed_batch or -(-self.batch_size // count)

    def _run(self, pictures: Sequence[Picture], read: Callable[[NDArray[np.float32], Letterbox], Found]) -> list[Found]:
        """What `read` reads in the network's output for each picture."""
        found: list[Found] = []
        running: list[tuple[ov.InferRequest, Letterbox, int]] = []
        for number, group in enumerate(self._groups(pictures)):
            if len(running) == len(self._requests):
                found += _finished(*running.pop(0), read)
            request = self._requests[number % len(self._requests)]
            box = Letterbox.of(group[0].shape[:2], self._limit, tight=self._tight)
            request.start_async({0: self._input(group, box)})
            running.append((request, box, len(group)))
        for request, box, count in running:
            found += _finished(request, box, count, read)
        return found

    def describe(self) -> dict[str, Any]:
        fallback = {"fallback": self._fallback} if self._fallback else {}
        what = {"type": "yolo", "runtime": "openvino", "model": self._name, "sha256": self._sha256}
        return {**what, "input_px": max(self._limit), **fallback}

    def _groups(self, pictures: Sequence[Picture]) -> Iterator[list[Picture]]:
        """Pictures that go into the network together: of one size, in their order."""
        for _, same in groupby(pictures, key=lambda picture: picture.shape):
            row = list(same)
            yield from (row[start : start + self._group] for start in range(0, len(row), self._group))

    def _input(self, group: list[Picture], box: Letterbox) -> NDArray[np.uint8]:
        """(n, height, width, 3); a fixed batch that is not full is filled up with nothing."""
        batch = np.zeros((self._group if self._is_fixed else len(group), *box.input, 3), np.uint8)
        for target, picture in zip(batch, group, strict=False):
            box.fill(target, picture)
        return batch


class OpenVinoDetector(OpenVinoNetwork):
    def detect(
        self, pictures: Sequence[Picture], *, conf: float, iou: float, classes: Sequence[str] = PEOPLE
    ) -> list[Detections]:
        numbers = class_numbers(classes, self.names)
        return self._run(pictures, functools.partial(objects, conf=conf, iou=iou, numbers=numbers))


def names_of(model: Path) -> Mapping[int, str]:
    """What an exported model can tell apart, by its own account. Raises ModelMissing for what is no model."""
    try:
        return _names(model, _read(model))
    except (RuntimeError, ValueError, IndexError) as error:
        raise _unreadable(model, error) from error


def _unreadable(model: Path, error: Exception) -> ModelMissing:
    """A library's words are for the log."""
    warn(Event.LOADING_MODEL, model=str(model), message=f"{type(error).__name__}: {error}")
    return ModelMissing(f"The weights {model} cannot be loaded: the log says why.")


def _names(model: Path, network: ov.Model) -> Mapping[int, str]:
    """Ultralytics' exports say it in metadata.yaml (a folder) or in the ONNX file's own metadata."""
    described = model / "metadata.yaml"
    names: Any = None
    if described.exists():
        names = yaml.safe_load(described.read_text(encoding="utf-8")).get("names")
    elif network.has_rt_info(["framework", "names"]):
        names = ast.literal_eval(network.get_rt_info(["framework", "names"]).astype(str))
    if not isinstance(names, dict):  # by somebody else: what every detector of people has
        return {PERSON_CLASS: PERSON}
    return {int(number): str(name) for number, name in names.items()}


def _finished(
    request: ov.InferRequest, box: Letterbox, count: int, read: Callable[[NDArray[np.float32], Letterbox], Found]
) -> list[Found]:
    request.wait()
    return [read(output, box) for output in request.get_output_tensor(0).data[:count]]


def _read(model: Path) -> ov.Model:
    """Raises IndexError for a folder without a model, RuntimeError for what OpenVINO cannot read."""
    network = ov.Core().read_model(sorted(model.glob("*.xml"))[0] if model.is_dir() else model)
    is_int8 = any(node.get_type_name() == "FakeQuantize" for node in network.get_ops())
    if is_int8 and network.input(0).partial_shape.is_dynamic:
        # OpenVINO's INT8 kernels crash on dynamic shapes where the CPU has AMX (its issue 37577).
        network.reshape([1, 3, INPUT_PX, INPUT_PX])
    return network


def _fed_with_pictures(network: ov.Model) -> ov.Model:
    """Takes BGR bytes, (n, height, width, 3): turning them into numbers costs least within the network."""
    steps = PrePostProcessor(network)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC")).set_color_format(ColorFormat.BGR)
    steps.input().model().set_layout(ov.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(ov.Type.f32).convert_color(ColorFormat.RGB).scale(255.0)
    return steps.build()


def _properties(settings: Settings) -> dict[str, Any]:
    threads = {properties.inference_num_threads(): settings.threads} if settings.threads else {}
    return {
        properties.hint.performance_mode(): properties.hint.PerformanceMode.THROUGHPUT,
        # Two workers of one machine would be pinned to the same cores.
        properties.hint.enable_cpu_pinning(): False,
        **threads,
    }
