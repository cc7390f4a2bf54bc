"""What a worker process shows of itself beside its work: that it lives, its metrics, its traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress

from prometheus_client import start_http_server

from backend import counters, tracing
from backend.db.engine import Database
from backend.errors import AccessRevoked, DatabaseUnavailable, InvalidRequest
from backend.events import Event, emit
from backend.kinds import KINDS
from backend.queue.figures import SEEN_EVERY_SEC
from backend.queue.registry import Presence, Registry, WorkerRows
from backend.queue.surroundings import Surroundings
from backend.settings import Settings
from backend.versions import SCHEMA_VERSION
from backend.workers.device import device_words, machine_name
from backend.workers.duties import Duties, Duty
from backend.workers.orders import StopOrders
from backend.workers.samples import ASK_EVERY_SEC as SAMPLE_EVERY_SEC
from backend.workers.samples import Sampler

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
    with shown(name, settings), presence(name, settings, database, surroundings, hardware), ExitStack() as stack:
        if name in SENDERS:
            sampler = Sampler(database, settings.worker_id)
            stack.enter_context(Duties(Duty("samples", SAMPLE_EVERY_SEC, sampler.sample_if_due)).in_background())
        if settings.metrics == "cloudwatch" and name in SENDERS:
            from backend.workers.metrics import ASK_EVERY_SEC, CloudWatchSender  # boto3 takes a third of a second

            sender = CloudWatchSender(database, settings)
            # Not among the janitor's duties: deleting a thousand objects would leave out a minute.
            stack.enter_context(Duties(Duty("cloudwatch", ASK_EVERY_SEC, sender.send_if_due)).in_background())
        yield


@contextmanager
def shown(name: str, settings: Settings) -> Iterator[None]:
    """Its traces, and its metrics for whoever asks. Raises InvalidRequest when no port is free for them."""
    with ExitStack() as stack:
        tracing.configure(settings, name)
        stack.callback(tracing.stop)
        if settings.metrics_port is not None:
            _serve_metrics(stack, settings, settings.metrics_port)
        yield


def presence(
    name: str,
    settings: Settings,
    database: Database,
    surroundings: Surroundings | None = None,
    hardware: Sequence[str] = (),
) -> AbstractContextManager[None]:
    """A row in `workers` while the block runs."""
    return registered(name, settings, WorkerRows(database), surroundings, hardware)


@contextmanager
def registered(
    name: str,
    settings: Settings,
    registry: Registry,
    surroundings: Surroundings | None = None,
    hardware: Sequence[str] = (),
) -> Iterator[None]:
    """Says from a thread that the worker lives: a long chunk must not look like a dead one. It tells what the worker
    knows and suffers from; the worker hears whether it suffers alone, and whether it is to stop."""
    orders = StopOrders()
    begins = True
    device = device_words(settings)

    def seen() -> None:
        nonlocal begins
        told = registry.seen(
            Presence(
                settings.worker_id,
                name,
                knows=sorted(KINDS),
                schema_version=SCHEMA_VERSION,
                encoders=list(hardware),
                trouble=surroundings.trouble if surroundings else None,
                begins=begins,
                machine=machine_name(),
                device=device,
            )
        )
        begins = False
        if surroundings is not None:
            surroundings.compare(told.others_are_well)
        if told.stop:
            orders.obey()

    try:
        with Duties(Duty("presence", SEEN_EVERY_SEC, seen)).in_background():
            yield
    finally:
        with suppress(DatabaseUnavailable, AccessRevoked):  # else its silence tells
            registry.gone(settings.worker_id)


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
