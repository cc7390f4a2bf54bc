"""Decoded frames as a viewer sees them: whole, not interlaced, and laid on black where they are transparent. Child
process only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from av.video.frame import VideoFrame

from backend.media.deinterlace import deinterlaced
from backend.media.transparency import laid_on_black


def shown(frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
    """As many frames as come in, with their PTS. Raises MediaUndecodable."""
    return laid_on_black(deinterlaced(frames))
