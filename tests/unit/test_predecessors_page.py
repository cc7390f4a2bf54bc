"""The page that lists each fault of the predecessors beside its test names tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "predecessors.md"
NAMED = re.compile(r"^\|[^|]+\| `([^`:]+)::(test_\w+)` \|$", re.MULTILINE)


def test_every_fault_has_a_test_that_there_is() -> None:
    _, _, faults = PAGE.read_text().partition("## Their faults")
    rows = [line for line in faults.splitlines() if line.startswith("| ")][1:]
    named = NAMED.findall(faults)
    assert len(named) == len(rows) == 29
    assert [f"{file}::{test}" for file, test in named if test not in named_in(TESTS / file)] == []


def named_in(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
