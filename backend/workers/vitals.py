"""What a worker process shows of itself beside its work: that it lives, its metrics, its traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from prometheus_client import start_http_server

from backend import counters, tracing
from backend.db.engine import Database
from backend.db.sql import statement
from backend.errors import DatabaseUnavailable, InvalidRequest
from backend.events import Event, emit
from backend.kinds import KINDS
from backend.queue.figures import SEEN_EVERY_SEC, SILENT_SECONDS
from backend.queue.surroundings import Surroundings
from backend.settings import Settings
from backend.versions import SCHEMA_VERSION
from backend.workers.duties import Duties, Duty
from backend.workers.orders import StopOrders

# Whose work is not on the machines that come and go with the queue.
SENDERS = frozenset({"analysis_worker"})
PORTS_TRIED = 32  # several workers of one machine share a setting


@contextmanager
def vitals(
    name: str,
    settings: Settings,
    database: Database,
    surroundings: Surroundings | None = None,
    hardware: Sequence[str] = (),
) -> Iterator[None]:
    """For as long as the worker `name` runs. Raises InvalidRequest when no port is free for its metrics."""
    with ExitStack() as stack:
        tracing.configure(settings, name)
        stack.callback(tracing.stop)
        if settings.metrics_port is not None:
            _serve_metrics(stack, settings, settings.metrics_port)
        stack.enter_context(presence(name, settings, database, surroundings, hardware))
        if settings.metrics == "cloudwatch" and name in SENDERS:
            from backend.workers.metrics import ASK_EVERY_SEC, CloudWatchSender  # boto3 takes a third of a second

            sender = CloudWatchSender(database, settings)
            # Not among the janitor's duties: deleting a thousand objects would leave out a minute.
            stack.enter_context(Duties(Duty("cloudwatch", ASK_EVERY_SEC, sender.send_if_due)).in_background())
        yield


@contextmanager
def presence(
    name: str,
    settings: Settings,
    database: Database,
    surroundings: Surroundings | None = None,
    hardware: Sequence[str] = (),
) -> Iterator[None]:
    """A row in `workers` while the block runs, renewed from a thread: a long chunk must not look like a dead worker. It
    tells what the worker knows and suffers from; the worker learns from it whether it suffers alone."""
    known = {"knows": sorted(KINDS), "schema_version": SCHEMA_VERSION, "encoders": list(hardware)}
    row = {"worker_id": settings.worker_id, "kind": name, **known}
    orders = StopOrders(database, settings.worker_id)

    def seen() -> None:
        told = {"trouble": surroundings.trouble if surroundings else None, "silent_seconds": SILENT_SECONDS}
        with database.transaction() as connection:
            others_are_well = connection.execute(statement("worker_seen"), row | told).scalar_one()
        if surroundings is not None:
            surroundings.compare(others_are_well)
        orders.obey()

    try:
        with Duties(Duty("presence", SEEN_EVERY_SEC, seen)).in_background():
            yield
    finally:
        with suppress(DatabaseUnavailable), database.transaction() as connection:  # else its silence tells
            connection.execute(statement("worker_gone"), {"worker_id": settings.worker_id})


def _serve_metrics(stack: ExitStack, settings: Settings, first_port: int) -> None:
    counters.start()
    for port in range(first_port, min(first_port + PORTS_TRIED, 65536)):
        try:
            server, _ = start_http_server(port, settings.metrics_host, counters.REGISTRY)
        except OSError:
            continue
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        emit(Event.METRICS_LISTENING, host=settings.metrics_host, port=port)
        return
    raise InvalidRequest(f"METRICS_PORT: nothing is free on {settings.metrics_host} from port {first_port} on.")
