"""Earlier releases, as `record.py` wrote them down: their statements, run as their workers ran them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

_PARAMETER = re.compile(r"%\((\w+)\)s")
# What every worker sends besides the row that it is about.
USUAL: Mapping[str, Any] = {
    "deep_mode": "gpu", "tenant": "default", "job_id": None, "tenant_cap": None, "full": "{}", "has": "{}",
    "kinds": "{crop}", "lease_seconds": 60.0, "cap_seconds": 300.0, "base_seconds": 2.0, "max_attempts": 5,
}  # fmt: skip


@dataclass(frozen=True)
class Release:
    """`columns`: table → column → type, as its models have them."""

    version: str
    commit: str
    head: str
    schema_version: int
    statements: Mapping[str, str]
    columns: Mapping[str, Mapping[str, str]]

    @property
    def name(self) -> str:
        return f"{self.version}-{self.head}"

    def numbered(self, name: str) -> str:
        """The statement with $1, $2 … for its parameters."""
        sql = self.statements[name]
        order = list(dict.fromkeys(_PARAMETER.findall(sql)))
        return _PARAMETER.sub(lambda found: f"${order.index(found[1]) + 1}", sql).replace("%%", "%")


RELEASES = [Release(**json.loads(file.read_text())) for file in sorted(Path(__file__).parent.glob("*.json"))]


class EarlierWorker:
    """Asks with a release's own statements, on one connection, as its workers do."""

    def __init__(self, release: Release, url: str, worker_id: str = "earlier") -> None:
        self._release = release
        self._connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        self._usual = USUAL | {"worker_id": worker_id, "schema_version": release.schema_version}

    def ask(self, name: str, **params: Any) -> dict[str, Any] | None:
        """The row that the statement answers, or None."""
        sql = self._release.statements[name]
        given = self._usual | params
        cursor = self._connection.execute(sql, {each: given[each] for each in set(_PARAMETER.findall(sql))})
        return cursor.fetchone() if cursor.description else None

    def close(self) -> None:
        self._connection.close()
