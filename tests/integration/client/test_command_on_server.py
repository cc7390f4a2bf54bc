"""The command line on a server: the same words and exit codes as on a database, and no database of its own."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.jobs.service import JobService
from tests.integration.client.conftest import Served
from tests.integration.commands import framefleet_here
from tests.samples import make_sample

Framefleet = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def framefleet(served: Served, tmp_path: Path) -> Framefleet:
    def command(*arguments: str, exit_code: int = 0, server: str = served.address) -> subprocess.CompletedProcess[str]:
        done = framefleet_here(*arguments, "--server", server, cwd=tmp_path)
        assert done.returncode == exit_code, done.stdout + done.stderr
        assert not (tmp_path / ".framefleet").exists()
        return done

    return command


def here(served: Served, tmp_path: Path, *arguments: str) -> str:
    url = served.settings.database_url
    assert url is not None
    place = {"DATABASE_URL": url.get_secret_value(), "STORAGE_URL": served.settings.storage_url or ""}
    done = framefleet_here(*arguments, cwd=tmp_path, **place)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_prints_what_it_prints_on_a_database(served: Served, framefleet: Framefleet, tmp_path: Path) -> None:
    job_id = served.job(status="failed", error_code="source_not_found", error_message="It is gone.")
    for arguments in (["list", "--limit", "1"], ["status", job_id], ["chunks", job_id], ["status", job_id, "--json"]):
        assert framefleet(*arguments).stdout == here(served, tmp_path, *arguments)


def test_jobs_are_moved(served: Served, framefleet: Framefleet) -> None:
    first, second = served.job(), served.job()
    assert "cancelled" in framefleet("cancel", first).stdout
    assert framefleet("cancel", served.job(status="failed"), exit_code=2).stderr.startswith("invalid_state")
    served.change(second, status="failed", error_code="storage_error")
    assert json.loads(framefleet("retry", second, "--json").stdout)["status"] == "queued"
    third = served.job(status="failed", error_code="media_undecodable")
    done = json.loads(framefleet("retry", "--all-failed", "--code", "media_undecodable", "--json").stdout)
    assert done == {"retried": [third], "refused": {}}


def test_jobs_are_made_of_jobs(served: Served, framefleet: Framefleet, tmp_path: Path) -> None:
    analysed = served.analysed_job()
    arguments = ("version", analysed, "--param", "aspect=1:1", "--param", "zoom=false", "--json")
    made = [json.loads(framefleet(*arguments).stdout), json.loads(here(served, tmp_path, *arguments))]
    assert [(job["version_of"], job["version"]) for job in made] == [(analysed, 2), (analysed, 3)]
    assert made[0]["params"] == made[1]["params"] and made[0]["params"]["aspect"] == "1:1"
    assert "new analysis" in framefleet("version", analysed, "--param", "conf=0.5", exit_code=2).stderr
    failed = served.job(status="failed", error_code="source_not_found")
    for input_ in ([], ["http://127.0.0.1:9/b.mp4"]):
        arguments = ("again", failed, *input_, "--param", "fill=pad", "--json")
        again = [json.loads(framefleet(*arguments).stdout), json.loads(here(served, tmp_path, *arguments))]
        assert {(job["params"]["fill"], job["input"]["name"]) for job in again} == {
            ("pad", f"{'b' if input_ else 'a'}.mp4")
        }


def test_a_path_is_sent_and_a_uri_is_named(served: Served, framefleet: Framefleet, tmp_path: Path) -> None:
    (tmp_path / "talk.mp4").write_bytes(b"no film")
    sent = json.loads(framefleet("submit", "stage", str(tmp_path / "talk.mp4"), "--json").stdout)
    assert sent["input"]["name"] == "talk.mp4"
    named = framefleet("submit", "crop", "http://127.0.0.1:9/a.mp4", "--param", "aspect=9:16", "--json")
    assert json.loads(named.stdout)["params"]["aspect"] == "9:16"
    assert "There is no file missing.mp4" in framefleet("submit", "crop", "missing.mp4", exit_code=2).stderr
    refused = framefleet("submit", "crop", "http://h/a.mp4", "--param", "aspect=round", exit_code=2)
    assert "invalid_params" in refused.stderr


def test_a_run_sends_waits_and_fetches(served: Served, framefleet: Framefleet, tmp_path: Path) -> None:
    """What a worker of the fleet would do meanwhile, a thread does."""
    make_sample(tmp_path / "talk.mp4", 1)  # the server plans it meanwhile
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.05):
            for job in JobService(served.database).list(limit=1):
                if job.kind == "annotate" and job.status != "done":
                    served.finish(str(job.id), b"film")

    fleet = threading.Thread(target=work)
    fleet.start()
    try:
        done = framefleet("run", "annotate", str(tmp_path / "talk.mp4"), "-o", str(tmp_path / "out.mp4"), "--json")
    finally:
        over.set()
        fleet.join()
    assert (tmp_path / "out.mp4").read_bytes() == b"film"
    assert json.loads(done.stdout)["files"] == {"output": str(tmp_path / "out.mp4")}
    assert "say where the result goes" in framefleet("run", "crop", "talk.mp4", exit_code=2).stderr


def test_what_goes_wrong_is_one_line(framefleet: Framefleet) -> None:
    nobody = "00000000-0000-0000-0000-000000000000"
    missing = framefleet("status", nobody, "--json", exit_code=2)
    assert json.loads(missing.stdout)["error"]["code"] == "job_not_found"
    assert "Give the address" in framefleet("list", exit_code=2, server="films.example.com").stderr


def test_the_environment_names_a_server_where_no_database_is_named(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = served.job()
    key_file = tmp_path / "key"
    key_file.write_text("s3cr3t\n")
    there = framefleet_here("status", job_id, cwd=tmp_path, FRAMEFLEET_SERVER=served.address)
    assert there.returncode == 0 and job_id in there.stdout
    with_key = framefleet_here("status", job_id, "--key-file", str(key_file), cwd=tmp_path)
    assert with_key.returncode == 2 and "--key-file is for a server" in with_key.stderr
    far = framefleet_here("list", cwd=tmp_path, FRAMEFLEET_SERVER="http://films.example.com", FRAMEFLEET_KEY="s3cr3t")
    assert far.returncode == 2 and "anybody on the way" in far.stderr and "s3cr3t" not in far.stderr
