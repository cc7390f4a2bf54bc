"""What a worker makes of the last word of a media process that was taken over."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from backend.errors import FramefleetError, MediaTruncated, SandboxCrashed
from backend.media import wire
from backend.media.limits import Limits
from backend.media.sandbox import NO_BYTES, MediaProcess

LIMITS = Limits(silence_sec=5.0, memory_bytes=2**30)


@dataclass
class Says:
    """A child of which nothing is there but what it says."""

    message: dict[str, Any]
    pid: int = 0

    def __call__(self, handed: Sequence[int], stderr_fd: int, scratch: str, *, own_world: bool) -> Says:
        self.messages = socket.socket(fileno=os.dup(handed[1]))  # open: the order is still to come
        wire.send_message(self.messages, self.message)
        return self

    def poll(self) -> int | None:
        return None

    def wait(self, timeout: float | None = None) -> int:
        self.messages.close()
        return 0

    def kill(self) -> None:
        return


def heard(message: dict[str, Any]) -> type[FramefleetError] | None:
    with MediaProcess("any", {}, NO_BYTES, LIMITS, start=Says(message)) as process:
        try:
            list(process.messages())
        except FramefleetError as error:
            return type(error)
    return None


@pytest.mark.parametrize(
    "code", ["claim_lost", "access_revoked", "model_missing", "newer_version", "database_unavailable", "work_stalled"]
)
def test_it_may_not_say_what_would_spare_its_job_or_stop_its_worker(code: str) -> None:
    assert heard({"error": code, "message": "believe me"}) is SandboxCrashed


def test_it_says_what_is_wrong_with_its_film() -> None:
    assert heard({"error": "media_truncated", "message": "It ends early."}) is MediaTruncated
    assert heard({"error": "of a later version"}) is FramefleetError


@pytest.mark.parametrize("result", [5, None, [], "x", True])
def test_a_result_that_is_none_is_a_crash(result: Any) -> None:
    assert heard({"result": result}) is SandboxCrashed
    assert heard({"result": {}}) is None
