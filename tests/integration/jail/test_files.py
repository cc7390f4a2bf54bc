"""Files that are made to do harm: what becomes of their jobs, and that the next job is none the worse."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from pydantic import Field

from backend.db.engine import Database
from backend.errors import MediaTooCostly, SubtitlesUnreadable
from backend.kinds import KINDS
from backend.kinds.base import Done, Kind, Phase, Whole
from backend.kinds.context import WholeContext
from backend.kinds.listing import list_frames
from backend.kinds.output_type import OutputType
from backend.kinds.params import Params
from backend.media.budget import most_chunks
from backend.media.limits import Limits
from backend.media.results import check_result
from backend.media.sandbox import MediaProcess
from backend.media.segments import divided
from backend.media.subtitle_pictures import Programs, SubtitleOrder, draw_subtitles
from backend.settings import Settings
from backend.states import Stage
from tests.conftest import empty_database
from tests.integration.jail.conftest import Hostile, only_where_there_is_a_jail
from tests.integration.jail.files import endless, lasting
from tests.integration.kinds.shop import Shop
from tests.integration.rendering import LIMITS, FileReader, probe
from tests.samples import make_sample

STARTERS: list[Hostile] = []


class TakenParams(Params):
    attempt: str
    arguments: list[Any] = Field(default_factory=list)


class Taken(Whole[TakenParams]):
    """A step whose decoder is taken over by the film."""

    weight = 100.0
    stage = Stage.RENDERING
    words = "decoding"

    def work(self, context: WholeContext[TakenParams]) -> Done:
        target = context.folder / "output.mp4"
        target.write_bytes(b"a film")
        (context.folder / "before").write_bytes(b"of ours")
        places = {"output": str(target), "before": str(context.folder / "before")}
        order = {
            "attempts": [[context.params.attempt, *(places.get(each, each) for each in context.params.arguments)]],
            "source": True,
        }
        limits = replace(Limits.of(context.settings), cpu_sec=1)
        if context.params.attempt == "wait":
            limits = replace(limits, silence_sec=0.5)
        with MediaProcess(
            "attempt", order, context.open_reader(), limits, folder=context.folder, start=STARTERS[0].start
        ) as process:
            for _ in process.messages():
                continue
        return Done(target)


TAKEN = Kind[TakenParams](
    name="taken",
    output=OutputType("_taken", {".mp4": "video/mp4"}),
    params=TakenParams,
    phases=(Phase[TakenParams]("take", None, Taken()),),
    files={},
)


@pytest.fixture(scope="module")
def own_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("own")
    given = {"storage_url": (folder / "objects").as_uri(), "data_dir": folder, "retry_base_seconds": 0.0}
    return Settings.model_validate(given | {"max_attempts": 3})


@pytest.fixture(scope="module")
def shop(postgres: str, own_settings: Settings, hostile: Hostile) -> Iterator[Shop]:
    STARTERS[:] = [hostile]
    KINDS["taken"] = TAKEN
    with empty_database(postgres) as url:
        database = Database(url)
        yield Shop(database, own_settings)
        database.close()
    del KINDS["taken"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=1)


@pytest.mark.parametrize(
    ("attempt", "code", "tries"),
    [
        ("segfault", "media_process_crashed", 3),
        ("burn", "media_too_costly", 1),
        ("wait", "media_process_timeout", 2),
    ],
)
def test_a_decoder_that_is_taken_over_fails_its_job_and_not_its_worker(
    shop: Shop, clip: Path, attempt: str, code: str, tries: int
) -> None:
    """A repeated timeout is final: each costs a worker its time."""
    arguments = [60] if attempt == "wait" else []
    job = shop.made("taken", str(clip), {"attempt": attempt, "arguments": arguments})
    assert (job.status, job.error_code, job.failures) == ("failed", code, tries)
    assert shop.made("taken", str(clip), {"attempt": "numbers"}).status == "done"


@only_where_there_is_a_jail
@pytest.mark.parametrize("how", ["symbolic link", "hard link", "FIFO", "device", "socket"])
def test_in_the_jail_nothing_but_a_file_can_stand_in_the_results_place(shop: Shop, clip: Path, how: str) -> None:
    job = shop.made("taken", str(clip), {"attempt": "swap", "arguments": ["output", how, "before"]})
    assert (job.status, job.error_code) == ("failed", "media_process_crashed")


@dataclass
class Place:
    path: Path
    secret: Path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "secret").write_bytes(b"somebody else's")
    return Place(tmp_path / "output.mp4", tmp_path / "secret")


@pytest.mark.parametrize("how", ["symbolic link", "hard link", "FIFO", "directory", "socket"])
def test_without_a_jail_a_result_that_is_no_file_is_not_taken(hostile: Hostile, place: Place, how: str) -> None:
    hostile.tries("swap", str(place.path), how, str(place.secret), layers=frozenset(), folder=place.path.parent)
    with pytest.raises(Exception, match="media process left"):
        check_result(place.path)
    assert place.secret.read_bytes() == b"somebody else's"


def test_a_few_hundred_bytes_do_not_become_thousands_of_chunks(tmp_path: Path) -> None:
    """One picture that is said to last for two years, and no keyframe near which to cut."""
    film = lasting(tmp_path / "lasting.mov", 2 * 365 * 86_400)
    assert film.stat().st_size < 700
    facts = probe(film)
    assert facts.most_frames == 1
    facts = facts.model_copy(update={"keyframe_pts": []})
    assert facts.duration_seconds is not None and facts.duration_seconds > 10**7
    assert len(divided(facts, 30.0)) > 1000
    assert len(divided(facts, 30.0, most_chunks(facts, film.stat().st_size))) == 1
    unknown = facts.model_copy(update={"most_frames": None})
    assert len(divided(unknown, 30.0, most_chunks(unknown, 378))) < 50


def test_a_few_kilobytes_with_millions_of_frames_are_refused_when_they_are_planned(shop: Shop, tmp_path: Path) -> None:
    film = endless(tmp_path / "endless.mov", 2_000_000)
    assert film.stat().st_size < 30_000
    job = shop.made("downsample", str(film), {"resolution": "240p"})
    assert (job.status, job.error_code, job.total_chunks) == ("failed", "media_too_costly", None)


def test_a_table_that_grew_since_is_refused_while_it_is_read(tmp_path: Path, own_settings: Settings) -> None:
    """What planning let pass, a worker counts anew."""
    film = endless(tmp_path / "endless.mov", 50_000)
    context = WholeContext[Params](
        job_id="", probed=probe(film), params=Params(), earlier=None, open_reader=lambda: FileReader(film),
        folder=tmp_path, tools=Tools(own_settings), fleet=list, report=lambda share: None,
    )  # fmt: skip
    with pytest.raises(MediaTooCostly, match="frames"):
        list_frames(context, lambda share: None, decode=True)


@dataclass
class Tools:
    settings: Settings


def test_a_table_that_lies_fails_its_job(shop: Shop, tmp_path: Path) -> None:
    film = endless(tmp_path / "lying.mov", 1000, side_px=32, bytes_held=32 * 32 * 3 * 20)
    job = shop.made("downsample", str(film), {"resolution": "240p"})
    assert (job.status, job.error_code) == ("failed", "media_truncated")


def test_a_picture_of_a_quarter_billion_pixels_is_not_decoded(shop: Shop, tmp_path: Path) -> None:
    """256 megapixels, of which a process would need a gigabyte for each frame."""
    small = tmp_path / "small.mkv"
    with av.open(str(small), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 99, np.uint8), format="rgb24")
        container.mux([*stream.encode(picture), *stream.encode(None)])
    data, size = small.read_bytes(), (16_000).to_bytes(2, "big")
    bomb, count = re.subn(rb"(\xff\xc0..\x08)....", lambda found: found[1] + size + size, data, flags=re.DOTALL)
    assert count == 1
    (tmp_path / "bomb.mkv").write_bytes(bomb)
    job = shop.made("downsample", str(tmp_path / "bomb.mkv"), {"resolution": "240p"})
    assert (job.status, job.error_code) == ("failed", "media_undecodable")


def test_subtitles_that_take_without_end_meet_the_limit(tmp_path: Path) -> None:
    (tmp_path / "fonts").mkdir()
    np.save(tmp_path / "times.npy", np.arange(0, 5_000, 10))
    order = SubtitleOrder(
        folder=str(tmp_path), times_file=str(tmp_path / "times.npy"), width=1280, height=720,
        output_file=str(tmp_path / "drawn"),
    )  # fmt: skip
    line = r"Dialogue: 0,0:00:00.00,0:01:00.00,Default,,0,0,0,,{\blur90\fs400\t(\frz720)}" + "W" * 40
    script = "[Script Info]\nScriptType: v4.00+\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, "
    script += "MarginV, Effect, Text\n" + "\n".join([line] * 20)
    jail = replace(LIMITS, cpu_sec=1).jail(None)
    with pytest.raises(SubtitlesUnreadable):
        draw_subtitles(script.encode(), order, Programs(order, jail), lambda done: None)


class Bomb:
    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._canary,)


def test_weights_in_a_request_are_a_file_like_any_other(shop: Shop, tmp_path: Path) -> None:
    """Loading .pt weights runs what is in them: no request names any, and as an input they are no video."""
    canary = tmp_path / "run"
    (tmp_path / "model.pt").write_bytes(pickle.dumps(Bomb(canary)))
    job = shop.made("crop", str(tmp_path / "model.pt"))
    assert (job.status, job.error_code) == ("failed", "not_a_video")
    assert not canary.exists()
    named = {name for kind in KINDS.values() for name in kind.params.model_fields}
    assert {name for name in named if "model" in name or "weights" in name or "detector" in name} == set()
    pickle.loads((tmp_path / "model.pt").read_bytes())
    assert canary.exists()  # the bomb is a real one
