"""What Prometheus scrapes from the API: the queue's figures, read at the scrape, and this process's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from backend import counters
from backend.db.engine import Database
from backend.errors import DatabaseUnavailable
from backend.events import Event, warn
from backend.queue.figures import Figures, read_figures


def exposition(database: Database, multiprocess_folder: Path | None) -> bytes:
    """Prometheus' text format. Without the database it still comes, and says so."""
    registry = CollectorRegistry()
    registry.register(QueueCollector(database))
    return generate_latest(registry) + counters.exposition(multiprocess_folder)


class QueueCollector(Collector):
    """The same figures whichever API process answers: they come from the rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterable[GaugeMetricFamily]:
        try:
            figures = read_figures(self._database)
        except DatabaseUnavailable as failure:
            warn(Event.METRICS_FAILED, sink="prometheus", error_code=failure.code, message=failure.message)
            yield _readable(False)
            return
        yield _readable(True)
        yield from _families(figures)


def _readable(yes: bool) -> GaugeMetricFamily:
    return _gauge("framefleet_queue_readable", "Whether the database answered this scrape.", float(yes))


def _families(figures: Figures) -> Iterable[GaugeMetricFamily]:
    yield _gauge("framefleet_queued_chunks", "Chunks that wait for a GPU worker.", figures.queued_chunks)
    yield _gauge("framefleet_processing_chunks", "Chunks that GPU workers hold.", figures.processing_chunks)
    yield _gauge(
        "framefleet_failed_chunks",
        "Chunks that failed for good, of jobs that ended within the last hour.",
        figures.failed_chunks,
    )
    yield _gauge(
        "framefleet_completed_chunks",
        "Chunks that were completed, of jobs that ended within the last hour.",
        figures.completed_chunks,
    )
    yield _gauge(
        "framefleet_backlog_per_worker", "Queued and held chunks for each GPU worker.", figures.backlog_per_worker
    )
    yield _gauge(
        "framefleet_oldest_queued_seconds",
        "How long the chunk that waits longest has been due.",
        figures.oldest_queued_seconds,
    )
    yield _gauge(
        "framefleet_oldest_aggregation_seconds",
        "How long the oldest job whose chunks are all completed has waited for its film.",
        figures.oldest_aggregation_seconds,
    )
    yield _gauge(
        "framefleet_oldest_transaction_seconds",
        "Age of the oldest open transaction of this database.",
        figures.oldest_transaction_seconds,
    )
    yield _gauge("framefleet_paused", "Whether the fleet is paused.", float(figures.is_paused))
    yield _gauges("framefleet_workers", "Workers that live.", "kind", figures.workers)
    yield _gauges(
        "framefleet_jobs", "Jobs under way, and those that ended within the last hour.", "status", figures.jobs
    )
    yield _gauge(
        "framefleet_unwell_workers",
        "Workers that live and claim nothing, for their store or disk fails.",
        figures.unwell_workers,
    )
    yield _gauge(
        "framefleet_dead_webhooks",
        "Messages to webhooks that were given up, and not sent again since.",
        figures.dead_webhooks,
    )
    yield _gauge(
        "framefleet_unknown_jobs",
        "Jobs of a kind or version that no living worker knows: they wait for newer workers.",
        figures.unknown_jobs,
    )
    yield _failed_jobs(figures)


def _failed_jobs(figures: Figures) -> GaugeMetricFamily:
    help_text = "Jobs that failed for good within the last hour, by error and by the stage they were at."
    family = GaugeMetricFamily("framefleet_failed_jobs", help_text, labels=["code", "stage"])
    sums: dict[tuple[str, str], int] = {}
    for (code, stage), jobs in figures.failed_jobs.items():
        labels = (counters.known_code(code), stage.lower())
        sums[labels] = sums.get(labels, 0) + jobs
    for labels, jobs in sorted(sums.items()):
        family.add_metric(labels, jobs)
    return family


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, value=value)


def _gauges(name: str, help_text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family
