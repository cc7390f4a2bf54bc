"""What docs/api.md shows is run: its Python here, its curl lines by a shell. No workers run: jobs are in the states
that an example needs; what the API answers is its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.access.keys import create_key
from backend.client import Client
from backend.jobs.layout import result_key
from backend.jobs.webhook_secrets import rotate_secret, signature_header
from backend.storage import open_store
from tests.integration.client.conftest import Served, listening
from tests.integration.commands import PROJECT, framefleet_here

SECTION = "## Task by task"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SERVER, INPUT = "https://films.example.com", "https://example.com/talk.mp4"
FILM = b"film" * 1000


def tasks() -> dict[str, list[tuple[str, str]]]:
    """Heading → its blocks, each a language and a text. What stands before the first heading has none."""
    text = (PROJECT / "docs" / "api.md").read_text().partition(f"{SECTION}\n")[2].partition("\n## ")[0]
    heads = re.split(r"^### (.*)\n", text, flags=re.MULTILINE)
    named = dict(zip(["", *heads[1::2]], [heads[0], *heads[2::2]], strict=True))
    return {name: BLOCK.findall(body) for name, body in named.items()}


TASKS = tasks()


class Examples:
    """One caller with a key, in a folder with a film, and jobs in every state."""

    def __init__(self, served: Served, address: str, key: str, folder: Path) -> None:
        self.served, self.address, self.folder = served, address, folder
        (folder / "talk.mp4").write_bytes(os.urandom(300_000))
        done = served.done_job(FILM)
        for name in ("tracks.json", "camera_path.json"):
            open_store(served.settings).put(result_key(done, name), b'{"tracks": []}')
        failed = {"status": "failed", "error_code": "storage_error", "error_message": "Away."}
        self.jobs = {"done": done, "queued": served.job(), "failed": served.job(**failed)}
        self.jobs["analysed"] = served.analysed_job()
        self.environment = {"PATH": os.environ["PATH"], "FRAMEFLEET_KEY": key}

    def shell(self, script: str, state: str) -> str:
        """What the shell printed, with the first block's variables. Fails the test where any line failed."""
        setup = self._here(TASKS[""][1][1])
        names = {"JOB": self.jobs[state], "FAILED_JOB": self.jobs["failed"]}
        names["ANALYSED_JOB"] = self.jobs["analysed"]
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{setup}\n{self._here(script)}"],
            cwd=self.folder,
            env=self.environment | names,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def python(self, script: str, names: dict[str, Any]) -> None:
        exec(compile(self._here(script), "docs/api.md", "exec"), names)

    def _here(self, script: str) -> str:
        return script.replace(SERVER, self.address).replace(INPUT, "http://127.0.0.1:9/talk.mp4")


@pytest.fixture(scope="module")
def examples(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examples]:
    settings = served.settings.model_copy(update={"api_access": "keys"})
    key = create_key(served.database, "examples")
    with listening(settings) as address:
        yield Examples(served, address, key, tmp_path_factory.mktemp("examples"))


