"""`python -m deploy.ecs.database_url --outputs outputs.json`: gives the secret DATABASE_URL its value, once.

The password is made here, goes to Secrets Manager and nowhere else: not into Terraform's state, not onto the screen.
The migration task makes the role that logs in with it (backend/db/app_role.py). `--renew` makes another password.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError

from deploy.ecs.outputs import Outputs, read_outputs
from deploy.ecs.sources import DeployError

APP_ROLE = "framefleet"
PASSWORD_BYTES = 24


def provide(client: Any, outputs: Outputs, *, renew: bool) -> bool:
    """Whether a value was written. Raises ClientError."""
    if not renew and _has_value(client, outputs.database_url_secret_arn):
        return False
    client.put_secret_value(SecretId=outputs.database_url_secret_arn, SecretString=_url(outputs))
    return True


def _has_value(client: Any, secret_arn: str) -> bool:
    stages = client.describe_secret(SecretId=secret_arn).get("VersionIdsToStages", {})
    return any("AWSCURRENT" in names for names in stages.values())


def _url(outputs: Outputs) -> str:
    password = secrets.token_hex(PASSWORD_BYTES)  # hexadecimal: nothing in it has to be escaped
    return f"postgresql://{APP_ROLE}:{password}@{outputs.database_host}:5432/{outputs.database_name}?sslmode=require"


@click.command(help=__doc__)
@click.option("--outputs", "path", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--renew", is_flag=True, help="A new password; then migrate, and restart the services.")
def main(path: Path, renew: bool) -> None:
    try:
        outputs = read_outputs(path)
        written = provide(boto3.client("secretsmanager", region_name=outputs.region), outputs, renew=renew)
    except (DeployError, ClientError, BotoCoreError) as error:
        raise click.ClickException(str(error)) from error
    said = "DATABASE_URL has a value: run the migration next." if written else "DATABASE_URL had a value; it stays."
    click.echo(said, err=True)


if __name__ == "__main__":
    main()
