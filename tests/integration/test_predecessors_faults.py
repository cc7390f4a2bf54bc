"""What the five predecessors did wrong, a test for each. The table in docs/predecessors.md names them all, also those
that lie beside the tests of their subject."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.db.engine import Database
from backend.jobs.service import JobService
from backend.kinds.crop import CROP
from backend.kinds.crop_params import CropParams
from backend.kinds.framing import Framing
from backend.kinds.keyed_framing import FRAMING
from backend.kinds.overlay import OVERLAY
from backend.media.encoder_names import NVENC
from backend.queue.figures import GPU_WORKER, read_figures
from backend.settings import Settings
from backend.vision.classes import PEOPLE
from backend.vision.detector import Detections
from benchmarks.seams import analysed, framing_of
from tests.integration import films
from tests.integration.conftest import read_film
from tests.integration.rendering import decoded_pts, working_encoders
from tests.integration.rows import add_job, sql
from tests.integration.test_annotate import Annotated, annotate
from tests.integration.test_chunk_reuse import Shop
from tests.integration.test_every_frame import edit_list
from tests.integration.test_render import luma_of
from tests.integration.whole_films import Nobody, crop, made

SIZE = (192, 108)
NTSC = Fraction(30_000, 1001)
WALKER, SITTER, NEWCOMER = 230, 180, 205  # by their brightness
Box = tuple[int, int, int, int]  # left, top, width, height
Scene = Callable[[float], dict[int, Box]]


class SeesThem(Nobody):
    """Finds whoever is as bright as one of them."""

    names: Mapping[int, str] = MappingProxyType({0: "person"})

    def detect(
        self, pictures: Sequence[NDArray[np.uint8]], *, conf: float, iou: float, classes: Sequence[str] = PEOPLE
    ) -> list[Detections]:
        super().detect(pictures, conf=conf, iou=iou)
        return [self._found(picture) for picture in pictures]

    def _found(self, picture: NDArray[np.uint8]) -> Detections:
        shown = [(level - 16) * 255 / 219 for level in (WALKER, SITTER, NEWCOMER)]
        masks = [(np.abs(picture[:, :, 1] - level) < 8).astype(np.uint8) for level in shown]
        found = [cv2.boundingRect(cv2.erode(mask, np.ones((5, 5)))) for mask in masks]
        boxes = [[x - 2, y - 2, x + width + 2, y + height + 2] for x, y, width, height in found if width]
        return Detections(np.array(boxes, np.float64).reshape(-1, 4), np.full(len(boxes), 0.9))


class Forgetful(SeesThem):
    """Misses everybody on every third picture, and on 12 in a row."""

    def _found(self, picture: NDArray[np.uint8]) -> Detections:
        number = self._number = getattr(self, "_number", -1) + 1
        missed = number % 3 == 2 or 20 <= number < 32
        return Detections(np.zeros((0, 4)), np.zeros(0)) if missed else super()._found(picture)


def shot(path: Path, scene: Scene, times: Iterable[Fraction], *, rate: Fraction = NTSC, sound: bool = True) -> Path:
    """People over noise; a beep each second."""
    ground = np.random.default_rng(4).integers(40, 120, SIZE[::-1], np.uint8)
    times = list(times)

    def frames() -> Iterable[av.VideoFrame]:
        for when in times:
            luma = ground.copy()
            for level, (left, top, width, height) in scene(float(when)).items():
                luma[top : top + height, left : left + width] = level
            yield films.grey(luma)

    shape = films.Shape(rate=rate, time_base=Fraction(1, 90_000), gop=10)
    sounds = [("aac", films.beeps(float(times[-1])))] if sound else []
    return films.write_film(path, frames(), times, shape, sounds)


def at_rate(seconds: float, rate: Fraction = NTSC) -> list[Fraction]:
    return [number / rate for number in range(int(seconds * rate))]


def two_people(sec: float) -> dict[int, Box]:
    """One walks to the right, and another sits on the left."""
    return {WALKER: (60 + round(40 * sec), 30, 24, 40), SITTER: (4, 36, 20, 30)}


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shot(tmp_path_factory.mktemp("street") / "street.mp4", two_people, at_rate(2))


# The person cropper


@pytest.fixture(scope="module")
def followed(street: Path, tmp_path_factory: pytest.TempPathFactory) -> list[NDArray[np.uint8]]:
    """The walker, as whoever overlooks people often follows him: pictures of 90x160."""
    folder = tmp_path_factory.mktemp("followed")
    cropped = crop(
        street, folder / "job", 1.0, Forgetful(), aspect="9:16", output_width=90, output_height=160, sample_fps=30
    )
    assert cropped.chunks == 2
    return luma_of(cropped.result.output)


def columns_of_walker(luma: NDArray[np.uint8]) -> NDArray[np.intp]:
    return np.flatnonzero((luma > 215).sum(axis=0) > 20)


def test_a_missed_detection_does_not_jump_to_the_full_frame(followed: list[NDArray[np.uint8]]) -> None:
    widths = [len(columns_of_walker(luma)) for luma in followed]
    assert len(widths) == len(at_rate(2))
    assert min(widths) > 0.85 * float(np.median(widths))


def test_the_crop_is_enlarged_and_sits_in_no_black_bars(followed: list[NDArray[np.uint8]]) -> None:
    for luma in followed:
        assert luma.shape == (160, 90)
        assert len(columns_of_walker(luma)) > 2 * two_people(0)[WALKER][2]
        assert min(edge.mean() for edge in (luma[0], luma[-1], luma[:, 0], luma[:, -1])) > 50


def test_the_window_follows_one_person_and_not_the_union_of_everybody(followed: list[NDArray[np.uint8]]) -> None:
    for luma in followed:
        assert columns_of_walker(luma).mean() == pytest.approx(45, abs=10)
        assert (np.abs(luma.astype(int) - SITTER) < 6).sum() < 400  # enlarged, the sitter has thousands


def test_jobs_at_once_share_no_smoother(street: Path, tmp_path: Path) -> None:
    def mirrored(sec: float) -> dict[int, Box]:
        return {WALKER: (140 - round(50 * sec), 50, 30, 50)}

    other = shot(tmp_path / "other.mp4", mirrored, at_rate(2), sound=False)
    settings, params = Settings(detector="hog", data_dir=tmp_path), CropParams(aspect="9:16")
    start = threading.Barrier(4)

    def framed(film: Path) -> Framing:
        return framing_of(film, 1.0, SeesThem(), settings, params)[0]  # type: ignore[arg-type]

    def framed_beside_others(film: Path) -> Framing:
        start.wait()
        return framed(film)

    alone = [framed(film) for film in (street, other)]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(framed_beside_others, [other, street, other, street]))
    for number, found in enumerate(reversed(at_once)):
        expected = alone[number % 2].path
        for side in ("x", "y", "width", "height"):
            assert np.array_equal(getattr(found.path, side), getattr(expected, side))
    assert not np.array_equal(alone[0].path.x, alone[1].path.x)


def test_the_timestamp_is_not_burned_in_unless_asked_for(tmp_path: Path) -> None:
    still = films.grey(np.full((96, 160), 100, np.uint8))
    source = films.write_film(tmp_path / "grey.mp4", [still] * 3, at_rate(0.1), films.Shape())

    def spread(name: str, **asked: Any) -> float:
        params = CROP.with_defaults({"aspect": "source", "output_height": 96, "output_width": 160} | asked, Settings())
        return float(np.ptp(luma_of(crop(source, tmp_path / name, **params).result.output)[1]))

    assert spread("plain") < 4
    assert spread("asked", draw_timestamp=True) > 100


# The video editor's worker

KEYS = [{"frame": 0, "x": 0, "y": 0, "width": 96, "height": 96}]
REGION = {"x": 96, "y": 54, "radius_x": 30, "radius_y": 30}
EDITS = [(OVERLAY, {"highlight_regions": [REGION]}), (FRAMING, {"keyframes": KEYS})]
UNEVEN = [when for number, when in enumerate(at_rate(2)) if number % 5 != 3 and not 20 < number < 35]


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of variable rate, which says nothing of its colours."""
    return shot(tmp_path_factory.mktemp("uneven") / "uneven.mp4", two_people, UNEVEN)


