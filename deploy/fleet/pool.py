"""GPU workers as ECS runs them: tasks that are asked for, the instances below them, and how both end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from random import Random

from deploy.fleet.costs import Losses, Startup
from deploy.fleet.events import Cores, Event, EventLoop, Work
from deploy.fleet.jobs import ChunkQueue, SimulatedChunk

UNPROTECT_SEC = 5.0  # five empty polls: backend/workers/scale_in.py
JITTER = 0.2  # of each start


class State(Enum):
    PLACING = auto()  # has no instance
    STARTING = auto()
    IDLE = auto()
    BUSY = auto()
    ENDED = auto()


@dataclass
class Instance:
    launched_sec: float
    is_spot: bool
    ended_sec: float | None = None
    is_doomed: bool = False  # its notice has come
    linger: Event | None = None
    task: Task | None = None


@dataclass
class Task:
    state: State = State.PLACING
    instance: Instance | None = None
    chunk: SimulatedChunk | None = None
    work: Work | None = None
    is_draining: bool = False
    idle_since_sec: float = 0.0
    begun_sec: float = 0.0


@dataclass
class Counts:
    claims: int = 0
    busy_sec: float = 0.0
    notices: int = 0
    killed_busy: int = 0  # without notice: the chunk waits for its lease
    stopped_busy: int = 0  # by scaling in: it drains
    most_running: int = 0
    ready_sec: list[float] = field(default_factory=list)  # when workers could first claim


class Pool:
    """`set_wanted` is the service's desired count. With `is_protected` scaling in takes only idle tasks."""

    def __init__(
        self,
        loop: EventLoop,
        queue: ChunkQueue,
        cores: Cores,
        startup: Startup,
        losses: Losses,
        dice: Random,
        spot_share: float = 1.0,
        is_protected: bool = True,
    ) -> None:
        self._loop, self._queue, self._cores = loop, queue, cores
        self._startup, self._losses, self._dice = startup, losses, dice
        self._spot_share, self._is_protected = spot_share, is_protected
        self.wanted = 0
        self.tasks: list[Task] = []
        self.instances: list[Instance] = []
        self.counts = Counts()
        self._dead_and_counted = 0
        queue.filled = self._claim_all

    @property
    def running(self) -> int:
        """What the table of workers says: those that live, and for a while those that were killed."""
        return self.busy + sum(task.state is State.IDLE for task in self.tasks) + self._dead_and_counted

    @property
    def busy(self) -> int:
        return sum(task.state is State.BUSY for task in self.tasks)

    def begin(self, ready_after_sec: Sequence[float]) -> None:
        """Tasks on instances that are there already, each ready after so long."""
        self.wanted = len(ready_after_sec)
        for delay_sec in ready_after_sec:
            task = Task(State.STARTING)
            self.tasks.append(task)
            self._occupy(task, self._launch())
            self._loop.after(delay_sec, partial(self._ready, task))

    def set_wanted(self, count: int) -> None:
        if count != self.wanted:
            self.wanted = count
            self._reconcile()

    def instance_hours(self, is_spot: bool) -> float:
        seconds = (
            (self._loop.now_sec if each.ended_sec is None else each.ended_sec) - each.launched_sec
            for each in self.instances
            if each.is_spot is is_spot
        )
        return sum(seconds) / 3600

    # What the service does.

    def _reconcile(self) -> None:
        staying = [task for task in self.tasks if not task.is_draining]
        for _ in range(self.wanted - len(staying)):
            self._start_task()
        for task in self._to_stop(staying)[: max(0, len(staying) - self.wanted)]:
            self._stop(task)

    def _to_stop(self, staying: list[Task]) -> list[Task]:
        """Those that scaling in may take, in the order in which it takes them."""
        starting = [task for task in staying if task.state in (State.PLACING, State.STARTING)]
        idle = [task for task in staying if task.state is State.IDLE and not self._is_shielded(task)]
        busy = [] if self._is_protected else [task for task in staying if task.state is State.BUSY]
        return starting[::-1] + idle + busy

    def _is_shielded(self, task: Task) -> bool:
        """Protection stays for a few empty polls."""
        return self._is_protected and self._loop.now_sec - task.idle_since_sec < UNPROTECT_SEC

    def _start_task(self) -> None:
        task = Task()
        self.tasks.append(task)
        instance = next((each for each in self.instances if _is_free(each)), None)
        if instance is not None:
            task.state = State.STARTING
            self._occupy(task, instance)
            self._loop.after(self._about(self._startup.worker_sec), lambda: self._ready(task))
        else:
            self._loop.after(self._about(self._startup.placement_sec), lambda: self._place(task))

    def _place(self, task: Task) -> None:
        if task.state is not State.PLACING:
            return
        task.state = State.STARTING
        self._occupy(task, self._launch())
        start = self._startup
        self._loop.after(
            self._about(start.instance_sec + start.image_sec + start.worker_sec), lambda: self._ready(task)
        )

    def _stop(self, task: Task) -> None:
        if task.state is State.BUSY:
            self.counts.stopped_busy += 1
            self._drain(task)
        else:
            self._end(task)

    # What a worker does.

    def _ready(self, task: Task) -> None:
        if task.state is State.STARTING:
            self.counts.ready_sec.append(self._loop.now_sec)
            self._rest(task)
            self.counts.most_running = max(self.counts.most_running, self.running)

    def _claim_all(self) -> None:
        for task in list(self.tasks):
            if task.state is State.IDLE:
                self._claim(task)

    def _rest(self, task: Task) -> None:
        task.state, task.idle_since_sec = State.IDLE, self._loop.now_sec
        self._claim(task)
        if task.state is State.IDLE:
            self._loop.after(UNPROTECT_SEC, self._reconcile)

    def _claim(self, task: Task) -> None:
        chunk = self._queue.claim()
        if chunk is None:
            return
        task.state, task.chunk, task.begun_sec = State.BUSY, chunk, self._loop.now_sec
        self.counts.claims += 1
        task.work = self._cores.start(chunk.work_sec, lambda: self._complete(task))

    def _complete(self, task: Task) -> None:
        chunk = self._let_go(task)
        if task.is_draining:
            self._end(task)
        else:
            task.state, task.idle_since_sec = State.IDLE, self._loop.now_sec
        self._queue.complete(chunk)
        if task.state is State.IDLE:
            self._rest(task)

    def _drain(self, task: Task) -> None:
        """No more claims; what is in hand has its time, then it is given back."""
        task.is_draining = True
        if task.state is not State.BUSY:
            self._end(task)
            return
        held = task.chunk

        def give_back() -> None:
            if task.state is State.BUSY and task.chunk is held:
                self._cores.stop(self._work_of(task))
                chunk = self._let_go(task)
                self._end(task)
                self._queue.give_back(chunk)

        self._loop.after(self._losses.drain_sec, give_back)
        self._reconcile()

    def _let_go(self, task: Task) -> SimulatedChunk:
        assert task.chunk is not None
        self.counts.busy_sec += self._loop.now_sec - task.begun_sec
        chunk, task.chunk, task.work = task.chunk, None, None
        return chunk

    def _end(self, task: Task) -> None:
        task.state = State.ENDED
        self.tasks.remove(task)
        if task.instance is not None:
            self._vacate(task.instance)
        self._loop.after(0.0, self._reconcile)  # not now: whoever ends several tasks is in the middle of it

    # What instances do.

    def _launch(self) -> Instance:
        instance = Instance(self._loop.now_sec, self._dice.random() < self._spot_share)
        self.instances.append(instance)
        if instance.is_spot and self._losses.spot_an_hour > 0:
            lives_sec = self._dice.expovariate(self._losses.spot_an_hour / 3600)
            heard = self._dice.random() >= self._losses.without_notice
            lose = self._notice if heard else self._kill
            self._loop.after(lives_sec, lambda: lose(instance))
        return instance

    def _occupy(self, task: Task, instance: Instance) -> None:
        task.instance, instance.task = instance, task
        if instance.linger is not None:
            instance.linger.is_cancelled = True

    def _vacate(self, instance: Instance) -> None:
        instance.task = None
        if instance.ended_sec is None and not instance.is_doomed:
            instance.linger = self._loop.after(self._startup.linger_sec, lambda: self._terminate(instance))

    def _terminate(self, instance: Instance) -> None:
        if instance.ended_sec is None:
            instance.ended_sec = self._loop.now_sec

    def _notice(self, instance: Instance) -> None:
        if instance.ended_sec is not None:
            return
        self.counts.notices += 1
        instance.is_doomed = True
        if instance.task is not None:
            self._drain(instance.task)
        self._loop.after(self._losses.notice_sec, lambda: self._kill(instance))

    def _kill(self, instance: Instance) -> None:
        if instance.ended_sec is not None:
            return
        task = instance.task
        self._terminate(instance)
        if task is None:
            return
        if task.state is State.BUSY:
            self.counts.killed_busy += 1
            self._cores.stop(self._work_of(task))
            chunk = self._let_go(task)
            self._loop.after(self._losses.lease_sec, lambda: self._queue.give_back(chunk))
        if task.state in (State.BUSY, State.IDLE):
            self._dead_and_counted += 1
            self._loop.after(self._losses.silent_sec, self._forget_dead)
        self._end(task)

    def _forget_dead(self) -> None:
        self._dead_and_counted -= 1

    def _about(self, seconds: float) -> float:
        return seconds * self._dice.uniform(1 - JITTER, 1 + JITTER)

    @staticmethod
    def _work_of(task: Task) -> Work:
        assert task.work is not None
        return task.work


def _is_free(instance: Instance) -> bool:
    return instance.task is None and instance.ended_sec is None and not instance.is_doomed
