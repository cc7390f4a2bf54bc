"""One job of every kind, for whatever has to hold for all of them. The places are within 320 x 240 pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from backend.kinds import kind_named
from backend.kinds.base import Kind

# Lossless: two films are the same only if what was drawn is.
LOSSLESS: Mapping[str, Any] = {"preset": "ultrafast", "crf": 0}


@dataclass(frozen=True)
class Asked:
    """`main`: the result to compare, where it is not the job's output."""

    kind: str
    params: Mapping[str, Any]
    main: str | None = None

    @property
    def phases(self) -> Kind[Any]:
        return kind_named(self.kind).for_job(self.params)

    @property
    def samples(self) -> bool:
        """Whether anybody is looked for on sampled frames."""
        return self.phases.phases[0].chunks is not None

    def with_params(self, **params: Any) -> Asked:
        return replace(self, params={**self.params, **params})


def _key(frame: int, **values: float) -> dict[str, float]:
    return {"frame": frame, **values}


_WINDOWS = [
    _key(0, x=0, y=0, width=160, height=120),
    _key(60, x=90.5, y=70, width=200, height=150),
    _key(95, x=150, y=20, width=160, height=120),
]
_ELLIPSES = [_key(5, x=40, y=60, radius_x=20, radius_y=40), _key(90, x=260, y=150, radius_x=50, radius_y=50)]
FILMS = {
    "crop": Asked("crop", {"aspect": "1:1", "pose": True, **LOSSLESS}),
    "annotate": Asked("annotate", {"pose": True, **LOSSLESS}),
    "framing": Asked("framing", {"keyframes": _WINDOWS, "interpolation": "smooth", **LOSSLESS}),
    "overlay": Asked("overlay", {"highlight_regions": [{"keyframes": _ELLIPSES}], **LOSSLESS}),
    "overlay_of_a_track": Asked("overlay", {"highlight_regions": [{"track_id": 1}], **LOSSLESS}),
    "pose": Asked("pose", {"render": True, **LOSSLESS}, main="skeleton.mp4"),
    "downsample": Asked("downsample", {"resolution": 120, **LOSSLESS}),
    "encode": Asked("encode", {"language": "deu", **LOSSLESS}),  # `audio_uri` is for the test to add
}
OTHERS = {
    "audio_trim": Asked("audio_trim", {"start_sec": 0.5, "duration_sec": 1.25}),
    "stage": Asked("stage", {}),
}
