"""`python -m deploy.ecs.render --values values.json --out DIR`: what Terraform would send, as JSON for the AWS CLI.

For people without Terraform. docs/deploy.md says which command takes which file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from deploy.ecs.aws_requests import alarms, policies, scaling, task_definition
from deploy.ecs.check import complaints
from deploy.ecs.sources import TASKS, DeployError, filled
from deploy.ecs.values import Values, read_values


def rendered(values: Values) -> dict[str, Any]:
    """File below DIR → its JSON. Raises DeployError."""
    files: dict[str, Any] = {}
    for task in TASKS:
        files[f"task_definitions/{task}.json"] = task_definition(task, values)
    for folder, documents in (("policies", policies(values)), ("alarms", alarms(values)), ("scaling", scaling(values))):
        for name, document in documents.items():
            files[f"{folder}/{name}.json"] = document
    files["dashboard.json"] = filled("dashboard.json", values.for_templates())
    return files


def found_wrong(files: dict[str, Any]) -> list[str]:
    """What check.py says about the task definitions among them."""
    definitions = {path: document for path, document in files.items() if path.startswith("task_definitions/")}
    return [f"{path}: {says}" for path, document in definitions.items() for says in complaints(document)]


@click.command(help=__doc__)
@click.option("--values", "values_path", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", "out", required=True, type=click.Path(file_okay=False, path_type=Path))
def main(values_path: Path, out: Path) -> None:
    try:
        files = rendered(read_values(values_path))
    except DeployError as error:
        raise click.ClickException(str(error)) from error
    if wrong := found_wrong(files):
        raise click.ClickException("\n".join(wrong))
    for name, document in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    click.echo(f"{len(files)} files in {out}", err=True)


if __name__ == "__main__":
    main()
