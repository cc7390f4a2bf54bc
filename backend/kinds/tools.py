"""What a worker must have for a step, and what it has: detectors, opened by the step that first asks for one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from backend.settings import Settings
from backend.vision.detector import Detector
from backend.vision.pose.detector import PoseDetector, open_pose_detector


class Need(StrEnum):
    """What a worker must load or have before it can do a step."""

    DETECTOR = "detector"
    POSE = "pose"


@dataclass(frozen=True)
class Tools:
    """What a worker has. A detector is opened by the step that first asks for it."""

    settings: Settings
    open_detector: Callable[[], Detector]
    open_pose_detector: Callable[[Settings], PoseDetector] = open_pose_detector
    hardware: frozenset[str] = frozenset()  # encoders and decoders that were tried here (media/hardware.py)
    unfit_jobs: set[str] = field(default_factory=set)  # whose films that hardware does not decode as the CPU does

    @cached_property
    def detector(self) -> Detector:
        """Raises ModelMissing."""
        return self.open_detector()

    @cached_property
    def pose_detector(self) -> PoseDetector:
        """Raises ModelMissing."""
        return self.open_pose_detector(self.settings)

    def load(self, needs: frozenset[Need]) -> None:
        """Before anything is claimed, so that nothing fails for what this worker lacks. Raises ModelMissing."""
        if Need.DETECTOR in needs:
            self.detector.describe()
        if Need.POSE in needs:
            self.pose_detector.describe()

    def described(self, needs: frozenset[Need]) -> dict[str, Any] | None:
        """The detector that such a step works with, for the job's row."""
        people = self.detector.describe() if Need.DETECTOR in needs else None
        poses = self.pose_detector.describe() if Need.POSE in needs else None
        if people and poses:
            return people | {f"pose_{name}": value for name, value in poses.items()}
        return people or poses

    @property
    def special(self) -> frozenset[Need]:
        """What not every worker has, and this one does: chunks that need such a thing are claimed by nobody else."""
        return frozenset({Need.POSE} if self.settings.pose_model_name else ())
