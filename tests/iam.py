"""What parliament, AWS policies' linter, finds in a policy document."""

from __future__ import annotations

import json
import sys
from importlib import resources
from types import ModuleType
from typing import Any

try:
    import pkg_resources  # noqa: F401
except ModuleNotFoundError:
    # setuptools has it no more, and parliament still asks it where its own data lies.
    stand_in = ModuleType("pkg_resources")
    stand_in.resource_filename = lambda package, name: str(resources.files(package) / name)
    sys.modules["pkg_resources"] = stand_in

import parliament


def findings(document: dict[str, Any]) -> list[str]:
    """Of every severity; empty where all is well. Trust policies, whose statements have no resource, are not for it."""
    policy = parliament.analyze_policy_string(json.dumps(document), ignore_private_auditors=True)
    return [f"{finding.issue}: {finding.detail}" for finding in policy.findings]
