"""Jobs in two-second chunks whose films are rendered in pieces, beside the same jobs in one chunk and in one go."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from backend.db.engine import Database
from backend.settings import Settings
from backend.vision.detector import open_detector
from backend.vision.pose.detector import PoseDetector
from tests.conftest import empty_database, shared_file
from tests.integration.conftest import read_film
from tests.integration.every_kind import FILMS
from tests.integration.studio import Studio, living_worker
from tests.integration.test_pieces import assert_same_film, sound_of
from tests.integration.test_render import planes_of
from tests.integration.whole_films import ffmpeg

SECONDS, FPS, SAMPLE_FPS = 4, 25, 5
IN_PIECES = {"chunk_seconds": 2.0, "render_fanout_seconds": 2.0}
IN_ONE = {"chunk_seconds": 1000.0, "render_fanout_seconds": 1000.0}
CHUNKED = [name for name, asked in FILMS.items() if asked.samples]


@dataclass(frozen=True)
class Run:
    studio: Studio
    jobs: dict[str, UUID]

    def film(self, name: str, folder: Path) -> Path:
        main = FILMS[name].main
        if main is None:
            return self.studio.output(self.jobs[name], folder)
        self.studio.done(self.jobs[name])
        return self.studio.file(self.jobs[name], main, folder)

    def files(self, name: str) -> dict[str, bytes]:
        found = self.studio.files(self.jobs[name])
        return {each: data for each, data in found.items() if not each.endswith(".mp4")}

    def chunks(self, name: str) -> dict[str, int]:
        """How many there were in each phase."""
        return dict(Counter(chunk.phase for chunk in self.studio.service.chunks(self.jobs[name])))


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People who walk past one another, and a tone."""
    path = tmp_path_factory.mktemp("street") / "street.mp4"
    walkers = shared_file("media", "mot", "TUD-Stadtmitte", "TUD-Stadtmitte.mp4")
    coded = ("-c:v", "libx264", "-preset", "ultrafast", "-g", FPS, "-bf", 2, "-pix_fmt", "yuv420p", "-c:a", "aac")
    ffmpeg("-i", walkers, "-f", "lavfi", "-i", "sine=r=48000", "-t", SECONDS, "-vf", "scale=320:-2", *coded, path)
    return path


@pytest.fixture(scope="module")
def other_sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "low.wav"
    ffmpeg("-f", "lavfi", "-i", "sine=f=250:r=44100", "-t", 3, path)
    return path


@pytest.fixture(scope="module")
def runs(
    postgres: str, model: Path, pose_model: Path, pose_detector: PoseDetector, street: Path, other_sound: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Run, Run]]:  # fmt: skip
    """In pieces, and in one. Kinds that look for the same things share what the first of them found in a chunk."""
    folder = tmp_path_factory.mktemp("installation")
    with empty_database(postgres) as url:
        database = Database(url)
        given = {"database_url": url, "storage_url": (folder / "objects").as_uri(), "data_dir": folder / "data"}
        settings = Settings.model_validate(
            given | {"detector": "yolo", "model_name": str(model), "pose_model_name": str(pose_model)}
        )
        people = open_detector(settings)
        done = []
        with living_worker(database, settings):
            for cut in (IN_PIECES, IN_ONE):
                studio = Studio(database, settings.model_copy(update=cut), pose_detector, people=lambda: people)
                jobs = {}
                for name, asked in FILMS.items():
                    more: dict[str, Any] = {"audio_uri": other_sound.as_uri()} if name == "encode" else {}
                    more |= {"sample_fps": SAMPLE_FPS} if asked.samples else {}
                    jobs[name] = studio.plan(street.as_uri(), asked.kind, **asked.params, **more)
                studio.run()
                done.append(Run(studio, jobs))
        yield done[0], done[1]
        database.close()


@pytest.mark.parametrize("name", FILMS)
def test_a_film_in_pieces_is_the_film_in_one_go(runs: tuple[Run, Run], name: str, street: Path, tmp_path: Path) -> None:
    """Every frame of the source once and at its time, every packet of sound, every sample of every picture."""
    many, one = (run.film(name, tmp_path) for run in runs)
    assert runs[0].chunks(name)["render"] == 2 and "render" not in runs[1].chunks(name)
    assert_same_film(one, many)
    assert read_film(many).seconds == pytest.approx(read_film(street).seconds, abs=1e-6)
    assert (sound_of(many) == sound_of(street)) == (name != "encode")
    pictures = list(zip(planes_of(one), planes_of(many), strict=True))
    assert len(pictures) == SECONDS * FPS
    for number, (whole, joined) in enumerate(pictures):
        assert all(np.array_equal(a, b) for a, b in zip(whole, joined, strict=True)), f"frame {number}"


@pytest.mark.parametrize("name", CHUNKED)
def test_two_second_chunks_find_what_one_chunk_finds(runs: tuple[Run, Run], name: str) -> None:
    """The same people at the same places, to the last digit: tracks, camera path, landmarks, findings."""
    first = FILMS[name].phases.phases[0].name
    assert (runs[0].chunks(name)[first], runs[1].chunks(name)[first]) == (2, 1)
    chunked, whole = (run.files(name) for run in runs)
    assert chunked.keys() == whole.keys()
    people = [json.loads(whole[file]) for file in ("tracks.json", "final_results.json") if file in whole]
    assert people and all(len(each.get("tracks") or each["people"]) >= 5 for each in people)
    for file, data in whole.items():
        if file.endswith(".json"):
            assert json.loads(chunked[file]) == json.loads(data), file
        else:
            assert chunked[file] == data, file
