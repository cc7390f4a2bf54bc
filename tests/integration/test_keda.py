"""KEDA asks the queue itself: its query gives the emitter's number, with no more rights than the page grants."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import psycopg
import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from backend.db.engine import Database
from backend.db.sql import statement
from backend.queue.figures import read_figures
from tests.integration.rows import add_job, sql
from tests.manifests import SECRETS

PROJECT = Path(__file__).resolve().parents[2]
OVERLAY = PROJECT / "deploy" / "k8s" / "overlays" / "keda"
PAGE = PROJECT / "docs" / "kubernetes.md"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(Strict):
    """What KEDA's PostgreSQL scaler reads of a trigger. All of it is text."""

    query: str
    targetQueryValue: Annotated[str, Field(pattern=r"^[1-9]\d*$")]  # noqa: N815 - KEDA's names
    activationTargetQueryValue: Annotated[str, Field(pattern=r"^\d+$")]  # noqa: N815


class Reference(Strict):
    name: str


class Trigger(Strict):
    type: Literal["postgresql"]
    name: str
    metricType: Literal["AverageValue"]  # noqa: N815 - then the size of the fleet does not go into the sum
    metadata: Metadata
    authenticationRef: Reference  # noqa: N815


class Policy(Strict):
    type: Literal["Pods", "Percent"]
    value: int
    periodSeconds: Annotated[int, Field(gt=0, le=1800)]  # noqa: N815


class Rules(Strict):
    stabilizationWindowSeconds: Annotated[int, Field(ge=0, le=3600)]  # noqa: N815
    policies: list[Policy]


class Behavior(Strict):
    scaleUp: Rules  # noqa: N815
    scaleDown: Rules  # noqa: N815


class AutoscalerConfig(Strict):
    behavior: Behavior


class Advanced(Strict):
    horizontalPodAutoscalerConfig: AutoscalerConfig  # noqa: N815


class ScaledObject(Strict):
    """The part of keda.sh/v1alpha1 that is used here."""

    scaleTargetRef: Reference  # noqa: N815
    minReplicaCount: int  # noqa: N815
    maxReplicaCount: int  # noqa: N815
    pollingInterval: int  # noqa: N815
    cooldownPeriod: int  # noqa: N815
    advanced: Advanced
    triggers: list[Trigger]


def manifests() -> dict[str, Any]:
    loaded = [each for each in yaml.safe_load_all((OVERLAY / "scaling.yaml").read_text()) if each]
    assert {each["apiVersion"] for each in loaded} == {"keda.sh/v1alpha1"}
    return {each["kind"]: each for each in loaded}


def gpu_worker() -> Any:
    return yaml.safe_load((OVERLAY / "../../base/gpu-worker.yaml").read_text())


@pytest.fixture(scope="module")
def scaled() -> ScaledObject:
    return ScaledObject.model_validate(manifests()["ScaledObject"]["spec"])


@pytest.fixture(scope="module")
def queries(scaled: ScaledObject) -> dict[str, str]:
    return {trigger.name: trigger.metadata.query for trigger in scaled.triggers}


