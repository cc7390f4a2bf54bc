"""A film's first frame as a small picture, in memory shared with the parent, which makes a JPEG of the pixels: no file
that hostile bytes had a hand in reaches a browser. Child process only."""

from __future__ import annotations

import mmap
from fractions import Fraction

import av.error
import numpy as np
from av.video.frame import VideoFrame

from backend.errors import MediaError
from backend.media.facts import VideoFacts, poster_size
from backend.media.samples import Pictures
from backend.media.shape import CodedShape
from backend.media.shown import shown


def draw_poster(first: VideoFrame, facts: VideoFacts, memory: mmap.mmap) -> bool:
    """Puts the frame, as a viewer sees it, into `memory`: rows of BGR in `poster_size`. False where that cannot be
    done, which is no reason to refuse a film."""
    aspect = Fraction(*facts.sample_aspect_ratio)
    shape = CodedShape(facts.coded_width, facts.coded_height, aspect, facts.rotation, facts.mirrored)
    try:
        picture = Pictures(poster_size(facts), shape).of(next(iter(shown([first]))))
    except (av.error.FFmpegError, MediaError, ValueError, MemoryError):
        return False
    flat = np.ascontiguousarray(picture).reshape(-1)
    np.frombuffer(memory, np.uint8, flat.size)[:] = flat
    return True
