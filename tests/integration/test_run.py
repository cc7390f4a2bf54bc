"""`framefleet run`, as a person types it: a process of its own, embedded parts, a real video."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from backend.db.embedded import EmbeddedPostgres
from tests.conftest import shared_file
from tests.integration.commands import environment, framefleet, framefleet_here
from tests.integration.conftest import read_film, wait_until
from tests.samples import make_sample

HELD_SHARE = 0.9
BT709, LIMITED = 1, 1


def test_dancer_is_cropped_in_three_chunks_with_every_frame_and_the_sound(tmp_path: Path, model: Path) -> None:
    source = shared_file("media", "dancer.avi")
    done = framefleet(
        "run", "crop", str(source), "-o", "out.mp4", "--param", "aspect=9:16", "--workers", "2", "--json",
        cwd=tmp_path, MODEL_NAME=str(model),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["status"] == "done"
    assert report["progress_pct"] == 100
    assert report["output"]["encoder"] == "libx264"
    assert report["total_chunks"] == report["completed_chunks"] == 3
    film = read_film(tmp_path / "out.mp4")
    assert len(film.pts) == 1571
    assert film.seconds == pytest.approx(read_film(source).seconds, abs=1e-6)
    assert film.audio_sec is not None
    assert abs(film.audio_sec - film.video_sec) < 0.05
    assert (film.codec, film.pix_fmt, film.color) == ("h264", "yuv420p", (BT709, BT709, BT709, LIMITED))
    assert film.size[0] / film.size[1] == pytest.approx(9 / 16, abs=0.01)
    assert _is_faststart(tmp_path / "out.mp4")
    files = {name: Path(path) for name, path in report["files"].items()}
    assert set(files) == {"output", "tracks", "mot", "camera_path", "manifest"}
    assert _held_share(files) >= 0.99
    # A dancer with arms stretched out is wider than the window: that is said, not left out of the figures.
    assert any("the person is larger than the window: try fill=pad" in warning for warning in report["warnings"])
    manifest = json.loads(files["manifest"].read_text())
    assert manifest["segment_count"] == 3
    assert all(segment["artifact_sha256"] and segment["attempts"] == 1 for segment in manifest["segments"])
    assert {"detect", "render", "total"} <= set(report["seconds"])


def _held_share(files: dict[str, Path]) -> float:
    """Share of frames in which the window holds the middle of the main track's box, at most 0.9 of the window wide.

    From the delivered files alone: the MOT rows' longest tracks and the camera path.
    """
    path = json.loads(files["camera_path"].read_text())
    windows = np.array(path["frames"])[:, 1:]
    rows = np.loadtxt(files["mot"], delimiter=",", ndmin=2)
    subject = path["certificate"]["subject_track_ids"]
    rows = rows[np.isin(rows[:, 1], subject)]
    held = 0
    for row in rows:
        x, y, width, height = windows[int(row[0]) - 1]
        for low, size, start, extent in ((row[2], row[4], x, width), (row[3], row[5], y, height)):
            part = min(size, HELD_SHARE * extent)
            middle = low + size / 2
            if middle - part / 2 < start - 0.5 or middle + part / 2 > start + extent + 0.5:
                break
        else:
            held += 1
    return held / len(rows)


def _is_faststart(path: Path) -> bool:
    data = path.read_bytes()
    return data.index(b"moov") < data.index(b"mdat")


def test_a_run_without_its_weights_takes_the_packaged_ones_and_says_so(tmp_path: Path) -> None:
    clip = make_sample(tmp_path / "clip.mp4", seconds=4)
    done = framefleet(
        "run", "crop", str(clip), "--param", "aspect=1:1", "--workers", "1", "--json",
        cwd=tmp_path, MODEL_NAME="yolo11n.pt", CHUNK_SECONDS="2", https_proxy="http://127.0.0.1:9",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["detector"]["model"] == "yolo11n.onnx"
    assert "yolo11n.pt" in report["detector"]["fallback"]
    assert "packaged weights" in done.stderr
    film = read_film(Path(report["files"]["output"]))
    assert len(film.pts) == 100
    assert film.size[0] == film.size[1]
    assert Path(report["files"]["output"]).is_relative_to(tmp_path / ".framefleet")


def test_cpu_mode_works_the_whole_video_as_one_chunk(tmp_path: Path) -> None:
    clip = make_sample(tmp_path / "clip.mp4", seconds=4)
    done = framefleet("run", "crop", str(clip), "--cpu", "--json", cwd=tmp_path, DETECTOR="hog", CHUNK_SECONDS="1")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["deep_mode"], report["total_chunks"], report["status"]) == ("cpu", 1, "done")


def _bad_inputs(folder: Path) -> dict[str, tuple[str, str]]:
    """What a person may give by mistake: name → (argument, code)."""
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("This is no video.\n" * 100)
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        for number in range(50):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, number * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    whole = make_sample(folder / "whole.mp4", seconds=4)
    (folder / "truncated.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return {
        "empty": (str(folder / "empty.mp4"), "empty_file"),
        "text": (str(folder / "text.mp4"), "not_a_video"),
        "sound only": (str(folder / "sound.mp4"), "no_video_stream"),
        "truncated, no index": (str(folder / "truncated.mp4"), "not_a_video"),
        "missing": (str(folder / "missing.mp4"), "input_not_found"),
        "unknown scheme": ("ftp://example.com/video.mp4", "unsupported_input"),
    }


def test_errors_do_not_exit_0_and_are_typed_without_a_traceback(tmp_path: Path) -> None:
    """The first as a process, the others in this one, on one server."""
    call = framefleet
    with EmbeddedPostgres(tmp_path / ".framefleet" / "postgres"):
        for name, (argument, code) in _bad_inputs(tmp_path).items():
            done = call("run", "crop", argument, "--workers", "0", "--json", cwd=tmp_path, DETECTOR="hog")
            assert done.returncode in (1, 2), name
            report = json.loads(done.stdout)
            assert report["error"]["code"] == code, (name, report["error"])
            assert "Traceback" not in done.stderr + done.stdout, name
            call = framefleet_here


def test_a_film_that_nobody_is_looked_for_in_is_made_by_one_worker(tmp_path: Path) -> None:
    """Chunk workers load a detector, which costs seconds and a quarter of a gigabyte."""
    if len(os.sched_getaffinity(0)) >= 8:
        pytest.skip("here films are rendered in pieces, by chunk workers")
    clip = make_sample(tmp_path / "clip.mp4", 1)
    done = framefleet("run", "downsample", str(clip), "-o", "out.mp4", "--param", "resolution=90p", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_film(tmp_path / "out.mp4").size == (160, 90)
    # On a line each, however long: people copy them.
    started, film, also, *_ = done.stdout.splitlines()
    assert film == f"film: {tmp_path / 'out.mp4'}"
    assert also == f"also: {tmp_path / '.framefleet' / 'results' / started.split()[0]} (manifest.json)"
    assert {log.name for log in (tmp_path / ".framefleet" / "logs").glob("*worker*")} == {"analysis_worker.log"}
    listed = framefleet("list", cwd=tmp_path).stdout.split()
    assert listed[listed.index("done") :][:3] == ["done", "100", "-"] and "downsample:" in listed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "crop", "x.mp4", "--param", "aspect=9to16"), "aspect"),
        (("run", "crop", "x.mp4", "--param", "colour=red"), "colour"),
        (("run", "crop", "x.mp4", "--param", "aspect"), "KEY=VALUE"),
        (("run", "crop", "x.mp4", "--param", "keyframes=[{time_sec: 1}]"), "--param keyframes: this is no JSON"),
        (("run", "downsample", "x.mp4"), "resolution is needed: the picture's shorter side"),
        (("run", "downsample", "x.mp4", "--param", "resolution=big"), "resolution: must be the picture's shorter side"),
        (("run", "knit", "x.mp4"), "crop"),
        (("status", "7"), "UUID"),
        (("status", "00000000-0000-0000-0000-000000000000"), "no job"),
    ],
)
def test_bad_arguments_exit_2_and_say_what_is_wrong(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    (tmp_path / "x.mp4").touch()
    done = framefleet_here(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_process_with_bad_arguments_exits_2(tmp_path: Path) -> None:
    done = framefleet("run", "knit", "x.mp4", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "crop" in done.stderr and "Traceback" not in done.stderr


def test_interrupting_a_run_cancels_the_job_and_leaves_no_process(tmp_path: Path) -> None:
    clip = make_sample(tmp_path / "clip.mp4", seconds=8)
    process = _running(str(clip), tmp_path)
    log = tmp_path / ".framefleet" / "logs" / "gpu_chunk_worker-0.log"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (log.exists() and "chunk_claimed" in log.read_text()):
        time.sleep(0.1)
    assert _interrupted(process)["status"] == "cancelled"
    # What forks for a worker ends when the worker's end of their socket closes, so a moment after it.
    wait_until(lambda: not _processes_in(tmp_path), 60, "every process of the run has ended")


def test_interrupting_a_run_that_still_looks_at_its_source_shows_the_cancelled_job(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/clip.mp4"
        process = _running(address, tmp_path, HTTP_ALLOW_PRIVATE="true")
        with silent.accept()[0]:
            assert _interrupted(process)["status"] == "cancelled"


def _running(source: str, folder: Path, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "backend", "run", "crop", source, "--json", "--workers", "1"],
        cwd=folder,
        env=environment({"DETECTOR": "hog"} | settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # A shell that starts the tests in the background has them ignore it, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def _interrupted(process: subprocess.Popen[str]) -> dict[str, Any]:
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    shown: dict[str, Any] = json.loads(output)
    return shown


def _processes_in(folder: Path) -> list[str]:
    """Command lines of processes that still have to do with the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            cwd = os.readlink(entry / "cwd")
        except OSError:
            continue
        if str(folder) in command or cwd.startswith(str(folder)):
            found.append(command)
    return found


