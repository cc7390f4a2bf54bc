"""One PostgreSQL for all processes of a data folder: it lives as long as any of them, and no longer."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from sqlalchemy import make_url

from backend.db.embedded import EmbeddedPostgres
from backend.db.embedded_logins import OWNER, SEAL_FILE, SERVICES, password_of
from backend.db.engine import Database
from backend.db.migrate import PROJECT, upgrade
from backend.db.provided import database_of
from backend.errors import DatabaseUnavailable
from backend.settings import Settings

HOLDER = """
import sys
from pathlib import Path
from backend.db.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as server:
    print("holding", flush=True)
    sys.stdin.readline()
"""


def server_pid(folder: Path) -> int | None:
    """Of the running server; None when there is none."""
    try:
        pid = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return None
    return pid


def ask(url: str, query: str = "SELECT 1") -> Any:
    with psycopg.connect(url, connect_timeout=5, autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchone() if cursor.description else None


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that holds the server, until its standard input ends."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], text=True, cwd=PROJECT, **pipes)
    assert process.stdout is not None
    try:
        said = ""
        while "holding" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        yield process
    finally:
        process.kill()
        process.communicate()


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate("go\n", timeout=30)
    assert process.returncode == 0


def wait_until_dead(pid: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    pytest.fail(f"process {pid} still lives")


@pytest.fixture
def place() -> Iterator[Path]:
    """Not under pytest's own folder: the next pytest to start closes that to the account the server runs as."""
    with tempfile.TemporaryDirectory(prefix="framefleet-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A folder that was used before, so that not every test waits for initdb."""
    with tempfile.TemporaryDirectory(prefix="framefleet-test-") as name:
        yield fill(Path(name))


def fill(folder: Path) -> Path:
    with EmbeddedPostgres(folder) as server:
        ask(server.url, "CREATE TABLE kept (value text)")
        ask(server.url, "INSERT INTO kept VALUES ('from the first run')")
    return folder


def test_a_new_folder_serves_the_whole_schema_and_stops_after(place: Path) -> None:
    folder = place / "not" / "there" / "yet"
    with EmbeddedPostgres(folder) as server:
        database = Database(server.url)
        upgrade(database)
        database.close()
        assert server_pid(folder) is not None
    assert server_pid(folder) is None


def test_a_restart_keeps_the_data(made: Path) -> None:
    with EmbeddedPostgres(made) as server:
        assert ask(server.url, "SELECT value FROM kept") == ("from the first run",)
    assert server_pid(made) is None


def test_nobody_reaches_the_server_over_the_network(made: Path) -> None:
    with EmbeddedPostgres(made) as server:
        assert ask(server.url, "SHOW listen_addresses") == ("",)


def test_nobody_gets_in_without_a_password(made: Path) -> None:
    with EmbeddedPostgres(made) as server:
        for password in ("", "guessed"):
            for role in (OWNER, SERVICES, "postgres"):
                url = make_url(server.url).set(username=role, password=password)
                with pytest.raises(psycopg.OperationalError, match="password"):
                    ask(url.render_as_string(hide_password=False))
        assert (made / "data" / "pg_hba.conf").read_text().split() == ["local", "all", "all", "scram-sha-256"]


def test_socket_and_passwords_are_the_accounts_alone(made: Path) -> None:
    with EmbeddedPostgres(made) as server:
        socket = Path(parse_qs(urlsplit(server.url).query)["host"][0]) / ".s.PGSQL.5432"
        assert [stat.S_IMODE(path.stat().st_mode) for path in (socket.parent, socket)] == [0o700, 0o700]
        secrets = [made / f"{role}.password" for role in (OWNER, SERVICES)]
        assert server.services_url and [stat.S_IMODE(each.stat().st_mode) for each in secrets] == [0o600, 0o600]


def test_a_folder_of_an_earlier_version_which_trusted_everybody_is_closed_and_keeps_its_data(made: Path) -> None:
    folder = made / "data"
    (folder / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 trust\n")
    (folder / SEAL_FILE).unlink()
    for kept in made.glob("*.password"):
        kept.unlink()
    with EmbeddedPostgres(made) as server:
        assert ask(server.url, "SELECT value FROM kept") == ("from the first run",)
        with pytest.raises(psycopg.OperationalError, match="password"):
            ask(make_url(server.url).set(password=None).render_as_string())


def test_processes_that_start_at_once_agree_on_the_password(place: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: password_of(OWNER, place / "new"), range(8)))) == 1


