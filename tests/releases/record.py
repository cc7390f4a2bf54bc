"""Writes down what a release asks of the database: `python -m tests.releases.record COMMIT [FOLDER]`.

Its statements, with the driver's parameters, and the columns of its models; taken from the commit's own code, so that
this needs the history, but the tests that read what it wrote do not. The folder's name is the release's version and
the newest of its migrations.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
# Runs in the commit's tree, with its code: nothing of ours but this text.
ASK = """
import json, re
from pathlib import Path
from alembic.script import ScriptDirectory
from sqlalchemy.dialects.postgresql.psycopg import dialect
from backend import __version__
from backend.db.migrate import _config
from backend.db.models import Base
from backend.db.sql import statement
from backend.versions import SCHEMA_VERSION

files = {file.stem: file.read_text() for file in Path("backend/db/sql").glob("*.sql")}
parts = {part for text in files.values() for part in re.findall(r"^-- @([a-z_]+)", text, re.M)}
code = "".join(file.read_text() for file in Path("backend").rglob("*.py"))
named = {name for name in re.findall(r'"([a-z_+]+)"', code) if name.split("+")[0] in files}
named |= files.keys() - parts

print(json.dumps({
    "version": __version__,
    "head": ScriptDirectory.from_config(_config()).get_current_head(),
    "schema_version": SCHEMA_VERSION,
    "statements": {name: str(statement(name).compile(dialect=dialect())) for name in sorted(named)},
    "columns": {
        table.name: {column.name: str(column.type.compile(dialect=dialect())) for column in table.columns}
        for table in Base.metadata.sorted_tables
    },
}))
"""


def unpacked(commit: str, folder: Path) -> Path:
    """The commit's tree in the folder. Raises CalledProcessError where there is no history, or no such commit."""
    archive = subprocess.run(["git", "archive", commit], cwd=PROJECT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def record(commit: str, target: Path) -> Path:
    whole = subprocess.run(["git", "rev-parse", commit], cwd=PROJECT, capture_output=True, text=True, check=True)
    with tempfile.TemporaryDirectory() as folder:
        tree = unpacked(commit, Path(folder))
        said = subprocess.run(
            [sys.executable, "-c", ASK],
            cwd=tree,
            env=os.environ | {"PYTHONPATH": str(tree)},
            capture_output=True,
            text=True,
        )
    if said.returncode != 0:
        raise SystemExit(said.stderr)
    asked = {"commit": whole.stdout.strip(), **json.loads(said.stdout)}
    file = target / f"{asked['version']}-{asked['head']}.json"
    file.write_text(json.dumps(asked, indent=1) + "\n")
    return file


if __name__ == "__main__":
    written = record(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else HERE)
    sys.stdout.write(f"{written}\n")
