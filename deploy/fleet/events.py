"""Simulated time: what happens next, in order; and work that goes slower when more of it shares the cores."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial


@dataclass(order=True)
class Event:
    at_sec: float
    number: int
    act: Callable[[], None] = field(compare=False)
    is_cancelled: bool = field(default=False, compare=False)


class EventLoop:
    """Events of the same moment happen in the order in which they were planned."""

    def __init__(self) -> None:
        self.now_sec = 0.0
        self._planned: list[Event] = []
        self._number = 0

    def after(self, delay_sec: float, act: Callable[[], None]) -> Event:
        self._number += 1
        event = Event(self.now_sec + max(0.0, delay_sec), self._number, act)
        heapq.heappush(self._planned, event)
        return event

    def run(self, until_sec: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Up to and with `until_sec`, or until it is over."""
        while self._planned and self._planned[0].at_sec <= until_sec and not is_over():
            event = heapq.heappop(self._planned)
            if not event.is_cancelled:
                self.now_sec = event.at_sec
                event.act()
        if not is_over() and math.isfinite(until_sec):
            self.now_sec = max(self.now_sec, until_sec)


@dataclass
class Work:
    left_sec: float
    done: Callable[[], None]
    event: Event | None = None


class Cores:
    """Works that run at the same time. `slowdown`: how many times longer each takes while more than one runs."""

    def __init__(self, loop: EventLoop, slowdown: float = 1.0) -> None:
        self._loop = loop
        self._slowdown = slowdown
        self._running: list[Work] = []
        self._noted_sec = 0.0

    def start(self, seconds: float, done: Callable[[], None]) -> Work:
        self._note()
        work = Work(seconds, done)
        self._running.append(work)
        self._plan()
        return work

    def stop(self, work: Work) -> None:
        """Its end never comes."""
        self._note()
        self._running.remove(work)
        if work.event is not None:
            work.event.is_cancelled = True
        self._plan()

    @property
    def _factor(self) -> float:
        return self._slowdown if len(self._running) > 1 else 1.0

    def _note(self) -> None:
        done_sec = (self._loop.now_sec - self._noted_sec) / self._factor
        for work in self._running:
            work.left_sec = max(0.0, work.left_sec - done_sec)
        self._noted_sec = self._loop.now_sec

    def _plan(self) -> None:
        for work in self._running:
            if work.event is not None and self._slowdown == 1.0:
                continue  # nobody's end moves
            if work.event is not None:
                work.event.is_cancelled = True
            work.event = self._loop.after(work.left_sec * self._factor, partial(self._finish, work))

    def _finish(self, work: Work) -> None:
        self._note()
        self._running.remove(work)
        self._plan()
        work.done()
