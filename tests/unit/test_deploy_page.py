"""What docs/deploy.md names is there: tests, modules and their options, outputs, variables, rendered files, links."""

from __future__ import annotations

import importlib
import re

import pytest

from deploy.ecs.render import rendered
from deploy.ecs.sources import HERE
from deploy.ecs.values import read_values

ROOT = HERE.parents[1]
PAGE = (ROOT / "docs" / "deploy.md").read_text()


def named(pattern: str) -> set[str]:
    found = set(re.findall(pattern, PAGE))
    assert found, pattern
    return found


def test_every_test_that_a_claim_names_is_there() -> None:
    claims = [line for line in PAGE.partition("| claim | test |")[2].splitlines() if line.startswith("| ")]
    assert len(claims) > 8
    for claim in claims:
        files = re.findall(r"`((?:unit|integration)/\w+\.py)`", claim)
        assert files, claim
        assert [file for file in files if not (ROOT / "tests" / file).exists()] == []


@pytest.mark.parametrize("module", sorted(named(r"python -m (deploy[\w.]+)")))
def test_commands_have_the_options_that_they_are_given(module: str) -> None:
    options = {name: each for each in importlib.import_module(module).main.params for name in each.opts}
    for call in re.findall(rf"python -m {module}([^#`\n]*)", PAGE):
        words = call.split()
        while words and words[0].startswith("--"):  # what follows the options may be a command with its own
            option = options[words.pop(0)]
            if not option.is_flag:
                words.pop(0)


def test_outputs_and_variables_are_terraforms() -> None:
    outputs = set(re.findall(r'^output "(\w+)"', (HERE / "outputs.tf").read_text(), re.MULTILINE))
    variables = set(re.findall(r'^variable "(\w+)"', (HERE / "variables.tf").read_text(), re.MULTILINE))
    assert named(r"output -raw (\w+)") <= outputs
    assert named(r"-var (\w+)=") <= variables
    example = (HERE / "terraform.tfvars.example").read_text()
    assert set(re.findall(r"^(?:# )?(\w+) += ", example, re.MULTILINE)) <= variables
    mandatory = set(
        re.findall(r'^variable "(\w+)" \{\n(?:(?!^\}|  default).*\n)*\}', (HERE / "variables.tf").read_text(), re.M)
    )
    assert mandatory == {"region", "release", "certificate_arn", "client_cidrs"}
    assert mandatory <= set(re.findall(r"^(\w+) += ", example, re.MULTILINE))


def test_rendered_files_are_rendered() -> None:
    files = {f"rendered/{name}" for name in rendered(read_values(HERE / "values.example.json"))}
    assert named(r"file://(\S+\.json)") <= files


def test_links_lead_somewhere() -> None:
    for link in named(r"\]\(([^)]+)\)"):
        path, _, anchor = link.partition("#")
        target = (ROOT / "docs" / path).resolve()
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}, link
