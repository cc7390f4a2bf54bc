"""Lays transparent pictures on black, as players show them: what is hidden stays hidden. Child process only.

The filter is libavfilter's premultiply, which knows the black of every range and chroma's middle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame


def laid_on_black(frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
    """As many frames as come in, with their PTS. Opaque ones pass untouched and at no cost."""
    graph: Graph | None = None
    shape: tuple[int, int, str] | None = None
    for frame in frames:
        if not _has_alpha(frame.format):
            yield frame
            continue
        if graph is None or shape != (frame.width, frame.height, frame.format.name):
            graph, shape = _premultiplier(frame), (frame.width, frame.height, frame.format.name)
        graph.vpush(frame)
        laid = graph.vpull()
        laid.pts, laid.duration, laid.time_base, laid.opaque = frame.pts, frame.duration, frame.time_base, frame.opaque
        yield laid


def _premultiplier(frame: VideoFrame) -> Graph:
    is_yuv = frame.format.name.startswith("yuv")
    deep = any(component.bits > 8 for component in frame.format.components)
    with_alpha, without = ("yuva444p", "yuv444p") if is_yuv else ("gbrap", "gbrp")
    depth = "10le" if deep else ""
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    graph.link_nodes(
        source,
        graph.add("format", f"pix_fmts={with_alpha}{depth}"),
        graph.add("premultiply", "inplace=1"),
        graph.add("format", f"pix_fmts={without}{depth}"),
        graph.add("buffersink"),
    ).configure()
    return graph


def _has_alpha(pixel_format: VideoFormat) -> bool:
    return any(component.is_alpha for component in pixel_format.components)