@pytest.fixture
def keda(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection with the rights that the page grants, and no other."""
    role = f"keda_{uuid.uuid4().hex}"
    grants = re.findall(r"^ +(GRANT .*) TO framefleet_keda;$", PAGE.read_text(), re.MULTILINE)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}")
        try:
            for grant in grants:
                connection.execute(f"{grant} TO {role}")
            connection.execute(f"SET ROLE {role}")
            yield connection
        finally:
            connection.execute("RESET ROLE")
            connection.execute(f"DROP OWNED BY {role}")
            connection.execute(f"DROP ROLE {role}")


def number(keda: psycopg.Connection[Any], query: str) -> int:
    ((value,),) = keda.execute(query).fetchall()
    assert isinstance(value, int)
    return value


def wanted_workers(scaled: ScaledObject, numbers: dict[str, int]) -> int:
    """What a HorizontalPodAutoscaler makes of values on average: the larger wish, within bounds."""
    wishes = [math.ceil(numbers[each.name] / int(each.metadata.targetQueryValue)) for each in scaled.triggers]
    return min(max([*wishes, scaled.minReplicaCount]), scaled.maxReplicaCount)


def test_kedas_words_are_those_of_the_queue(queries: dict[str, str]) -> None:
    for name, file in {"backlog": "gpu_backlog", "busy": "gpu_in_work"}.items():
        assert queries[name].split() == statement(file).text.split()


def test_the_bounds_and_the_target_are_those_of_every_fleet(scaled: ScaledObject) -> None:
    rules = json.loads((PROJECT / "deploy" / "ecs" / "scaling.json").read_text())
    (tracking,) = [rule for rule in rules["target_tracking"] if rule["metric_name"] == "BacklogPerWorker"]
    assert (scaled.minReplicaCount, scaled.maxReplicaCount) == (rules["min_capacity"], rules["max_capacity"]) == (0, 10)
    by_name = {trigger.name: trigger.metadata for trigger in scaled.triggers}
    assert float(by_name["backlog"].targetQueryValue) == tracking["target_value"]
    assert scaled.cooldownPeriod == tracking["scale_in_cooldown_seconds"] == 300
    down = scaled.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown
    assert down.stabilizationWindowSeconds == tracking["scale_in_cooldown_seconds"]
    # KEDA wakes the first worker by a number above this one, a chunk or more.
    assert {each.activationTargetQueryValue for each in by_name.values()} == {"0"}
    assert by_name["busy"].targetQueryValue == "1"


def test_the_target_and_the_secret_are_there(scaled: ScaledObject) -> None:
    names = [
        each["metadata"]["name"] for each in yaml.safe_load_all((OVERLAY / "../../base/gpu-worker.yaml").read_text())
    ]
    assert names == [scaled.scaleTargetRef.name]
    authentication = manifests()["TriggerAuthentication"]
    assert {trigger.authenticationRef.name for trigger in scaled.triggers} == {authentication["metadata"]["name"]}
    given = authentication["spec"]["secretTargetRef"]
    assert {each["name"] for each in given} == {"framefleet-keda-database"}
    assert (
        {each["parameter"] for each in given} == {each["key"] for each in given} == SECRETS["framefleet-keda-database"]
    )


def test_kubernetes_does_not_set_the_number_of_workers_back() -> None:
    """With `replicas` in the file, each apply would end the fleet, busy workers and all."""
    assert "replicas" not in gpu_worker()["spec"]


def test_kedas_numbers_are_the_emitters_at_any_state_of_the_queue(
    database: Database, keda: psycopg.Connection[Any], scaled: ScaledObject, queries: dict[str, str]
) -> None:
    def check(backlog: int, busy: int) -> int:
        numbers = {name: number(keda, query) for name, query in queries.items()}
        figures = read_figures(database)
        assert numbers == {"backlog": backlog, "busy": busy}
        assert figures.backlog_per_worker * max(figures.running_workers, 1) == numbers["backlog"]
        assert figures.processing_chunks == numbers["busy"]
        return wanted_workers(scaled, numbers)

    assert check(0, 0) == 0
    add_job(database, [{"status": "queued"}], status="queued")
    assert check(1, 0) == 1
    held = {"status": "processing", "claimed_by": "w", "attempts": 1}
    add_job(database, [held] * 3 + [{"status": "queued"}] * 21 + [{"status": "completed"}])
    assert check(25, 3) == 3
    sql(database, "INSERT INTO workers (worker_id, kind) VALUES ('w', 'gpu_chunk_worker'), ('v', 'gpu_chunk_worker')")
    assert check(25, 3) == 3
    add_job(database, [{"status": "queued"}] * 7, status="queued", deep_mode="cpu")
    add_job(database, [{"status": "queued", "on_hold": True}] * 7, status="queued")
    assert check(25, 3) == 3
    sql(database, "UPDATE fleet SET paused_at = now()")
    assert check(3, 3) == 3  # by the backlog alone it would be 1, and two busy workers would go
    sql(database, "UPDATE fleet SET paused_at = NULL")
    add_job(database, [{"status": "queued"}] * 400, status="queued")
    assert check(425, 3) == 10
    sql(database, "UPDATE video_analysis_chunks SET status = 'completed' WHERE status IN ('queued', 'processing')")
    assert check(0, 0) == 0


def test_keda_may_read_the_queue_and_nothing_else(keda: psycopg.Connection[Any]) -> None:
    for denied in ("SELECT 1 FROM video_analysis_jobs", "UPDATE fleet SET paused_at = now()"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            keda.execute(denied)
