"""What an upload costs the API: memory and speed, in parts and as a form, and what passes it on the way to a bucket.

`python -m benchmarks.uploads [--gigabytes 4] [--bucket-megabytes 512]`: `framefleet up` as it is, a client with three
parts on their way at once, `curl -F`, and a bucket of moto's behind a proxy that counts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import urllib3
from moto.server import ThreadedMotoServer

AT_ONCE = 3
MIB = 2**20
BLOCK_BYTES = 256 * 1024
BUCKET = "measured-uploads"
START_SEC = 60


class Counter:
    """A proxy to a port of this machine that counts the bytes towards it, and back."""

    def __init__(self, target_port: int) -> None:
        self.sent_bytes = self.answered_bytes = 0
        self._target = ("127.0.0.1", target_port)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(self._target)
            for source, sink, name in ((client, server, "sent_bytes"), (server, client, "answered_bytes")):
                threading.Thread(target=self._pass_on, args=(source, sink, name), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, name: str) -> None:
        try:
            while block := source.recv(BLOCK_BYTES):
                sink.sendall(block)
                with self._lock:
                    setattr(self, name, getattr(self, name) + len(block))
            sink.shutdown(socket.SHUT_WR)
        except OSError:  # the other side is gone
            source.close()
            sink.close()


@dataclass
class Api:
    """`framefleet up` without chunk workers."""

    port: int
    worker: psutil.Process  # the process that answers

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def forget_peak(self) -> int:
        """Resident bytes now, from where the peak counts anew."""
        Path(f"/proc/{self.worker.pid}/clear_refs").write_text("5")
        return int(self.worker.memory_info().rss)

    def peak_bytes(self) -> int:
        lines = Path(f"/proc/{self.worker.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@contextmanager
def running(folder: Path, **environment: str) -> Iterator[Api]:
    port = free_port()
    command = [sys.executable, "-m", "backend", "up", "--workers", "0", "--port", str(port), "--data-dir", str(folder)]
    env = {name: value for name, value in os.environ.items() if name not in ("STORAGE_URL", "DATABASE_URL")}
    up = subprocess.Popen(command, env=env | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_it_answers(f"http://127.0.0.1:{port}/health")
        listening = [each for each in psutil.Process(up.pid).children(recursive=True) if "gunicorn" in _words(each)]
        (worker,) = [each for each in listening if each.ppid() in {other.pid for other in listening}]
        yield Api(port, worker)
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(timeout=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _words(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


def wait_until_it_answers(url: str) -> None:
    deadline = time.monotonic() + START_SEC
    while time.monotonic() < deadline:
        try:
            if urllib3.request("GET", url, retries=False, timeout=2).status == 200:
                return
        except urllib3.exceptions.HTTPError:
            time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def send_in_parts(base: str, size_bytes: int) -> dict[str, Any]:
    """Each part to where the API says, with its length alone."""
    pool = urllib3.PoolManager(maxsize=2 * AT_ONCE, retries=False)
    begun = pool.request("POST", f"{base}/api/v1/uploads", json={"name": "big.mp4", "size_bytes": size_bytes})
    assert begun.status == 201, begun.data
    upload: dict[str, Any] = begun.json()
    here = f"{base}{upload['links']['self']}"
    data = os.urandom(min(upload["part_bytes"], size_bytes))

    def send(number: int) -> None:
        link = pool.request("POST", f"{here}/parts", json={"parts": [{"number": number}]}).json()["parts"][0]
        url = f"{base}{link['url']}" if link["url"].startswith("/") else link["url"]
        headers = link["headers"] | {"Content-Type": "application/octet-stream"}
        answer = pool.request("PUT", url, body=data[: link["size_bytes"]], headers=headers)
        assert answer.status == 200, answer.data

    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(send, range(1, upload["parts"] + 1)))
    done = pool.request("POST", f"{here}/complete")
    assert done.status == 200 and done.json()["state"] == "complete", done.data
    return upload


def send_as_form(base: str, size_bytes: int) -> None:
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        os.truncate(file.fileno(), size_bytes)  # curl sends zeros
        command = ["curl", "--silent", "--show-error", "--fail", "--output", "/dev/null"]
        subprocess.run([*command, "-F", f"file=@{file.name}", f"{base}/api/v1/jobs"], check=True)


@dataclass(frozen=True)
class Cost:
    """Of one upload through the API."""

    seconds: float
    before_bytes: int
    grown_bytes: int  # at the peak


@dataclass(frozen=True)
class Passed:
    """By an upload to a bucket: bytes to the API, to the bucket, and back from it."""

    to_api: int
    to_bucket: int
    from_bucket: int
    grown_bytes: int


def cost_of(send: Callable[[str, int], object], folder: Path, size_bytes: int) -> Cost:
    objects = folder / "objects"
    with running(folder / "data", STORAGE_URL=objects.as_uri()) as api:
        send_in_parts(api.url, 16 * MIB)  # what is loaded at the first upload
        before, began = api.forget_peak(), time.monotonic()
        send(api.url, size_bytes)
        cost = Cost(time.monotonic() - began, before, api.peak_bytes() - before)
    shutil.rmtree(objects)
    return cost


def passed_to_a_bucket(folder: Path, size_bytes: int) -> Passed:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    store = Counter(moto.get_host_and_port()[1])
    endpoint = f"http://127.0.0.1:{store.port}"
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1"}
    place = {"STORAGE_URL": f"s3://{BUCKET}/store", "S3_ENDPOINT_URL": endpoint, "S3_ADDRESSING_STYLE": "path"}
    urllib3.request("PUT", f"{endpoint}/{BUCKET}")
    with running(folder / "data", **place, **keys) as api:
        door = Counter(api.port)
        address = f"http://127.0.0.1:{door.port}"
        send_in_parts(address, 8 * MIB)
        to_bucket, to_api, from_bucket = store.sent_bytes, door.sent_bytes, store.answered_bytes
        before = api.forget_peak()
        send_in_parts(address, size_bytes)
        passed = Passed(
            door.sent_bytes - to_api,
            store.sent_bytes - to_bucket,
            store.answered_bytes - from_bucket,
            api.peak_bytes() - before,
        )
    moto.stop()
    return passed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--bucket-megabytes", type=int, default=512)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="framefleet-uploads-", ignore_cleanup_errors=True) as name:
        size_bytes = int(asked.gigabytes * 2**30)
        for number, (words, send) in enumerate((("in parts", send_in_parts), ("curl -F", send_as_form))):
            cost = cost_of(send, Path(name) / str(number), size_bytes)
            print(
                f"{words}: {size_bytes / 2**30:.1f} GiB in {cost.seconds:.1f} s "
                f"({size_bytes / MIB / cost.seconds:.0f} MiB/s); the API has {cost.before_bytes / MIB:.0f} MiB, "
                f"at its peak {cost.grown_bytes / MIB:+.1f} MiB"
            )
        size_bytes = asked.bucket_megabytes * MIB
        passed = passed_to_a_bucket(Path(name) / "bucket", size_bytes)
        print(
            f"to a bucket: {size_bytes:,} bytes; to the API {passed.to_api:,}, to the bucket {passed.to_bucket:,}, "
            f"from it {passed.from_bucket:,}; the API's memory {passed.grown_bytes / MIB:+.1f} MiB"
        )


if __name__ == "__main__":
    main()
