"""The whole service, with uploads larger than it may hold: its memory stays flat, a bucket's bytes never pass it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.uploads import MIB, cost_of, passed_to_a_bucket, send_as_form, send_in_parts

MOST_BYTES = 64 * MIB


@pytest.mark.slow
@pytest.mark.parametrize("send", [send_in_parts, send_as_form])
def test_memory_stays_flat_while_a_gigabyte_comes_in(send: Callable[[str, int], object], tmp_path: Path) -> None:
    if send is send_as_form and shutil.which("curl") is None:
        pytest.skip("curl is not on this machine: apt-get install curl")
    assert cost_of(send, tmp_path, 1024 * MIB).grown_bytes < MOST_BYTES


@pytest.mark.slow
def test_what_goes_to_a_bucket_by_links_does_not_pass_the_api(tmp_path: Path) -> None:
    size_bytes = 128 * MIB
    passed = passed_to_a_bucket(tmp_path, size_bytes)
    assert passed.to_api < 64 * 1024
    assert size_bytes <= passed.to_bucket < size_bytes + MIB
    assert passed.from_bucket < MIB