@pytest.fixture(scope="module", params=EDITS, ids=lambda edit: edit[0].name)
def edited(request: pytest.FixtureRequest, uneven: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind, params = request.param
    return made(kind, uneven, tmp_path_factory.mktemp("edited") / "job", preset="ultrafast", **params).path


def test_a_pipe_of_constant_rate_does_not_move_frames_away_from_their_sound(edited: Path, uneven: Path) -> None:
    assert read_film(edited).seconds == pytest.approx([float(when) for when in UNEVEN], abs=1e-6)
    assert films.beep_times(edited) == pytest.approx(films.beep_times(uneven), abs=1e-3)
    assert len(films.beep_times(edited)) == 2


def test_films_have_bt709_tags(edited: Path) -> None:
    assert read_film(edited).color == (1, 1, 1, 1)


def test_without_nvenc_the_film_is_made_all_the_same(edited: Path) -> None:
    if NVENC in working_encoders():
        pytest.skip("NVENC works on this machine")
    film = read_film(edited)
    assert (film.codec, len(film.pts)) == ("h264", len(UNEVEN))


def test_frames_are_counted_as_the_container_shows_them_and_not_as_opencv_counts(tmp_path: Path) -> None:
    source = edit_list(tmp_path)
    last, capture = len(decoded_pts(source)) - 1, cv2.VideoCapture(str(source))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) != last + 1
    region = REGION | {"start_frame": last - 4, "end_frame": last}
    dark = {"effect_type": "spotlight", "darken_strength": 0, "feather": 0, "preset": "ultrafast"}
    film = made(OVERLAY, source, tmp_path / "job", highlight_regions=[region], **dark)
    is_dark = [luma[:10].max() < 24 for luma in luma_of(film.path)]
    assert is_dark == [False] * (last - 4) + [True] * 5