def test_another_accounts_folder_is_no_place_for_the_socket(place: Path) -> None:
    """Whoever made it first could answer in the server's place."""
    server = EmbeddedPostgres(place.joinpath(*["a-folder-with-a-rather-long-name" * 3] * 3))
    planted = Path(parse_qs(urlsplit(server.url).query)["host"][0])
    planted.mkdir()
    try:
        if os.geteuid() != 0:
            pytest.skip("only root can give a folder away")
        os.chown(planted, 12345, 12345)
        with pytest.raises(DatabaseUnavailable, match="belongs to another account"):
            server.start()
    finally:
        planted.rmdir()


@pytest.fixture(scope="module")
def services() -> Iterator[str]:
    """URL as what the services of this machine log in as, with the tables there."""
    with tempfile.TemporaryDirectory(prefix="framefleet-test-") as folder:
        settings = Settings.model_validate({"data_dir": Path(folder)})
        with database_of(settings) as (_, located):
            assert located.database_url is not None
            yield located.database_url.get_secret_value()


@pytest.mark.parametrize(
    "attempt",
    [
        "COPY fleet FROM PROGRAM 'id'",
        "COPY fleet TO '/tmp/leaked'",
        "SELECT pg_read_file('/etc/passwd')",
        "CREATE TABLE mine (x int)",
        "CREATE EXTENSION plperlu",
        "ALTER TABLE video_analysis_jobs DISABLE ROW LEVEL SECURITY",
        "DROP TABLE video_analysis_jobs",
        "CREATE ROLE mine SUPERUSER",
        f"SET ROLE {OWNER}",
        "ALTER SYSTEM SET listen_addresses = '*'",
        "SELECT rolpassword FROM pg_authid",
        "UPDATE alembic_version SET version_num = 'x'",
    ],
)
def test_services_are_neither_superuser_nor_owner(services: str, attempt: str) -> None:
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported)):
        ask(services, attempt)
    assert ask(services, "SELECT count(*) FROM video_analysis_jobs") == (0,)


def test_a_second_process_shares_the_server_which_lives_while_either_holds_it(made: Path) -> None:
    with EmbeddedPostgres(made) as server:
        pid = server_pid(made)
        with holder(made) as other:
            assert server_pid(made) == pid
            leave(other)
        assert server_pid(made) == pid
        assert ask(server.url) == (1,)
    assert server_pid(made) is None


def test_the_server_outlives_the_process_that_started_it_while_another_holds_it(made: Path) -> None:
    with holder(made) as first:
        pid = server_pid(made)
        with EmbeddedPostgres(made) as server:
            leave(first)
            assert server_pid(made) == pid
            assert ask(server.url) == (1,)
    assert server_pid(made) is None


def test_two_users_in_one_process_share_the_server(made: Path) -> None:
    with EmbeddedPostgres(made) as outer:
        with EmbeddedPostgres(made):
            pid = server_pid(made)
        assert server_pid(made) == pid
        assert ask(outer.url) == (1,)
    assert server_pid(made) is None


def test_processes_that_start_at_once_share_one_server(made: Path) -> None:
    with holder(made) as a, holder(made) as b, holder(made) as c:
        pid = server_pid(made)
        assert pid is not None
        for process in (a, b):
            leave(process)
        assert server_pid(made) == pid
        leave(c)
    assert server_pid(made) is None


