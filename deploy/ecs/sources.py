"""The files that Terraform reads too: task definitions, policies, alarms, scaling rules; and how they are filled in.

Their placeholders, `${name}`, are what both Terraform's templatefile and Python's string.Template know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

HERE = Path(__file__).resolve().parent
TASKS = ("api", "analysis_worker", "gpu_worker", "migrate")
SERVICES = TASKS[:3]


class DeployError(Exception):
    """What is wrong and what to do about it, in one sentence."""


def filled(path: str, values: Mapping[str, Any]) -> Any:
    """The JSON of a file below deploy/ecs/, its placeholders filled in. Raises DeployError for one without value."""
    text = (HERE / path).read_text(encoding="utf-8")
    # A value goes into a JSON string: quotes and backslashes in it stay its own.
    escaped = {name: json.dumps(str(value))[1:-1] for name, value in values.items()}
    try:
        return json.loads(Template(text).substitute(escaped))
    except KeyError as missing:
        raise DeployError(f"{path} needs a value for {missing.args[0]}: add it to the values file.") from None


def read(path: str) -> Any:
    """The JSON of a file without placeholders."""
    return json.loads((HERE / path).read_text(encoding="utf-8"))


def placeholders(path: str) -> set[str]:
    """Names that a file wants values for."""
    return set(Template((HERE / path).read_text(encoding="utf-8")).get_identifiers())