@pytest.fixture
def python(examples: Examples, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names that the first block defines, and those that the text speaks of."""
    monkeypatch.chdir(examples.folder)
    monkeypatch.setenv("FRAMEFLEET_KEY", examples.environment["FRAMEFLEET_KEY"])
    names: dict[str, Any] = {}
    examples.python(TASKS[""][2][1], names)
    assert isinstance(names["client"], Client)
    names["job"] = names["client"].job(examples.jobs["done"])
    yield names
    names["client"].close()


def blocks_of(heading: str, language: str) -> list[str]:
    found = [text for said, text in TASKS[heading] if said == language]
    assert found
    return found


def needs_curl() -> None:
    version = re.match(r"curl (\d+)\.(\d+)", _curl_version())
    if version is None or (int(version[1]), int(version[2])) < (7, 82):
        pytest.skip("curl 7.82 or newer is not on this machine (apt-get install curl)")


def _curl_version() -> str:
    path = shutil.which("curl")
    return subprocess.run([path, "--version"], capture_output=True, text=True).stdout if path else ""


def test_every_task_has_an_example_of_both_and_is_tried_here() -> None:
    assert all({language for language, _ in blocks} == {"sh", "python"} for blocks in TASKS.values())
    source = Path(__file__).read_text()
    assert [name for name in TASKS if name and f'"{name}"' not in source] == []


def test_a_key_is_made(examples: Examples, served: Served) -> None:
    (command, *arguments), url = TASKS[""][0][1].partition("#")[0].split(), served.settings.database_url
    assert (command, url is not None) == ("framefleet", True)
    done = framefleet_here(*arguments, cwd=examples.folder, DATABASE_URL=url.get_secret_value() if url else "")
    with Client(examples.address, done.stdout.strip()) as client:
        assert list(client.jobs(limit=1))


@pytest.mark.parametrize(
    ("heading", "state", "printed"),
    [
        ("A job on a video behind a URI", "queued", '"aspect":"9:16"'),
        ("A job on a file here", "queued", '"name":"talk.mp4"'),
        ("Look, and wait", "done", "304"),
        ("List and filter", "done", '"storage_error"'),
        ("Cancel, retry, pause", "queued", '"status":"cancelled"'),
        ("Another version, or once more", "done", '"version":2'),
        ("Be told", "done", '"deliveries":[]'),
    ],
)
def test_curl_lines(examples: Examples, heading: str, state: str, printed: str) -> None:
    needs_curl()
    (script,) = blocks_of(heading, "sh")
    assert printed in examples.shell(script, state).replace(" ", "")


def test_curl_lines_that_fetch(examples: Examples) -> None:
    needs_curl()
    (script,) = blocks_of("Fetch the film and the tracks", "sh")
    whole, broken_off, tracks = script.strip().splitlines()
    examples.shell(f"{whole}\n{tracks}", "done")
    film = examples.folder / "film.mp4"
    assert film.read_bytes() == FILM
    film.write_bytes(FILM[:1000])
    examples.shell(broken_off, "done")
    assert film.read_bytes() == FILM
    assert (examples.folder / "tracks.json").read_bytes() == b'{"tracks": []}'


def test_python_that_makes_jobs(examples: Examples, python: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    for heading in ("A job on a video behind a URI", "A job on a file here"):
        before = python["job"].id
        for script in blocks_of(heading, "python"):
            examples.python(script, python)
            assert python["job"].id != before
    said = capsys.readouterr().out
    assert "300000 of 300000 bytes" in said and f"upload {python['upload']}" in said
    assert python["job"].input_name == "talk.mp4"


def test_python_that_looks_and_fetches(
    examples: Examples, python: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for heading in ("Look, and wait", "Fetch the film and the tracks"):
        for script in blocks_of(heading, "python"):
            examples.python(script, python)
    assert "DONE 100" in capsys.readouterr().out
    assert (examples.folder / "film.mp4").read_bytes() == FILM
    assert python["tracks"] == {"tracks": []}
    (script,) = blocks_of("List and filter", "python")
    failed = examples.served.job(status="failed", error_code="storage_error", error_message="Away.")
    examples.python(script, python)
    assert f"{failed} a.mp4 storage_error" in capsys.readouterr().out


def test_python_that_moves_jobs(examples: Examples, python: dict[str, Any]) -> None:
    served = examples.served
    python["job_id"], python["failed_job_id"] = served.job(), served.job(status="failed")
    (script,) = blocks_of("Cancel, retry, pause", "python")
    examples.python(script, python)
    states = [python["client"].job(python[name]).status for name in ("job_id", "failed_job_id")]
    assert states[0] == "cancelled" and states[1] != "failed"


def test_python_that_makes_jobs_of_jobs(
    examples: Examples, python: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    python["analysed_job_id"], python["failed_job_id"] = examples.served.analysed_job(), examples.jobs["failed"]
    (script,) = blocks_of("Another version, or once more", "python")
    examples.python(script, python)
    version, once_more = python["version"].raw, python["once_more"].raw
    assert capsys.readouterr().out == f"{[python['analysed_job_id'], version['id']]}\n"
    assert (version["params"]["aspect"], version["version"], version["status"]) == ("1:1", 2, "aggregating")
    assert (once_more["params"]["fill"], once_more["input"]["name"]) == ("pad", "talk.mp4")


def test_the_receiver_takes_what_is_signed_and_nothing_else(
    examples: Examples, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    signing = rotate_secret(examples.served.database, "default")
    monkeypatch.setenv("WEBHOOK_SECRET", signing[0].text)
    names: dict[str, Any] = {"__name__": "receiver"}
    (script,) = blocks_of("Be told", "python")
    examples.python(script, names)
    receiver, now, body = names["app"].test_client(), int(time.time()), '{"type":"job.completed","data":{"id":"7"}}'

    def told(body: str, signed: str) -> int:
        headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now)}
        headers["webhook-signature"] = signature_header(signing, "msg_1", now, signed)
        return int(receiver.post("/films", data=body, headers=headers).status_code)

    assert [told(body, body), told(body, body), told(body.replace("7", "8"), body)] == [204, 204, 400]
    assert capsys.readouterr().out == "job.completed 7\n"
