"""gunicorn's settings, for every way that the API is started: ./gunicorn.conf.py, docker/gunicorn.conf.py, `up`.

gunicorn itself reads WEB_CONCURRENCY (processes, 1), FORWARDED_ALLOW_IPS (proxies whose X-Forwarded-Proto is believed,
127.0.0.1) and GUNICORN_CMD_ARGS; what is on its command line goes before what stands here. Of its settings the worker
class knows: threads, worker_connections, keepalive, backlog, timeout, graceful_timeout, max_requests, reload,
forwarded_allow_ips and secure_scheme_headers.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess

from backend.settings import get_settings

worker_class = "backend.api.server.worker.Worker"
threads = 8  # that answer; no client's slowness takes one
worker_connections = 1000
# A process whose loop does not turn for so long is replaced. A request takes its time in a thread of its own: an upload
# of an hour does not count.
timeout = 120
# After SIGTERM requests under way may end; less than the 120 s that an orchestrator waits before it kills.
graceful_timeout = 100
# The connection stays open longer than a load balancer keeps it (60 s by default), else it would now and then send a
# request into one that is just closed.
keepalive = 75
# Heartbeats: on a slow disk a worker would seem to hang.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
control_socket_disable = True  # nobody uses it, and it would be written into HOME
errorlog = "-"


def on_starting(server: Any) -> None:
    """Counts of processes of an earlier run would be added to ours."""
    folder = get_settings().prometheus_multiproc_dir
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)


def child_exit(server: Any, worker: Any) -> None:
    if get_settings().prometheus_multiproc_dir is not None:
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
