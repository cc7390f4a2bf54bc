"""What gunicorn runs of ours under `up`: an API whose `up` was killed must not keep the port."""

from __future__ import annotations

import os

from backend.api.server.config import *  # noqa: F403 - gunicorn reads what stands there as settings
from backend.workers.loop import exit_with_parent

PARENT_VARIABLE = "FRAMEFLEET_PARENT_PID"
graceful_timeout = 8  # whoever presses Ctrl-C waits


def when_ready(server: object) -> None:
    exit_with_parent(int(os.environ[PARENT_VARIABLE]))
