"""A worker that runs as another user than root, and what its media process gets: `-m … FOLDER`, answers in JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from backend.media.starter import ForkServer
from tests.integration.jail.conftest import ALL, IN_A_CONTAINER, NONE, Hostile


def main(folder: Path) -> dict[str, dict[str, Any]]:
    worker = os.getpid()
    module = "tests.integration.jail.hostile"
    hostile = Hostile({own: ForkServer(module, own_world=own) for own in (True, False)})
    mine = folder / "mine"
    mine.mkdir()
    (folder / "another").write_text("another job's")
    secrets: dict[str, tuple[Any, ...]] = {
        "environment": ("read", f"/proc/{worker}/environ"),
        "memory": ("read", f"/proc/{worker}/mem"),
        "trace": ("trace", worker),
    }
    attempts: dict[str, tuple[Any, ...]] = secrets | {
        "another job's file": ("read", str(folder / "another")),
        "another job's file, replaced": ("write", str(folder / "another")),
        "signal": ("kill", worker, int(signal.SIGCONT)),
        "network": ("send_to", ["127.0.0.1", 9]),
        "fork": ("fork",),
        "program": ("spawn",),
        "namespaces": ("unshare",),
        "link": ("symlink", str(mine / "link")),
    }
    # A worker hides itself: that alone keeps its secrets from a process of the same user.
    tried = {"all layers": (ALL, attempts), "as in a container": (IN_A_CONTAINER, attempts), "none": (NONE, secrets)}
    answers = {}
    for name, (layers, each) in tried.items():
        found = hostile.tries_all(list(each.values()), mine, layers=layers)
        answers[name] = dict(zip(each, found["answers"], strict=True))
    for server in hostile.servers.values():
        server._give_up()
    return answers


if __name__ == "__main__":
    json.dump(main(Path(sys.argv[1])), sys.stdout)
