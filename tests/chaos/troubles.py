"""Trouble for all workers at once, one after the other, in a thread of its own."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager

from backend.errors import DatabaseUnavailable
from backend.storage.s3 import READ_TIMEOUT_SEC
from tests.chaos import ailments
from tests.chaos.faults import Trouble
from tests.chaos.fleet import Slot
from tests.chaos.proxies import Proxies, Weather
from tests.chaos.world import World

WEATHER = {
    Trouble.S3_ERRORS: Weather.ERRORS,
    Trouble.S3_HANGS: Weather.HANGS,
    Trouble.S3_TIMES_OUT: Weather.HANGS,
    Trouble.S3_SLOW: Weather.SLOW,
    Trouble.S3_RESETS: Weather.RESETS,
    Trouble.S3_AWAY: Weather.AWAY,
}
WEATHER_SEC = (0.5, 2.0)
TIMEOUT_SEC = READ_TIMEOUT_SEC + 3.0
LONG_SEC = {Trouble.S3_TIMES_OUT: TIMEOUT_SEC, Trouble.S3_AWAY: 90.0}
AILING_SEC = 8.0
PAUSE_SEC = (0.2, 1.0)


class Troublemaker:
    def __init__(
        self, world: World, proxies: Proxies, slots: Sequence[Slot], troubles: Sequence[Trouble], rng: random.Random
    ) -> None:
        self.made: list[tuple[float, str]] = []  # by the monotonic clock
        self._world = world
        self._proxies = proxies
        self._slots = slots
        self.now: Trouble | None = None
        possible = [each for each in troubles if each is not Trouble.FULL_FOLDER or ailments.can_be_filled(slots)]
        shuffled = rng.sample(possible, len(possible))
        # Lengths are drawn here: the thread must not share the run's generator.
        self._left = [(trouble, rng.uniform(*PAUSE_SEC), rng.uniform(*WEATHER_SEC)) for trouble in shuffled]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="troubles", daemon=True)

    @property
    def is_over(self) -> bool:
        return not self._left

    @property
    def missed(self) -> list[str]:
        return [str(trouble) for trouble, _, _ in self._left]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _work(self) -> None:
        while self._left:
            trouble, pause_sec, length_sec = self._left[0]
            if self._stopping.wait(pause_sec):
                return
            self.now = trouble
            is_made = self._make(trouble, length_sec)
            self.now = None
            if is_made:
                self.made.append((time.monotonic(), str(trouble)))
                self._left.pop(0)

    def _make(self, trouble: Trouble, length_sec: float) -> bool:
        """False: it met nobody, and is made again."""
        match trouble:
            case Trouble.RESTART:
                self._world.restart_postgres()
            case Trouble.TERMINATE:
                try:
                    return self._world.terminate_backends() > 0
                except DatabaseUnavailable:
                    return False
            case Trouble.SICK_WORKER:
                return self._last(ailments.sick(self._slots, self._proxies))
            case Trouble.ASLEEP:
                return self._last(ailments.asleep(self._slots), 0.0)
            case Trouble.FROZEN:
                return self._last(ailments.frozen_backends(self._slots, self._world))
            case Trouble.FULL_FOLDER:
                return self._last(ailments.full_folder(self._slots))
            case _:
                self._proxies.weather = WEATHER[trouble]
                self._stopping.wait(LONG_SEC.get(trouble, length_sec))
                self._proxies.weather = Weather.FINE
        return True

    def _last(self, ailment: AbstractContextManager[bool], seconds: float = AILING_SEC) -> bool:
        """Whether the ailment met somebody."""
        with ailment as is_met:
            self._stopping.wait(seconds if is_met else 0.0)
        return is_met
