"""A worker that may not be stopped now says so: before a claim, again in work, and no more when it is idle."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from backend.events import Event, warn
from backend.settings import Settings
from backend.workers.ecs_agent import EcsAgent
from backend.workers.keeper import Answer, Keeper
from backend.workers.own_pod import OwnPod

# A gap between two chunks is no reason to ask twice.
EMPTY_CLAIMS_BEFORE_DROP = 5
MAX_PAUSE_SEC = 60.0
# A keeper that is down must not stop the fleet for ever: what protection saves is at most the chunk in hand.
UNREACHABLE_PATIENCE_SEC = 60.0


class Protection(Protocol):
    def ready(self, has_work: Callable[[], bool]) -> bool:
        """Whether a claim may be made now."""
        ...

    def note(self, worked: bool) -> None:
        """What the claim brought."""
        ...

    def renew_if_due(self) -> None: ...

    def drop(self) -> None: ...


class Unprotected:
    """Where nothing scales in."""

    def ready(self, has_work: Callable[[], bool]) -> bool:
        return True

    def note(self, worked: bool) -> None:
        return

    def renew_if_due(self) -> None:
        return

    def drop(self) -> None:
        return


class ScaleInProtection:
    """Not thread-safe. Refused: no claim is made. Unreachable for a minute: work goes on unprotected, and says so."""

    def __init__(self, keeper: Keeper, minutes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._keeper = keeper
        self._minutes = minutes
        self._clock = clock
        self._needed = True
        self._may_be_set = keeper.outlives_us  # also true when the answer to a request was lost
        self._renew_at = self._expires_at = 0.0
        self._empty_claims = self._false_alarms = self._troubles = 0
        self._ask_at = 0.0
        self._silent_since: float | None = None

    def ready(self, has_work: Callable[[], bool]) -> bool:
        now = self._clock()
        if not self._needed:
            return True
        if now < self._expires_at:
            self.renew_if_due()
            return True
        if now < self._ask_at:
            return self._goes_unprotected(now)
        if has_work():
            return self._protect()
        self._drop_leftover()
        return False

    def note(self, worked: bool) -> None:
        if worked:
            self._empty_claims = self._false_alarms = 0
            return
        self._empty_claims += 1
        if self._may_be_set and self._empty_claims >= EMPTY_CLAIMS_BEFORE_DROP and self._clock() >= self._ask_at:
            # Work was seen and not got (others were faster, or it is held back): look again later and later.
            self._false_alarms += 1
            self.drop()
            self._pause(self._false_alarms)

    def renew_if_due(self) -> None:
        """At half of its time. A renewal that fails is tried again; until it expires the protection holds."""
        now = self._clock()
        if self._renew_at <= now < self._expires_at and now >= self._ask_at:
            self._protect()

    def drop(self) -> None:
        """A refusal is no harm where it expires by itself; what would stay is dropped by whoever is idle next."""
        if not self._may_be_set:
            return
        answer, words = self._keeper.release()
        if answer in (Answer.REFUSED, Answer.UNREACHABLE):
            warn(Event.SCALE_IN_PROTECTION_KEPT, message=words)
        self._may_be_set = answer is Answer.UNREACHABLE
        self._renew_at = self._expires_at = 0.0
        self._empty_claims = 0

    def _drop_leftover(self) -> None:
        """Of the process before this one, or of a request whose answer was lost."""
        self.drop()
        if self._may_be_set:
            self._troubles += 1
            self._pause(self._troubles)

    def _protect(self) -> bool:
        """Whether a claim may be made."""
        asked_at = self._clock()
        answer, words = self._keeper.protect(self._minutes)
        if answer is Answer.SET:
            self._may_be_set, self._silent_since, self._troubles = True, None, 0
            self._expires_at = asked_at + self._minutes * 60
            self._renew_at = asked_at + self._minutes * 30
            self._empty_claims = 0
            return True
        if answer is Answer.NO_SERVICE:
            self._needed = False
            warn(Event.SCALE_IN_PROTECTION_OFF, message=words)
            return True
        warn(Event.SCALE_IN_PROTECTION_REFUSED, message=words, reachable=answer is Answer.REFUSED)
        self._troubles += 1
        self._pause(self._troubles)
        if answer is Answer.REFUSED:
            self._silent_since = None
            return asked_at < self._expires_at
        self._may_be_set = True
        self._silent_since = self._silent_since or asked_at
        return asked_at < self._expires_at or self._goes_unprotected(asked_at)

    def _goes_unprotected(self, now: float) -> bool:
        return self._silent_since is not None and now - self._silent_since >= UNREACHABLE_PATIENCE_SEC

    def _pause(self, times: int) -> None:
        self._ask_at = self._clock() + min(MAX_PAUSE_SEC, 2.0 ** min(times, 10))


def protection_of(settings: Settings) -> Protection:
    """ECS's where its agent is, Kubernetes' where this pod has a name; else none."""
    keeper = None if settings.scale_in_protection == "off" else _keeper_of(settings)
    return ScaleInProtection(keeper, settings.scale_in_protection_minutes) if keeper else Unprotected()


def _keeper_of(settings: Settings) -> Keeper | None:
    if settings.ecs_agent_uri is not None:
        return EcsAgent(settings.ecs_agent_uri)
    api_url, namespace, name = settings.kubernetes_api_url, settings.pod_namespace, settings.pod_name
    if api_url is None or namespace is None or name is None:
        return None
    return OwnPod(api_url, namespace, name, settings.service_account_dir)