def test_a_killed_holder_does_not_stop_the_server_for_others_nor_keep_it_alive(made: Path) -> None:
    with EmbeddedPostgres(made) as server:
        with holder(made) as other:
            other.send_signal(signal.SIGKILL)
            other.wait(timeout=60)
        assert ask(server.url) == (1,)
    assert server_pid(made) is None


def test_a_server_left_by_a_killed_process_is_taken_over_and_stopped(made: Path) -> None:
    with holder(made) as only:
        only.send_signal(signal.SIGKILL)
        only.wait(timeout=60)
    left = server_pid(made)
    assert left is not None
    with EmbeddedPostgres(made) as server:
        assert server_pid(made) == left
        assert ask(server.url, "SELECT value FROM kept") == ("from the first run",)
    assert server_pid(made) is None


def test_a_killed_server_is_started_again_with_its_data(made: Path) -> None:
    with EmbeddedPostgres(made) as server:
        ask(server.url, "CREATE TABLE IF NOT EXISTS committed AS SELECT 7 AS value")
        pid = server_pid(made)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until_dead(pid)
    assert server_pid(made) is None
    time.sleep(0.5)  # its children notice and leave the shared memory
    with EmbeddedPostgres(made) as server:
        assert ask(server.url, "SELECT value FROM committed") == (7,)


def test_stop_is_clean_so_that_the_next_start_recovers_nothing(made: Path) -> None:
    with EmbeddedPostgres(made):
        pass
    log = made / "data" / "server.log"
    before = log.stat().st_size
    with EmbeddedPostgres(made):
        pass
    said = log.read_bytes()[before:].decode()
    assert "database system is ready" in said
    assert "was not properly shut down" not in said


def test_a_very_long_data_path_works(place: Path) -> None:
    folder = place.joinpath(*["a-folder-with-a-rather-long-name" * 3] * 3)
    assert len(str(folder)) > 300
    with EmbeddedPostgres(folder) as server:
        assert ask(server.url) == (1,)
        with EmbeddedPostgres(folder) as again:
            assert again.url == server.url
    assert server_pid(folder) is None


@pytest.mark.parametrize("name", ["with a space", "with'quote", "50%25&host=x#y", "größe", "$HOME"])
def test_any_folder_name_works(place: Path, name: str) -> None:
    with EmbeddedPostgres(place / name) as server:
        assert ask(server.url) == (1,)
        database = Database(server.url)
        with database.transaction():
            pass
        database.close()


def test_a_file_in_place_of_the_folder_is_a_readable_error(place: Path) -> None:
    blocked = place / "pg"
    blocked.write_text("I am a file")
    with pytest.raises(DatabaseUnavailable, match="pg"):
        EmbeddedPostgres(blocked).start()
    assert blocked.read_text() == "I am a file"


def test_a_foreign_folder_is_left_alone_with_a_readable_error(place: Path) -> None:
    precious = place / "data" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("mine")
    with pytest.raises(DatabaseUnavailable, match="not empty"):
        EmbeddedPostgres(place).start()
    assert precious.read_text() == "mine"


def test_a_data_folder_that_cannot_be_served_is_an_error_with_the_servers_words(place: Path) -> None:
    (place / "data").mkdir(mode=0o755)
    (place / "data" / "PG_VERSION").write_text("9.1\n")
    with pytest.raises(DatabaseUnavailable, match="failed at"):
        EmbeddedPostgres(place).start()


def test_an_initdb_that_was_killed_half_way_is_done_again(place: Path) -> None:
    script = HOLDER.replace("with EmbeddedPostgres", "import os; os.setpgid(0, 0)\nwith EmbeddedPostgres")
    process = subprocess.Popen([sys.executable, "-c", script, str(place)], cwd=PROJECT, stdin=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(place.rglob("PG_VERSION")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    time.sleep(0.3)
    with EmbeddedPostgres(place) as server:
        assert ask(server.url) == (1,)
