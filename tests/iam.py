"""What parliament, AWS policies' linter, finds in a policy document."""

from __future__ import annotations

import json
import sys
from importlib import resources
from types import ModuleType
from typing import Any

try:
    import parliament
except ModuleNotFoundError:
    # setuptools has no pkg_resources any more, and parliament asks it, while it is imported, where its own data lies.
    stand_in = ModuleType("pkg_resources")
    stand_in.resource_filename = lambda package, name: str(resources.files(package) / name)
    sys.modules["pkg_resources"] = stand_in
    try:
        import parliament
    finally:
        del sys.modules["pkg_resources"]  # whoever else looks for it (pytest does) would take it for the real one


def findings(document: dict[str, Any]) -> list[str]:
    """Of every severity; empty where all is well. Trust policies, whose statements have no resource, are not for it."""
    policy = parliament.analyze_policy_string(json.dumps(document), ignore_private_auditors=True)
    return [f"{finding.issue}: {finding.detail}" for finding in policy.findings]
