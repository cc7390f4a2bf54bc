"""The database's clock decides: a worker whose own is an hour off, either way, is a worker as any other."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backend.db import sql as statements
from backend.db.engine import Database
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode
from tests.integration.queue.helpers import claim_of, complete, job_row, planned_job, sql

SKEWED_WORKER = """
import sys, time
from backend.db.engine import Database
from backend.errors import StorageError
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode
url, hours = sys.argv[1], int(sys.argv[2])
settings = Settings.model_validate({"database_url": url, "worker_id": "skewed", "retry_base_seconds": 30.0})
queue = Queue(Database(url), settings)
done, failed, held = (queue.claim_chunk(DeepMode.GPU) for _ in range(3))
queue.complete_chunk(done, "chunks/0", "a" * 64, {"name": "hog"})
queue.fail_chunk(failed, StorageError("away"))
queue.heartbeat_chunk(held, 0.5)
assert queue.rescue_expired() == 0, "nobody's lease has expired"
print(time.time())
"""


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_worker_whose_clock_is_an_hour_off_changes_nothing(
    database: Database, database_url: str, queue: Queue, settings: Settings, hours: int
) -> None:
    faketime = shutil.which("faketime")
    if faketime is None:
        pytest.skip("the command faketime is not on this machine")
    planned_job(database, 5)
    living = claim_of(queue)
    command = [faketime, "-f", f"{hours:+d}h", sys.executable, "-c", SKEWED_WORKER, database_url, str(hours)]
    worker = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert worker.returncode == 0, worker.stderr
    (now,) = sql(database, "SELECT extract(epoch FROM now())::float8 AS now")
    assert abs(float(worker.stdout) - now["now"] - hours * 3600) < 120  # its clock was off indeed
    rows = sql(database, "SELECT status, extract(epoch FROM available_at - now())::float8 AS due,"
                         " extract(epoch FROM lease_expires_at - now())::float8 AS lease,"
                         " extract(epoch FROM completed_at - now())::float8 AS completed"
                         " FROM video_analysis_chunks ORDER BY chunk_index")  # fmt: skip
    assert [row["status"] for row in rows] == ["processing", "completed", "queued", "processing", "queued"]
    assert -60 < rows[1]["completed"] <= 0
    assert 0 < rows[2]["due"] <= 30
    assert settings.lease_seconds - 60 < rows[3]["lease"] <= settings.lease_seconds
    assert queue.rescue_expired() == 0
    complete(queue, living)
    assert claim_of(queue).chunk_index == 4
    assert queue.claim_chunk(DeepMode.GPU) is None
    assert job_row(database, living.job_id)["status"] == "processing"


def test_no_statement_is_told_a_time() -> None:
    """Only durations in seconds go in; every moment is now() of the database."""
    folder = Path(statements.__file__).parent
    names = {name for file in folder.glob("*.sql") for name in re.findall(r"(?<![:\w]):(\w+)", file.read_text())}
    assert {name for name in names if re.search(r"(_at|_time|now|clock|date)$", name)} == set()
    assert {name for name in names if name.endswith("_seconds")} >= {"lease_seconds", "cap_seconds", "base_seconds"}
