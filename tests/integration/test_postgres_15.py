"""The queue on PostgreSQL 15, as Debian 12 has it; all other tests run on the version of the wheel, which is 18."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tests.servers import DEBIAN_15, started_server

FOLDER = Path(__file__).parent
TESTS = (
    ("test_migration.py",),
    ("queue/test_claim.py", "queue/test_clock_set_back.py", "queue/test_failure.py"),
    ("queue/test_job_claims.py", "queue/test_lease.py", "queue/test_pause.py"),
)
pytestmark = pytest.mark.skipif(not DEBIAN_15.exists(), reason="no PostgreSQL 15 here: apt-get install postgresql-15")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All of them at once, each on a server of its own; one after the other they would be what everybody waits for."""
    with ExitStack() as stack:
        yield {names[0]: started(names, tmp_path_factory, stack) for names in TESTS}


def started(names: tuple[str, ...], folders: pytest.TempPathFactory, stack: ExitStack) -> subprocess.Popen[str]:
    url = stack.enter_context(started_server(DEBIAN_15, max_connections="200"))
    with psycopg.connect(url) as connection:
        assert connection.info.server_version // 10000 == 15
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(FOLDER / name for name in names)],
        env=os.environ | {"TEST_POSTGRES_URL": url, "PYTEST_ADDOPTS": f"--basetemp={folders.mktemp('inner')}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    stack.callback(run.wait)
    stack.callback(run.kill)  # one that is done takes no notice
    return run


@pytest.mark.slow
def test_tenants_on_postgresql_15(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where a member of a role always has its rights too, that of the tenants among them."""
    with ExitStack() as stack:
        run = started(("test_rows_of_tenants.py", "test_quotas.py"), tmp_path_factory, stack)
        printed, _ = run.communicate()
        assert run.returncode == 0, printed[-5000:]


@pytest.mark.timeout(280)
@pytest.mark.parametrize("first", [names[0] for names in TESTS])
def test_the_queue_on_postgresql_15(runs: dict[str, subprocess.Popen[str]], first: str) -> None:
    printed, _ = runs[first].communicate()
    assert runs[first].returncode == 0, printed[-5000:]
