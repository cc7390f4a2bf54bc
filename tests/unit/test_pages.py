"""What the pages point at is there: files, headings, tests, targets of make, commands of this project."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from backend.cli import cli

PROJECT = Path(__file__).resolve().parents[2]
PAGES = sorted([PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
TEST = re.compile(r"`(?:tests/)?((?:unit|integration|contract|browser|chaos|docker|slow)/[\w/]+\.py)(?:::(\w+))?")
MODULE = re.compile(r"python -m ((?:backend|deploy|benchmarks|tests)(?:\.\w+)*)")
TARGET = re.compile(r"(?:`|^\s+)make ([a-z][a-z-]*)", re.MULTILINE)


@cache
def anchors(page: Path) -> frozenset[str]:
    """The headings of a page, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return frozenset(re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain)


def complaints(page: Path, text: str) -> list[str]:
    found = []
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists():
            found.append(f"there is no {link}")
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            found.append(f"there is no heading {link}")
    for file, name in TEST.findall(text):
        path = PROJECT / "tests" / file
        if not path.exists():
            found.append(f"there is no tests/{file}")
        elif name and name not in functions(path):
            found.append(f"there is no {name} in tests/{file}")
    for module in MODULE.findall(text):
        at = PROJECT.joinpath(*module.split("."))
        if not (at.with_suffix(".py").exists() or (at / "__main__.py").exists()):
            found.append(f"there is no command python -m {module}")
    for code in codes(text):
        found += _of_commands(code)
    known = re.findall(r"^([a-z][a-z-]*):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    found += [f"there is no make {target}" for target in TARGET.findall(text) if target not in known]
    return found


def codes(text: str) -> list[str]:
    """What is meant to be typed: between backticks, in fences, indented; a line each, continued ones joined."""
    joined = text.replace("\\\n", " ")
    fenced = [
        line
        for block in re.findall(r"^```\w*\n(.*?)^```", joined, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    outside = re.sub(r"^```.*?^```", "", joined, flags=re.MULTILINE | re.DOTALL)
    return [*fenced, *re.findall(r"^ {4,}(.*)$", outside, re.MULTILINE), *re.findall(r"`([^`\n]+)`", outside)]


def _of_commands(code: str) -> Iterator[str]:
    typed = re.sub(r"\s#.*", "", code)
    for words in re.findall(r"(?:^|\s|/)framefleet (?!framefleet)([a-z][^|;&>]*)", typed):
        yield from _unknown(cli, words.split(), "framefleet")
    for module, words in re.findall(r"python -m (deploy(?:\.\w+)+)([^|;&>]*)", typed):
        command = getattr(importlib.import_module(module), "main", None)
        if isinstance(command, click.Command):
            yield from _unknown(command, words.split(), module)


def _unknown(command: click.Command, words: list[str], name: str) -> Iterator[str]:
    """Subcommands and options that the command has not."""
    if not isinstance(command, click.Group):
        context = click.Context(command, info_name=name, **command.context_settings)
        try:
            command.make_parser(context).parse_args([*words])
        except click.NoSuchOption as unknown:
            yield f"{name}: {unknown.message}"
        except click.BadOptionUsage:  # a sentence need not say an option's value
            return
        return
    known = {option for param in command.params for option in param.opts} | {"--help"}
    for at, word in enumerate(words):
        if word.startswith("--") and word not in known:
            yield f"{name} has no {word}"
        elif word in command.commands:
            yield from _unknown(command.commands[word], words[at + 1 :], f"{name} {word}")
            return
        elif re.fullmatch("[a-z]+", word):
            yield f"there is no {name} {word}"
            return


@cache
def functions(path: Path) -> frozenset[str]:
    return frozenset(node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(PROJECT)) for page in PAGES])
def test_what_a_page_points_at_is_there(page: Path) -> None:
    assert complaints(page, page.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "[a page](nowhere.md)",
        "[a heading](operations.md#nothing-of-the-kind)",
        "`tests/unit/test_nothing.py`",
        "`unit/test_pages.py::test_nothing`",
        "    python -m backend.workers.nobody",
        "`make nothing`",
        "`framefleet nothing`",
        "`framefleet list --nothing`",
        "    kubectl exec pod -- framefleet workers --nothing",
        "    python -m deploy.roll --nothing",
    ],
)
def test_what_is_not_there_is_found(text: str) -> None:
    assert len(complaints(PROJECT / "docs" / "running.md", text)) == 1
