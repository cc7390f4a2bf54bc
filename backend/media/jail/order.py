"""What the parent orders of the jail: it crosses to the child as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self


class Mode(StrEnum):
    REQUIRED = "required"  # without Landlock and seccomp nothing is parsed
    BEST_EFFORT = "best-effort"  # with whatever of it this machine has
    OFF = "off"  # limits alone


class Layer(StrEnum):
    NAMESPACES = "namespaces"
    LANDLOCK = "landlock"
    SECCOMP = "seccomp"


@dataclass(frozen=True)
class Jail:
    """`folder`: what the operation may read and write beside its own scratch folder; None: nothing. `cpu_sec` bounds
    the processor time of the process, `file_bytes` each file that it writes. `layers` are all, but where one is looked
    at alone."""

    mode: Mode
    memory_bytes: int
    cpu_sec: int
    file_bytes: int
    folder: Path | None = None
    layers: frozenset[Layer] = frozenset(Layer)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {
            "folder": None if self.folder is None else str(self.folder),
            "layers": sorted(self.layers),
        }

    @classmethod
    def of_json(cls, said: dict[str, Any]) -> Self:
        return cls(
            **said
            | {
                "mode": Mode(said["mode"]),
                "folder": None if said["folder"] is None else Path(said["folder"]),
                "layers": frozenset(map(Layer, said["layers"])),
            }
        )

    def has(self, layer: Layer) -> bool:
        return self.mode is not Mode.OFF and layer in self.layers
