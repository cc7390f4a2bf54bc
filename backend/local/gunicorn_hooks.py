"""What gunicorn runs of ours: an API whose `up` was killed must not keep the port."""

from __future__ import annotations

import os

from backend.workers.loop import exit_with_parent

PARENT_VARIABLE = "FRAMEFLEET_PARENT_PID"
forwarder_headers = ""  # else a client's SCRIPT_NAME would shorten the path that routes are found by


def when_ready(server: object) -> None:
    exit_with_parent(int(os.environ[PARENT_VARIABLE]))
