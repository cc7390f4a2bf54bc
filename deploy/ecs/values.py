"""What an installation without Terraform says about itself: values.json, checked before anything is rendered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from deploy.ecs.sources import DeployError


def _of_one_build(release: str) -> str:
    if release == "latest":
        raise ValueError("latest is no release: nobody could say what runs, or go back to it")
    return release


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,18}[a-z0-9]$")]
SecretArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:secretsmanager:")]
Whole = Annotated[int, Field(ge=1)]


class Size(BaseModel):
    """Of a task, where task_definitions/ does not fit. As in Terraform's variable `sizes`."""

    model_config = ConfigDict(extra="forbid")

    cpu: Whole | None = None
    memory_mib: Whole | None = None
    scratch_gib: Whole | None = None


class Sizes(BaseModel):
    model_config = ConfigDict(extra="forbid")

    api: Size = Size()
    analysis_worker: Size = Size()
    gpu_worker: Size = Size()
    migrate: Size = Size()


class Values(BaseModel):
    """Every placeholder's value, under Terraform's names; variables.tf says what each is."""

    model_config = ConfigDict(extra="forbid")

    name: Name = "framefleet"
    region: str
    account_id: Annotated[str, Field(pattern=r"^\d{12}$")]
    partition: str = "aws"
    bucket: str
    release: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"), AfterValidator(_of_one_build)]
    registry: str = ""
    repository_prefix: str = "framefleet"
    metrics_namespace: str = "framefleet"
    retention_days: Annotated[int, Field(ge=0)] = 14
    chunk_seconds: float = 30
    sample_fps: float = 10
    max_width: Whole = 640
    poll_seconds: float = 1
    database_url_secret_arn: SecretArn
    database_owner_secret_arn: SecretArn
    database_owner: str = "framefleet_owner"
    database_host: str
    database_port: Whole = 5432
    database_name: str = "framefleet"
    database: str = "framefleet"
    load_balancer: Annotated[str, Field(pattern=r"^app/[^/]+/[0-9a-f]+$")]
    alarm_topic_arn: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:sns:")]
    runbook_url: str = "docs/operations.md"
    environment: dict[str, str] = {}
    secrets: dict[str, SecretArn] = {}
    sizes: Sizes = Sizes()
    input_buckets: list[str] = []
    output_buckets: list[str] = []

    @model_validator(mode="after")
    def _own_registry(self) -> Values:
        self.registry = self.registry or f"{self.account_id}.dkr.ecr.{self.region}.amazonaws.com"
        return self

    def for_templates(self) -> dict[str, Any]:
        """Placeholder → value. Numbers as Terraform writes them: 30 and not 30.0."""
        plain = {name: getattr(self, name) for name in type(self).model_fields}
        kept = {name: value for name, value in plain.items() if isinstance(value, str | int | float)}
        return {
            name: int(value) if isinstance(value, float) and value.is_integer() else value
            for name, value in kept.items()
        }


def read_values(path: Path) -> Values:
    """Raises DeployError, which names every value that is missing, unknown or wrong."""
    try:
        return Values.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise DeployError(f"{path} is not JSON: {error}.") from None
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {_in_words(fault['type'], fault['msg'])}" for fault in error.errors()
        )
        raise DeployError(f"{path}: {faults}. deploy/ecs/variables.tf says what each is.") from None


def _in_words(kind: str, message: str) -> str:
    if kind == "missing":
        return "this value is missing"
    if kind == "extra_forbidden":
        return "no such value is known"
    return message[0].lower() + message[1:]
