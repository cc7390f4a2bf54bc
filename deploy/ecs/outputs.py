"""What Terraform says it made: `terraform output -json > outputs.json`, or a plain object of the same names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from deploy.ecs.sources import DeployError


class Outputs(BaseModel):
    """Of outputs.tf, those that the commands here use."""

    model_config = ConfigDict(extra="ignore")

    region: str
    database_url_secret_arn: str
    database_host: str
    database_name: str


def read_outputs(path: Path) -> Outputs:
    """Raises DeployError, which names what is missing."""
    try:
        given: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Outputs.model_validate({name: _plain(value) for name, value in given.items()})
    except json.JSONDecodeError as error:
        raise DeployError(f"{path} is not JSON ({error}): make it with terraform output -json.") from None
    except ValidationError as error:
        names = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors())
        raise DeployError(f"{path} lacks, or has a wrong value for: {names}. Apply, and make it anew.") from None


def _plain(value: Any) -> Any:
    return value["value"] if isinstance(value, dict) and "value" in value else value
