"""Sends the queue's figures to CloudWatch, three times a minute, whatever the size of the fleet: zero is sent too.

The analysis worker does it and never a GPU worker: at zero of those nobody would send, and the fleet would never start.
"""

from __future__ import annotations

from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from backend.db.engine import Database
from backend.db.sql import statement
from backend.events import Event, emit, warn
from backend.queue.figures import Figures, read_figures
from backend.settings import Settings
from backend.workers.ecs_service import PATIENCE, EcsService

SINK = "cloudwatch"
SEND_EVERY_SEC = 20  # deploy/ecs/scaling.json counts on it
# Asked more often than sent, so that no turn is left out by a tick that came a little late.
ASK_EVERY_SEC = 5.0
# CloudWatch keeps single seconds of these, so that an alarm may look every 10 s: the first chunk must not wait for a
# minute to be over.
HIGH_RESOLUTION = {"QueuedWithoutWorkers"}
_LOCK_KEY = 0x66726D6D  # any constant


class CloudWatchSender:
    """Credentials come from boto3's own chain: the task's role, or the environment."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._client: Any = boto3.client("cloudwatch", region_name=settings.metrics_region, config=PATIENCE)
        self._service = EcsService(settings) if settings.fleet_ecs_service else None

    def send_if_due(self) -> bool:
        """Whether this call sent. Among all processes that ask, one sends in each turn, by the database's clock.

        Raises DatabaseUnavailable.
        """
        if not self._take_turn():
            return False
        wanted = self._service.desired_count() if self._service else None
        data = metric_data(read_figures(self._database, wanted), self._settings.metrics_service)
        try:
            self._client.put_metric_data(Namespace=self._settings.metrics_namespace, MetricData=data)
        except (BotoCoreError, ClientError) as failure:
            # The turn is spent: the next one is another's. CloudWatch being away must not stop films.
            warn(Event.METRICS_FAILED, sink=SINK, message=str(failure))
            return False
        emit(Event.METRICS_SENT, sink=SINK, **{metric["MetricName"]: metric["Value"] for metric in data})
        return True

    def _take_turn(self) -> bool:
        turn = {"sink": SINK, "worker_id": self._settings.worker_id, "lock_key": _LOCK_KEY}
        turn["turn_seconds"] = SEND_EVERY_SEC
        with self._database.transaction() as connection:
            return connection.execute(statement("take_metrics_turn"), turn).one_or_none() is not None


def metric_data(figures: Figures, service: str | None) -> list[dict[str, Any]]:
    """put_metric_data's MetricData. At most one dimension, for the installation: each value is a metric to pay."""
    dimensions = [{"Name": "Service", "Value": service}] if service else []
    return [
        {
            "MetricName": name,
            "Unit": unit,
            "Value": float(value),
            "Dimensions": dimensions,
            "StorageResolution": 1 if name in HIGH_RESOLUTION else 60,
        }
        for name, unit, value in figures.named()
    ]
