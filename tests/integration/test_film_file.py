"""`framefleet run -o`: what cannot take the film is said before any work, and the source is never written to."""

from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from backend.errors import InvalidRequest, OutputUnwritable
from backend.kinds.crop import CROP
from backend.local.film_file import check_output, write_film
from backend.storage.local_file import FileSource
from tests.integration.commands import environment, framefleet, framefleet_here
from tests.integration.conftest import read_film
from tests.samples import make_sample

FILM = os.urandom(100_000)
REFUSED = {
    "the source": "in.mp4",
    "the source by another way": "folder/../in.mp4",
    "a link to the source": "soft.mp4",
    "another name of the source": "hard.mp4",
    "a link to itself": "loop.mp4",
    "a pipe": "pipe.mp4",
    "a device": "/dev/full",
    "a folder": "folder",
    "below a file": "in.mp4/out.mp4",
    "far below a file": "in.mp4/a/out.mp4",
    "300 characters": "n" * 300 + ".mp4",
    "300 characters in a new folder": "new/" + "n" * 300 + ".mp4",
    "a folder of 300 characters": "n" * 300 + "/out.mp4",
    "a folder that takes no files": "/proc/out.mp4",
    "matroska": "out.mkv",
    "quicktime": "out.MOV",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.mp4"
    path.write_bytes(FILM)
    (tmp_path / "folder").mkdir()
    (tmp_path / "soft.mp4").symlink_to(path)
    (tmp_path / "hard.mp4").hardlink_to(path)
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    return path


def tree(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.mark.parametrize("what", REFUSED)
def test_a_place_that_takes_no_film_is_refused_by_its_name(tmp_path: Path, source: Path, what: str) -> None:
    output = tmp_path / REFUSED[what]
    before = tree(tmp_path)
    with pytest.raises((InvalidRequest, OutputUnwritable)) as caught:
        check_output(output, source, CROP.output)
    assert str(output)[:200] in caught.value.message
    assert tree(tmp_path) == before
    assert source.read_bytes() == FILM


@pytest.mark.parametrize(
    "name", ["out.mp4", "new/folder/out.M4V", "out", "東京.mp4", "長" * 83 + ".mp4", "dangling.mp4", "there.mp4"]
)
def test_a_film_is_written_whole_with_the_mode_that_the_umask_says(tmp_path: Path, source: Path, name: str) -> None:
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "not yet.mp4")
    (tmp_path / "there.mp4").write_bytes(b"an older film")
    output, before = tmp_path / name, tree(tmp_path)
    check_output(output, source, CROP.output)
    assert tree(tmp_path) == before
    old_umask = os.umask(0o027)
    try:
        written = write_film(output, FileSource(source))
    finally:
        os.umask(old_umask)
    assert written == output.resolve()
    assert output.read_bytes() == FILM
    assert stat.S_IMODE(output.stat().st_mode) == 0o640
    assert not list(tmp_path.rglob(".framefleet-*"))


def test_a_source_that_became_the_output_meanwhile_keeps_its_bytes(tmp_path: Path, source: Path) -> None:
    output = tmp_path / "out.mp4"
    check_output(output, source, CROP.output)
    output.hardlink_to(source)
    other = tmp_path / "film"
    other.write_bytes(b"film")
    write_film(output, FileSource(other))
    assert (source.read_bytes(), output.read_bytes()) == (FILM, b"film")


@pytest.mark.parametrize("output", ["in.mp4", "out.mkv", "in.mp4/out.mp4", "n" * 300 + ".mp4"])
def test_the_command_refuses_before_it_starts_anything(tmp_path: Path, source: Path, output: str) -> None:
    done = framefleet_here("run", "crop", source.as_uri(), "-o", output, "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] in ("invalid_request", "output_unwritable")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".framefleet").exists()


def test_a_full_disk_is_said_before_any_work(tmp_path: Path, source: Path) -> None:
    """A limit of the size of files stands for the full disk: a file can be made, and takes no byte."""
    done = subprocess.run(
        [sys.executable, "-m", "backend", "run", "crop", str(source), "-o", "out.mp4"],
        cwd=tmp_path,
        env=environment({"COLUMNS": "300"}),
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    assert done.returncode == 2
    assert "output_unwritable" in done.stderr and "out.mp4 cannot be written" in done.stderr
    assert not (tmp_path / ".framefleet").exists() and not (tmp_path / "out.mp4").exists()


def test_a_film_goes_where_o_says(tmp_path: Path) -> None:
    clip = make_sample(tmp_path / "my clip.mp4", seconds=1)
    name = "長" * 83 + ".mp4"
    done = framefleet(
        "run", "crop", clip.as_uri(), "-o", f"new folder/{name}", "--workers", "1", cwd=tmp_path, DETECTOR="hog"
    )
    assert done.returncode == 0, done.stderr
    assert len(read_film(tmp_path / "new folder" / name).pts) == 25
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "new folder" / name).stat().st_mode) == 0o666 & ~umask
