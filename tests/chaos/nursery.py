"""Forks worker processes from one that has already imported everything: a killed worker is back in a moment.

`python -m tests.chaos.nursery` reads orders as JSON lines and answers with the worker's process id. A worker runs the
very `main` of its command, in a process and a session of its own, with the environment of the order. SIGUSR1 makes its
working thread hang, as a detector on a broken driver does.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time

# The last two are what a worker imports when it first needs it.
MODULES = (
    "backend.workers.gpu_chunk_worker",
    "backend.workers.analysis_worker",
    "backend.storage.s3",
    "backend.vision.detectors.hog",
)
FOR_EVER_SEC = 3600.0


def main() -> None:
    for module in MODULES:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(order)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _become(order: dict[str, object]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    with open(str(order["log"]), "ab") as log, open(os.devnull, "rb") as nothing:
        for stream, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(stream.fileno(), target)
    # A handler runs in the main thread, the one that works; all others go on.
    signal.signal(signal.SIGUSR1, lambda number, frame: time.sleep(FOR_EVER_SEC))
    os.environ.update(order["env"])  # type: ignore[call-overload]
    sys.argv = [str(order["module"]), "--parent-pid", str(os.getppid())]
    sys.exit(sys.modules[str(order["module"])].main())


if __name__ == "__main__":
    main()
