"""Real parts for the tests: a PostgreSQL of their own, real media, real S3 over HTTP. Nothing is patched."""

from __future__ import annotations

import gc
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

# Until the tests are collected: see pytest_collection_finish.
gc.disable()

# The machine's own settings must not leak into tests, nor telemetry out of them.
OWN_SETTINGS = (
    "DATABASE_URL",
    "STORAGE_URL",
    "DETECTOR",
    "POSE_MODEL_NAME",
    "OUTPUT_BUCKET",
    "FRAMEFLEET_DATA_DIR",
    "POD_NAME",
)
WATCHERS = (
    "METRICS",
    "METRICS_PORT",
    "PROMETHEUS_MULTIPROC_DIR",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_TRACES_EXPORTER",
)
for name in OWN_SETTINGS + WATCHERS:
    os.environ.pop(name, None)

from backend.db.embedded import EmbeddedPostgres  # noqa: E402
from backend.db.engine import Database  # noqa: E402
from backend.db.migrate import upgrade  # noqa: E402
from backend.events import Event, listen  # noqa: E402
from backend.settings import Settings, get_settings  # noqa: E402
from backend.vision.pose.detector import PoseDetector, open_pose_detector  # noqa: E402

SHARED = Path(__file__).resolve().parents[2] / "shared"
SAMPLE_PHOTO = Path(__file__).resolve().parents[1] / "backend" / "local" / "street.jpg"
MODEL = SHARED / "models" / "yolo11n_int8_openvino_model"
POSE_MODEL = SHARED / "models" / "yolo11n_pose_openvino_model"


def pytest_collection_finish() -> None:
    """What was imported lives as long as the tests: the collector, off until now, does not walk it again and again."""
    gc.freeze()
    gc.enable()


def shared_file(*parts: str) -> Path:
    """A file of the shared media folder; the test is skipped where there is none."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a server of this test run; `template_framefleet` in it has the schema.

    Not below pytest's own folder: another session would close that to the account the server runs as.
    """
    with ExitStack() as stack:
        url = os.environ.get("TEST_POSTGRES_URL")  # a server that somebody else began, and ends
        if url is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="framefleet-test-"))
            url = stack.enter_context(EmbeddedPostgres(Path(folder))).url
            _write_to_memory_only(url)
        _create(url, "template_framefleet")
        template = Database(_url_of(url, "template_framefleet"))
        upgrade(template)
        template.close()
        yield url


@contextmanager
def empty_database(postgres: str) -> Iterator[str]:
    """URL of a database with the schema and nothing else; gone afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    _create(postgres, name, template="template_framefleet")
    yield _url_of(postgres, name)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(postgres: str) -> Iterator[str]:
    """For one test alone."""
    with empty_database(postgres) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, pool_size=20)
    yield database
    database.close()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    get_settings.cache_clear()
    return Settings.model_validate(
        {
            "database_url": database_url,
            "storage_url": (tmp_path / "objects").as_uri(),
            "data_dir": tmp_path / "data",
            "retry_base_seconds": 0.0,
            "http_allow_private": True,
        }
    )


@pytest.fixture(scope="session")
def model() -> Path:
    if not MODEL.exists():
        pytest.skip(f"{MODEL} is not on this machine")
    return MODEL


@pytest.fixture(scope="session")
def pose_model() -> Path:
    if not POSE_MODEL.exists():
        pytest.skip(f"{POSE_MODEL} is not on this machine")
    return POSE_MODEL


@pytest.fixture(scope="session")
def pose_detector(pose_model: Path, tmp_path_factory: pytest.TempPathFactory) -> PoseDetector:
    """Loaded once: that takes a second."""
    given = {"pose_model_name": str(pose_model), "data_dir": tmp_path_factory.mktemp("data")}
    return open_pose_detector(Settings.model_validate(given))


def _write_to_memory_only(url: str) -> None:
    """Its machine does not fail in the middle of a test: a database for each test would wait for the disk each time."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")


def _create(server_url: str, name: str, template: str = "template0") -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")


def _url_of(server_url: str, name: str) -> str:
    return server_url.replace("/postgres?", f"/{name}?")


@dataclass(frozen=True)
class Said:
    """A log event of this process."""

    event: str
    level: str
    fields: Mapping[str, object]


_SAID: list[Said] = []


def _hear(event: Event, level: str, fields: Mapping[str, object]) -> None:
    _SAID.append(Said(event.value, level, dict(fields)))


@pytest.fixture
def said() -> list[Said]:
    """The log events of this test so far; where the log itself goes is up to whoever configured it last."""
    listen(_hear)
    _SAID.clear()
    return _SAID
