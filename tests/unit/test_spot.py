"""A spot notice drains the worker; silence, strange answers and expired tokens do not."""

from __future__ import annotations

import pytest

from backend.settings import Settings
from backend.workers.loop import WorkerLoop
from backend.workers.spot import SpotNotice, spot_watch
from tests.loopback import NOTICE, Metadata, loopback


def test_it_reads_the_notice_and_renews_its_token() -> None:
    metadata = Metadata()
    with loopback(metadata) as address:
        notice = SpotNotice(address)
        assert notice.read() is None
        assert notice.read() is None
        assert metadata.tokens_given == 1
        metadata.tokens_given += 1  # the first one has expired
        metadata.notice = NOTICE
        assert notice.read() == NOTICE.decode()


def test_a_strange_answer_is_no_notice() -> None:
    with loopback(lambda request: (500, b"no")) as address, pytest.raises(OSError, match="500"):
        SpotNotice(address).read()


def test_a_notice_ends_the_loop_and_the_work_in_hand_is_finished() -> None:
    metadata = Metadata()
    done: list[bool] = []

    def work_once() -> bool:
        assert metadata.asked.wait(60)
        metadata.notice = NOTICE
        while not loop.is_stopping:
            loop.check_drain()  # DRAIN_SECONDS are not over: may go on
        done.append(True)
        return True

    with loopback(metadata) as address:
        changes = {"spot_notice": "ec2", "spot_metadata_url": address, "spot_poll_seconds": 0.02}
        loop = WorkerLoop("test", work_once, lambda: 0, Settings(**changes))
        assert loop.run() == 0
    assert done == [True]


def test_it_is_off_unless_asked_for() -> None:
    metadata = Metadata()
    with loopback(metadata) as address:
        quiet = Settings(spot_metadata_url=address, spot_poll_seconds=0.01)
        with spot_watch(quiet, lambda reason: None):
            assert not metadata.asked.wait(0.1)
