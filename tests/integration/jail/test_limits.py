"""What a hostile file may cost: a crash, a hang or a limit ends its media process, and the worker goes on."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from backend.errors import SandboxCrashed, SandboxTimeout
from tests.integration.jail.conftest import Hostile, only_where_there_is_a_jail

pytestmark = only_where_there_is_a_jail
ROOT = Path(__file__).resolve().parents[3]
# A worker whose media process computes without end: it says both numbers, and waits for it.
WORKER = """
import sys
from pathlib import Path
from backend.media.starter import ForkServer
from tests.integration.jail.conftest import ALL, IN_A_CONTAINER, Hostile
layers = {"all": ALL, "container": IN_A_CONTAINER}[sys.argv[1]]
servers = {own: ForkServer("tests.integration.jail.hostile", own_world=own) for own in (True, False)}
with Hostile(servers).process("burn", layers=layers) as process:
    print(process.pid, flush=True)
    for _ in process.messages():
        pass
"""


@pytest.mark.parametrize(("attempt", "signal"), [("segfault", "SIGSEGV"), ("abort", "SIGABRT")])
def test_a_decoder_that_crashes_is_told_by_its_signal(hostile: Hostile, attempt: str, signal: str) -> None:
    with pytest.raises(SandboxCrashed, match=signal):
        hostile.tries(attempt)
    assert hostile.tries("numbers")["got"] is not None  # the next one works


def test_a_decoder_that_hangs_is_given_up(hostile: Hostile) -> None:
    with pytest.raises(SandboxTimeout):
        hostile.tries("wait", 60, silence_sec=0.5)


def test_threads_without_end_end_with_the_memory(hostile: Hostile) -> None:
    found = hostile.tries("threads", memory_bytes=2**30)
    assert found["got"] is None and found["met"] == "RuntimeError"


def test_a_result_without_end_ends_at_its_limit(hostile: Hostile, tmp_path: Path) -> None:
    found = hostile.tries("fill", str(tmp_path / "result"), folder=tmp_path, file_bytes=2**20)
    assert found["got"] is None
    assert (tmp_path / "result").stat().st_size == 2**20


@pytest.mark.parametrize("layers", ["all", "container"])
def test_a_killed_worker_takes_its_media_process_along(layers: str) -> None:
    """At full speed and closed in, which is when it cannot notice anything by itself."""
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, layers], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as worker:
        assert worker.stdout is not None
        child = psutil.Process(int(worker.stdout.readline()))
        until = time.monotonic() + 60
        while child.cpu_times().user < 0.1 and time.monotonic() < until:
            time.sleep(0.01)
        worker.kill()
        worker.wait()
        _, alive = psutil.wait_procs([child], timeout=10)  # by itself it never ends
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