def test_doctor_names_what_is_there_and_what_is_missing(tmp_path: Path) -> None:
    done = framefleet("doctor", "--json", cwd=tmp_path, MODEL_NAME="/nowhere/best.pt", POSE_MODEL_NAME="/nowhere/pose")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 1
    assert checks["database"]["ok"]
    assert "PostgreSQL 18" in checks["database"]["says"]
    assert checks["video codecs"]["ok"]
    assert {"libx264", "libx265"} <= set(checks["video codecs"]["says"].split(" work")[0].split(", "))
    assert not checks["detector"]["ok"]
    assert "MODEL_NAME" in checks["detector"]["says"]
    assert not checks["pose model"]["ok"]
    assert "set POSE_MODEL_NAME to its path" in checks["pose model"]["says"]


def test_list_status_and_chunks_show_a_finished_job(tmp_path: Path) -> None:
    clip = make_sample(tmp_path / "clip.mp4", seconds=2)
    with EmbeddedPostgres(tmp_path / ".framefleet" / "postgres"):  # one server for all of these
        done = framefleet("run", "crop", str(clip), "--json", "--workers", "1", cwd=tmp_path, DETECTOR="hog")
        assert done.returncode == 0, done.stderr
        run: dict[str, Any] = json.loads(done.stdout)
        here = partial(framefleet_here, cwd=tmp_path)
        listed = json.loads(here("list", "--json").stdout)["jobs"]
        assert [job["id"] for job in listed] == [run["id"]]
        assert json.loads(here("status", run["id"], "--json").stdout)["progress_pct"] == 100
        chunks = json.loads(here("chunks", run["id"], "--json").stdout)["chunks"]
        assert [chunk["status"] for chunk in chunks] == ["completed"]
        assert here("plot", run["id"], "-o", "path.png").returncode == 0
        assert cv2.imread(str(tmp_path / "path.png")).shape == (900, 1200, 3)
        height, width, _ = cv2.imread(str(tmp_path / "path_sheet.png")).shape
        assert width > height > 900
        assert here("cancel", run["id"]).returncode == 2
        assert here("retry", run["id"]).returncode == 2
