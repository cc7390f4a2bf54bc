"""The queue on PostgreSQL 15, as Debian 12 has it; all other tests run on the version of the wheel, which is 18."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.servers import DEBIAN_15, started_server

FOLDER = Path(__file__).parent
# In three runs, so that this is not what is left alone at the end of all tests.
TESTS = (
    ("test_migration.py",),
    ("queue/test_claim.py", "queue/test_clock_set_back.py", "queue/test_failure.py"),
    ("queue/test_job_claims.py", "queue/test_lease.py", "queue/test_pause.py"),
)


@pytest.mark.timeout(280)
@pytest.mark.parametrize("names", TESTS, ids=lambda names: names[0])
@pytest.mark.skipif(not DEBIAN_15.exists(), reason="no PostgreSQL 15 here: apt-get install postgresql-15")
def test_the_queue_on_postgresql_15(tmp_path: Path, names: tuple[str, ...]) -> None:
    with started_server(DEBIAN_15, max_connections="200") as url:
        with psycopg.connect(url) as connection:
            assert connection.info.server_version // 10000 == 15
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(FOLDER / name for name in names)],
            env=os.environ | {"TEST_POSTGRES_URL": url, "PYTEST_ADDOPTS": f"--basetemp={tmp_path / 'inner'}"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-5000:]
