"""HDR and wide gamut to SDR BT.709: one 3-D table, made once, applied to the cut picture by libavfilter. Child only.

The table turns R'G'B' of the source into R'G'B' of BT.709: display light by the source's curve (SMPTE ST 2084, or HLG
with its OOTF at 1000 cd/m², ITU-R BT.2100-2), primaries by ITU-R BT.2087, brightness squeezed by the EETF of
ITU-R BT.2390-10 section 5.4.1 on max(R, G, B) so that hues stay, with HDR reference white of 203 cd/m² (ITU-R BT.2408)
as the new peak, negative light clipped, and the inverse of BT.1886 (gamma 2.4).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from backend.media.colour import Tags
from backend.media.facts import HLG, PQ
from backend.media.hdr_metadata import light_level, mastering

Array = NDArray[np.float64]

REFERENCE_WHITE_NITS = 203.0
DEFAULT_PEAK_NITS = 1000.0
_PQ_PEAK_NITS = 10_000.0
_GAMMA = 2.4
_TABLE_SIDE = 49
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593])
_BT2020_TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


class ToneMap:
    """Applies the table for one kind of source."""

    def __init__(self, tags: Tags, peak_nits: float) -> None:
        self._tags = tags
        self._folder = tempfile.TemporaryDirectory(prefix="framefleet-lut-")
        self._file = Path(self._folder.name) / "table.cube"
        _write_cube(self._file, tags, peak_nits)
        self._graph: Graph | None = None
        self._size = (0, 0)

    def __call__(self, picture: VideoFrame) -> VideoFrame:
        """8-bit 4:2:0 of BT.709 from 10-bit 4:2:0 of the source's encoding."""
        if self._graph is None or self._size != (picture.width, picture.height):
            self._size = (picture.width, picture.height)
            self._graph = self._make(picture)
        picture.pts = 0
        self._graph.vpush(picture)
        mapped = self._graph.vpull()
        return mapped

    def _make(self, picture: VideoFrame) -> Graph:
        matrix = "bt2020" if self._tags.matrix in (9, 10) else "bt709"
        source_range = "full" if self._tags.full_range else "limited"
        graph = Graph()
        nodes = [
            graph.add_buffer(
                width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base
            ),
            graph.add("scale", in_color_matrix=matrix, in_range=source_range, flags="bicubic+accurate_rnd"),
            graph.add("format", "gbrp12le"),
            graph.add("lut3d", file=str(self._file), interp="tetrahedral"),
            graph.add("scale", out_color_matrix="bt709", out_range="limited", flags="bicubic+accurate_rnd"),
            graph.add("format", "yuv420p"),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        return graph


def peak_nits(frame: VideoFrame, tags: Tags) -> float:
    """The brightest the film gets: MaxCLL, else the mastering display's peak, else 1000 cd/m²; HLG has a fixed one."""
    if tags.transfer != PQ:
        return DEFAULT_PEAK_NITS
    light, display = light_level(frame), mastering(frame)
    peak = float((light and light[0]) or (display and display.most_nits) or DEFAULT_PEAK_NITS)
    return min(max(peak, REFERENCE_WHITE_NITS), _PQ_PEAK_NITS)


def pq_to_nits(signal: Array) -> Array:
    """EOTF of SMPTE ST 2084."""
    root = np.power(np.clip(signal, 0, 1), 1 / _M2)
    nits: Array = _PQ_PEAK_NITS * np.power(np.maximum(root - _C1, 0) / (_C2 - _C3 * root), 1 / _M1)
    return nits


def nits_to_pq(nits: Array) -> Array:
    power = np.power(np.clip(nits / _PQ_PEAK_NITS, 0, 1), _M1)
    signal: Array = np.power((_C1 + _C2 * power) / (1 + _C3 * power), _M2)
    return signal


def hlg_to_nits(signal: Array) -> Array:
    """Inverse OETF and OOTF of BT.2100 for a display of 1000 cd/m²; the last axis is R, G, B."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luma = (scene @ _BT2020_LUMA)[..., None]
    nits: Array = DEFAULT_PEAK_NITS * np.power(np.maximum(luma, 1e-9), 0.2) * scene
    return nits


def nits_to_hlg(nits: Array) -> Array:
    """The inverse of hlg_to_nits."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    shown = (nits / DEFAULT_PEAK_NITS @ _BT2020_LUMA)[..., None]
    scene = nits / DEFAULT_PEAK_NITS / np.power(np.maximum(shown, 1e-9), 0.2 / 1.2)
    high = a * np.log(np.maximum(12 * scene - b, 1e-9)) + c
    signal: Array = np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)
    return signal


def squeezed(nits: Array, peak: float, target: float = REFERENCE_WHITE_NITS) -> Array:
    """The EETF of BT.2390: unchanged below the knee, then a Hermite spline that ends flat at the target's peak."""
    whole = float(nits_to_pq(np.array(peak)))
    ceiling = float(nits_to_pq(np.array(target))) / whole
    knee = 1.5 * ceiling - 0.5
    signal = np.minimum(nits_to_pq(nits) / whole, 1)
    t = np.clip((signal - knee) / max(1 - knee, 1e-9), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * ceiling
    return pq_to_nits(np.where(signal < knee, signal, spline) * whole)


def mapped(signal: Array, tags: Tags, peak: float) -> Array:
    """R'G'B' of BT.709 in 0…1 from R'G'B' of the source; the last axis is R, G, B."""
    if not tags.is_hdr:
        light = np.power(signal, _GAMMA) @ _BT2020_TO_709.T
    else:
        nits = (hlg_to_nits(signal) if tags.transfer == HLG else pq_to_nits(signal)) @ _BT2020_TO_709.T
        brightest = np.maximum(nits.max(axis=-1, keepdims=True), 1e-6)
        light = nits * (squeezed(brightest, peak) / brightest) / REFERENCE_WHITE_NITS
    encoded: Array = np.power(np.clip(light, 0, 1), 1 / _GAMMA)
    return encoded


def bt709_to_hdr(signal: Array, tags: Tags) -> Array:
    """The way back for what is drawn on kept HDR: R'G'B' of the picture's encoding from that of BT.709, whose white is
    the reference white. The last axis is R, G, B."""
    light = np.power(np.clip(signal, 0, 1), _GAMMA) @ np.linalg.inv(_BT2020_TO_709).T
    light = np.clip(light, 0, 1)
    if not tags.is_hdr:
        encoded: Array = np.power(light, 1 / _GAMMA)
        return encoded
    nits = light * REFERENCE_WHITE_NITS
    return nits_to_hlg(nits) if tags.transfer == HLG else nits_to_pq(nits)


def _write_cube(file: Path, tags: Tags, peak: float) -> None:
    """The .cube format of Adobe: red runs fastest."""
    axis = np.linspace(0, 1, _TABLE_SIDE)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    table = mapped(np.stack([red, green, blue], axis=-1), tags, peak).reshape(-1, 3)
    lines = ("%.6f %.6f %.6f\n" * len(table)) % tuple(table.ravel().tolist())
    file.write_text(f"LUT_3D_SIZE {_TABLE_SIDE}\n{lines}")
