"""How many frames a video may have. Whoever works on it keeps something for each of them."""

from __future__ import annotations

from collections.abc import Sized

from backend.errors import MediaTooCostly
from backend.media.facts import VideoFacts
from backend.media.segments import MAX_CHUNKS
from backend.settings import Settings

# Of a video that nobody has counted. No codec makes frames that are smaller, container and all, over a whole film.
LEAST_BYTES_A_FRAME = 8


def most_frames(settings: Settings, source_bytes: int) -> int:
    """A table of frames may name the same bytes again and again: no more frames than bytes are believed."""
    return min(settings.max_frames, max(1, source_bytes))


def check_frames(frames: Sized | int, most: int) -> None:
    """Raises MediaTooCostly."""
    if (frames if isinstance(frames, int) else len(frames)) > most:
        raise MediaTooCostly(
            f"The video has more than {most} frames, which is more than its bytes can hold or MAX_FRAMES allows: cut "
            "it into shorter ones."
        )


def most_chunks(facts: VideoFacts, source_bytes: int) -> int:
    """No more than there are frames, whatever length a header promises."""
    counted = facts.most_frames
    return max(1, min(MAX_CHUNKS, source_bytes // LEAST_BYTES_A_FRAME if counted is None else counted))