# The split, track and merge functions


def people_who_come_and_go(sec: float) -> dict[int, Box]:
    """One leaves in the first second, another comes in the third."""
    return (
        {SITTER: (90, 40, 20, 40)}
        | ({WALKER: (20 + round(40 * sec), 20, 24, 40)} if sec < 0.7 else {})
        | ({NEWCOMER: (150, 40, 24, 40)} if sec > 2.2 else {})
    )


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shot(tmp_path_factory.mktemp("visited") / "visited.mp4", people_who_come_and_go, at_rate(3))


@pytest.fixture(scope="module")
def marked(visited: Path, tmp_path_factory: pytest.TempPathFactory) -> Annotated:
    """Annotated in three chunks."""
    folder = tmp_path_factory.mktemp("marked") / "job"
    found = annotate(visited, folder, 1.0, SeesThem(), sample_fps=30, preset="ultrafast", draw="boxes")
    assert found.chunks == 3
    return found


def test_track_ids_do_not_restart_in_every_chunk(marked: Annotated) -> None:
    ids: dict[int, set[int]] = {}
    for frame, rows in marked.rows().items():
        here = people_who_come_and_go(float(frame / NTSC))
        for track_id, x, *_ in rows:
            level = min(here, key=lambda level: abs(here[level][0] - x))
            ids.setdefault(level, set()).add(int(track_id))
    assert sorted(map(len, ids.values())) == [1, 1, 1]
    assert len(set.union(*ids.values())) == 3


def test_the_sound_is_not_lost(marked: Annotated, visited: Path) -> None:
    assert films.beep_times(marked.result.output) == pytest.approx(films.beep_times(visited), abs=1e-3)
    assert len(films.beep_times(marked.result.output)) == 3


def test_the_frame_rate_is_not_truncated_to_an_integer(marked: Annotated) -> None:
    with av.open(str(marked.result.output)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == NTSC
        times = [Fraction(frame.pts) * Fraction(frame.time_base) for frame in container.decode(stream)]
    assert times == at_rate(3)


# The coach's chunked analysis


def test_no_chunk_analyses_the_start_of_the_video_instead_of_its_own(tmp_path: Path) -> None:
    """Every picture that a chunk is shown is as bright as the frame of the time that is noted for it."""
    times = at_rate(4)
    frames = (films.grey(np.full(SIZE[::-1], 20 + number, np.uint8)) for number in range(len(times)))
    source = films.write_film(tmp_path / "ramp.mp4", frames, times, films.Shape(rate=NTSC, gop=10))
    detector, settings = Nobody(), Settings(detector="hog", data_dir=tmp_path, overlap_samples=1)
    film = analysed(source, 1.0, detector, settings, CropParams(sample_fps=5))
    noted = [pts for artifact in film.artifacts for pts in artifact.sampled_pts]
    expected = [20 + round(pts * film.facts.time_base_fraction * NTSC) for pts in noted]
    seen = [16 + picture.mean() * 219 / 255 for picture in detector.pictures]
    assert len(film.artifacts) == 4 and len(seen) >= 20
    assert seen == pytest.approx(expected, abs=2)


def test_no_chunk_downloads_the_whole_video(database: Database, settings: Settings, tmp_path: Path) -> None:
    dice = np.random.default_rng(5)
    frames = (films.grey(dice.integers(0, 255, (180, 320), np.uint8)) for _ in range(200))
    source = films.write_film(tmp_path / "noise.mp4", frames, [Fraction(n, 25) for n in range(200)], films.Shape())
    shop = Shop(database, settings.model_copy(update={"chunk_seconds": 2.0, "overlap_samples": 1}))
    job_id = shop.plan(source)
    shop.detect(job_id)
    read = [chunk.bytes_read or 0 for chunk in JobService(database).chunks(job_id)]
    size = source.stat().st_size
    assert len(read) == 4
    assert min(read) > 0 and max(read) < size / 2
    assert sum(read) < 1.6 * size


def test_a_long_queue_does_not_make_the_fleet_grow_without_end(database: Database) -> None:
    """The tracked metric falls as workers come: target tracking multiplies the fleet by metric and target."""
    add_job(database, [{"status": "queued"}] * 60)
    target, workers = 5, 1
    for _ in range(6):
        sql(database, "DELETE FROM workers")
        values = {"kind": GPU_WORKER, "workers": workers, "run": str(uuid4())}
        grown = "INSERT INTO workers (worker_id, kind) SELECT :run || n, :kind FROM generate_series(1, :workers) n"
        sql(database, grown, **values)
        workers = int(np.ceil(workers * read_figures(database).backlog_per_worker / target))
    assert workers == 60 / target
