"""What a worker makes of the last word of a media process that was taken over."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from backend.errors import FramefleetError, JailUnavailable, MediaTruncated, SandboxCrashed, SandboxTimeout
from backend.media import wire
from backend.media.limits import Limits
from backend.media.sandbox import NO_BYTES, MediaProcess

LIMITS = Limits(silence_sec=5.0, memory_bytes=2**30)


class Says:
    """A child of which nothing is there but what it says."""

    pid = 0

    def __init__(self, *said: dict[str, Any], is_deaf: bool = False) -> None:
        self._said = said
        self._is_deaf = is_deaf

    def __call__(self, handed: Sequence[int], stderr_fd: int, scratch: str, *, own_world: bool) -> Says:
        self.messages = socket.socket(fileno=os.dup(handed[1]))  # open: the order is still to come
        for message in self._said:
            wire.send_message(self.messages, message)
        if self._is_deaf:
            self.messages.close()
        return self

    def poll(self) -> int | None:
        return None

    def wait(self, timeout: float | None = None) -> int:
        self.messages.close()
        return 0

    def kill(self) -> None:
        return


def heard(*messages: dict[str, Any]) -> type[FramefleetError] | None:
    with MediaProcess("any", {}, NO_BYTES, LIMITS, start=Says(*messages)) as process:
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


def test_it_may_not_blame_a_disk_that_has_room() -> None:
    assert heard({"error": "storage_error", "message": "believe me"}) is SandboxCrashed


def test_it_may_not_blame_its_jail_once_that_is_closed() -> None:
    missing = {"error": "media_jail_unavailable", "message": "believe me"}
    assert heard(missing) is JailUnavailable
    assert heard({"closed_in": True}, missing) is SandboxCrashed


def test_a_child_that_is_gone_before_its_order_is_a_crash_and_leaves_nothing_open() -> None:
    def gone(handed: Sequence[int], stderr_fd: int, scratch: str, *, own_world: bool) -> Says:
        return Says({"result": {}}, is_deaf=True)(handed, stderr_fd, scratch, own_world=own_world)

    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(SandboxCrashed):
        MediaProcess("any", {}, NO_BYTES, LIMITS, start=gone)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_child_that_goes_on_for_too_long_is_stopped() -> None:
    never = replace(LIMITS, wall_sec=0.0)
    with MediaProcess("any", {}, NO_BYTES, never, start=Says({"frames": 1})) as process, pytest.raises(SandboxTimeout):
        list(process.messages())


def test_it_says_what_is_wrong_with_its_film() -> None:
    assert heard({"error": "media_truncated", "message": "It ends early."}) is MediaTruncated
    assert heard({"error": "of a later version"}) is FramefleetError


@pytest.mark.parametrize("result", [5, None, [], "x", True])
def test_a_result_that_is_none_is_a_crash(result: Any) -> None:
    assert heard({"result": result}) is SandboxCrashed
    assert heard({"result": {}}) is None
