"""The page of attacks names, for each of them, tests that there are."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "security.md"
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def attacks() -> list[str]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [line for line in lines if not line.startswith("| attack ")]


@cache
def names_in(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", attacks() or ["none"])
def test_an_attack_on_the_page_has_a_test_that_there_is(row: str) -> None:
    named = NAMED.findall(row.rsplit("|", 2)[1]) if row != "none" else [("unit/test_security_page.py", "")]
    assert named
    assert [f"{file}::{test}" for file, test in named if test and test not in names_in(file)] == []
