"""The media processes of a worker, as /proc shows them."""

from __future__ import annotations

import contextlib
from pathlib import Path


def media_children(worker_pid: int) -> list[int]:
    """Process ids: what the fork servers of the worker have forked, but for who only holds their namespaces open."""
    return [pid for server in children_of(worker_pid) for pid in children_of(server) if not _is_first_of_world(pid)]


def children_of(pid: int) -> list[int]:
    """By all threads of a process; none of one that has ended."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, children.read_text().split())
    return found


def _is_first_of_world(pid: int) -> bool:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    numbers = next((line.split()[1:] for line in lines if line.startswith("NSpid:")), [])
    return len(numbers) > 1 and numbers[-1] == "1"
