"""The pictures' memory, when the process that shares it is hostile."""

from __future__ import annotations

import os
import sys

import pytest

from backend.media.ring import FrameRing


@pytest.mark.skipif(sys.platform != "linux", reason="sealed memory is Linux's: there the jail is needed")
@pytest.mark.parametrize("size_bytes", [0, 4096 * 8])
def test_the_media_process_cannot_change_the_length_of_what_is_shared(size_bytes: int) -> None:
    """Shorter, and whoever looks at it next would end with SIGBUS."""
    ring = FrameRing(2, 4096)
    with pytest.raises(PermissionError):
        os.ftruncate(ring.fileno(), size_bytes)
    assert bytes(ring.slot(1)) == bytes(4096)
    ring.close()
