"""A worker whose store or disk failed: it pauses, asks them before it claims again, and goes on by itself."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.errors import (
    AccessRevoked,
    MediaUndecodable,
    ObjectNotFound,
    SourceNotFound,
    SourceUnreachable,
    StorageError,
)
from backend.queue.surroundings import MAX_PAUSE_SEC, Surroundings
from backend.storage.local import LocalStore
from tests.conftest import Said

AWAY = StorageError("The store is away.")


class House:
    """A store in a folder that can be taken away, and a clock to turn."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.now = 0.0
        self.surroundings = Surroundings(LocalStore(folder), clock=lambda: self.now)

    def take_store_away(self) -> None:
        shutil.rmtree(self._folder)
        self._folder.write_text("no folder")

    def bring_store_back(self) -> None:
        self._folder.unlink()
        (self._folder / ".tmp").mkdir(parents=True)

    def pause_sec(self) -> float:
        """Turns the clock until the store is asked; returns how long that took."""
        began = self.now
        asked_at = self.surroundings._probe_at
        assert asked_at is not None
        while self.now < asked_at:
            assert not self.surroundings.ready()
            self.now += 0.1
        return self.now - began


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "objects")


def test_a_worker_without_trouble_claims_and_asks_nobody(house: House) -> None:
    house.take_store_away()
    assert house.surroundings.ready()


def test_a_worker_in_trouble_claims_again_only_when_its_store_answers(house: House, said: list[Said]) -> None:
    house.take_store_away()
    house.surroundings.suffer(AWAY)
    assert house.surroundings.trouble == AWAY.message
    house.pause_sec()
    assert not house.surroundings.ready()
    assert "objects" in (house.surroundings.trouble or "")
    house.bring_store_back()
    house.pause_sec()
    assert house.surroundings.ready()
    assert house.surroundings.trouble is None
    assert [each.event for each in said] == ["worker_unwell", "worker_unwell", "worker_well"]
    assert said[1].fields["error_code"] == "storage_error"


def test_pauses_grow_up_to_under_a_minute_and_begin_anew_after_work_that_went_well(house: House) -> None:
    house.take_store_away()
    house.surroundings.suffer(AWAY)
    pauses = []
    for _ in range(9):
        pauses.append(house.pause_sec())
        assert not house.surroundings.ready()
    assert 1.0 <= pauses[0] <= 2.2
    assert MAX_PAUSE_SEC / 2 <= pauses[-1] <= MAX_PAUSE_SEC + 0.2 < 60
    house.surroundings.recover()
    house.surroundings.suffer(AWAY)
    assert house.pause_sec() <= 2.2


@pytest.mark.parametrize("failure", [SourceUnreachable("x"), SourceNotFound("x"), ObjectNotFound("x")])
def test_a_place_that_cannot_be_reached_is_the_jobs_trouble_unless_the_store_is_away_too(
    house: House, failure: SourceUnreachable
) -> None:
    assert not house.surroundings.are_to_blame(failure)
    house.take_store_away()
    assert house.surroundings.are_to_blame(failure)


def test_what_is_wrong_with_the_video_is_never_blamed_on_the_store(house: House) -> None:
    house.take_store_away()
    assert not house.surroundings.are_to_blame(MediaUndecodable("x"))


@pytest.fixture
def temporary_folder(tmp_path: Path) -> Iterator[Path]:
    folder, before = tmp_path / "tmp", tempfile.tempdir
    folder.mkdir()
    tempfile.tempdir = str(folder)
    yield folder
    tempfile.tempdir = before


def test_a_worker_whose_temporary_folder_is_gone_claims_nothing(house: House, temporary_folder: Path) -> None:
    temporary_folder.rmdir()
    house.surroundings.suffer(AWAY)
    house.pause_sec()
    assert not house.surroundings.ready()
    assert "TMPDIR" in (house.surroundings.trouble or "")
    temporary_folder.mkdir()
    house.pause_sec()
    assert house.surroundings.ready()


def test_a_worker_that_suffers_alone_says_so_once(house: House, said: list[Said]) -> None:
    house.surroundings.compare(others_are_well=True)
    house.surroundings.suffer(AWAY)
    house.surroundings.compare(others_are_well=False)
    assert not [each for each in said if "alone" in each.fields]
    for _ in range(3):
        house.surroundings.compare(others_are_well=True)
    (alone,) = [each for each in said if "alone" in each.fields]
    assert "this machine" in str(alone.fields["message"])


class Locked:
    """What a remote worker tries, once its token is refused."""

    def put(self, key: str, data: bytes) -> None:
        raise AccessRevoked("The server does not take this token.")

    def get(self, key: str) -> bytes:
        raise AssertionError("nothing was put")


def test_a_worker_whose_token_is_refused_does_not_wait_for_better_times() -> None:
    now = 0.0
    surroundings = Surroundings(Locked(), clock=lambda: now)
    surroundings.suffer(AWAY)
    now += MAX_PAUSE_SEC
    with pytest.raises(AccessRevoked):
        surroundings.ready()
