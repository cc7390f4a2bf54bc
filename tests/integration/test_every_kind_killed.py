"""Jobs of every kind whose every step loses a worker: their results are those of undisturbed jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from backend.db.engine import Database
from backend.settings import Settings
from backend.vision.pose.detector import PoseDetector
from tests.conftest import SAMPLE_PHOTO
from tests.integration.every_kind import FILMS, OTHERS, Asked
from tests.integration.striking import Step, finish, killed_in, steps_of, take_back
from tests.integration.studio import Studio, living_worker
from tests.integration.whole_films import ffmpeg

SECONDS = 4
# One of the two that look for people and poses at once; the other one for people alone.
EVERY = {**FILMS, **OTHERS, "annotate": FILMS["annotate"].with_params(pose=False)}
# Some objects of these steps are written already when the one with this in its key is due.
HALF_WRITTEN = {"framing": [Step("list", "whole", "path_0001"), Step("render", "whole", "/output/")]}


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo of people beside a test picture, of which no two frames are alike; a tone."""
    path = tmp_path_factory.mktemp("street") / "street.mp4"
    photo = ("-loop", 1, "-framerate", 10, "-i", SAMPLE_PHOTO)
    moving = ("-f", "lavfi", "-i", "testsrc2=r=10:s=80x426", "-f", "lavfi", "-i", "sine=r=48000")
    beside = ("-filter_complex", "[0]scale=320:426[photo];[photo][1]hstack", "-t", SECONDS)
    coded = ("-c:v", "libx264", "-preset", "ultrafast", "-g", 10, "-pix_fmt", "yuv420p", "-c:a", "aac")
    ffmpeg(*photo, *moving, *beside, *coded, path)
    return path


@pytest.fixture(scope="module")
def other_sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "low.wav"
    ffmpeg("-f", "lavfi", "-i", "sine=f=250:r=44100", "-t", 3, path)
    return path


@pytest.fixture
def cutting(settings: Settings, pose_model: Path) -> Settings:
    """Two chunks and two pieces a job; nobody adopts what another job found."""
    given = {"chunk_seconds": 2.0, "render_fanout_seconds": 2.0, "reuse_chunks": False, "poll_seconds": 0.1}
    return settings.model_copy(update=given | {"detector": "hog", "pose_model_name": str(pose_model)})


def left_by(studio: Studio, job_id: UUID, folder: Path) -> dict[str, bytes]:
    """All that a job's owner gets, byte for byte."""
    output = studio.output(job_id, folder).read_bytes().replace(str(job_id).encode(), b"<job>")
    return {"output": output, **studio.files(job_id)}


def planned(studio: Studio, asked: Asked, street: Path, other_sound: Path) -> UUID:
    source = other_sound if asked.kind == "audio_trim" else street
    more: dict[str, Any] = {"audio_uri": other_sound.as_uri()} if asked.kind == "encode" else {}
    more |= {"sample_fps": 2} if asked.samples else {}
    return studio.plan(source.as_uri(), asked.kind, **asked.params, **more)


def blows(name: str, step: Step) -> list[Step]:
    late = [each for each in HALF_WRITTEN.get(name, []) if (each.phase, each.role) == (step.phase, step.role)]
    return [step, *late]


@pytest.mark.parametrize("name", EVERY)
def test_a_job_whose_every_step_lost_a_worker_leaves_what_an_undisturbed_one_leaves(
    name: str, database: Database, cutting: Settings, pose_detector: PoseDetector, street: Path, other_sound: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    steps = steps_of(EVERY[name])
    with living_worker(database, cutting):
        studio = Studio(database, cutting, pose_detector)
        calm = planned(studio, EVERY[name], street, other_sound)
        studio.run()
        struck = planned(studio, EVERY[name], street, other_sound)
        for step in steps:
            for blow in blows(name, step):
                killed_in(blow, cutting, tmp_path / "worker.log")
                assert take_back(studio) == 1
            finish(studio, struck, step)
    encoders = [studio.done(job_id).encoder for job_id in (calm, struck)]
    assert encoders == [None if name in OTHERS else "libx264"] * 2
    expected, found = (left_by(studio, job_id, tmp_path) for job_id in (calm, struck))
    assert found.keys() == expected.keys()
    assert [each for each in expected if found[each] != expected[each]] == []
    chunks = [(chunk.phase, chunk.chunk_index, chunk.failures) for chunk in studio.service.chunks(struck)]
    struck_phases = [step.phase for step in steps if step.role == "chunks"]
    assert sorted(chunks) == sorted((phase, index, int(index == 0)) for phase in struck_phases for index in range(2))
