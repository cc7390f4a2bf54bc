"""How many tasks the ECS service of the GPU workers is asked to have."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from backend.events import Event, warn
from backend.settings import Settings

PATIENCE = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})


class EcsService:
    """The service that the rules scale, FLEET_ECS_SERVICE=cluster/service. Needs ecs:DescribeServices."""

    def __init__(self, settings: Settings) -> None:
        assert settings.fleet_ecs_service is not None
        self._cluster, self._name = settings.fleet_ecs_service.split("/")
        self._client: Any = boto3.client("ecs", region_name=settings.metrics_region, config=PATIENCE)

    def desired_count(self) -> int | None:
        """How many tasks are asked for, those that still start included; None, with a warning, where ECS does not say:
        figures by the running workers alone are better than none."""
        try:
            answer = self._client.describe_services(cluster=self._cluster, services=[self._name])
        except (BotoCoreError, ClientError) as failure:
            warn(Event.METRICS_FAILED, sink="ecs", message=str(failure))
            return None
        for service in answer["services"]:
            return int(service["desiredCount"])
        warn(Event.METRICS_FAILED, sink="ecs", message=f"There is no service {self._name} in cluster {self._cluster}.")
        return None
