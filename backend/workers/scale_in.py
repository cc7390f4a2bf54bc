"""Scale-in protection of an ECS task, by the agent's endpoint: set before a claim, renewed in work, dropped when idle.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from backend.events import Event, warn
from backend.settings import Settings
from backend.workers.link_local import ask

STATE_PATH = "/task-protection/v1/state"
# A gap between two chunks is no reason to ask the agent twice.
EMPTY_CLAIMS_BEFORE_DROP = 5
MAX_PAUSE_SEC = 60.0
# An agent that is down must not stop the fleet for ever: what protection saves is at most the chunk in hand.
UNREACHABLE_PATIENCE_SEC = 60.0
SERVER_ERROR = 500


class Answer(Enum):
    SET = auto()
    REFUSED = auto()
    UNREACHABLE = auto()
    NO_SERVICE = auto()  # the task was started by hand: nothing scales it in


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
    """Where there is no ECS agent."""

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

    def __init__(self, agent_uri: str, minutes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = agent_uri.rstrip("/") + STATE_PATH
        self._minutes = minutes
        self._clock = clock
        self._needed = True
        self._may_be_set = False  # also true when the answer to a request was lost
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
        return has_work() and self._protect()

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
        """A refusal is no harm: it expires by itself."""
        if not self._may_be_set:
            return
        answer, words = self._put({"ProtectionEnabled": False})
        if answer in (Answer.REFUSED, Answer.UNREACHABLE):
            warn(Event.SCALE_IN_PROTECTION_KEPT, message=words)
        self._may_be_set = answer is Answer.UNREACHABLE
        self._renew_at = self._expires_at = 0.0
        self._empty_claims = 0

    def _protect(self) -> bool:
        """Whether a claim may be made."""
        asked_at = self._clock()
        answer, words = self._put({"ProtectionEnabled": True, "ExpiresInMinutes": self._minutes})
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

    def _put(self, state: dict[str, object]) -> tuple[Answer, str]:
        headers = {"Content-Type": "application/json"}
        try:
            status, body = ask("PUT", self._url, body=json.dumps(state).encode(), headers=headers)
        except OSError as error:
            return Answer.UNREACHABLE, f"The ECS agent does not answer ({type(error).__name__})."
        return _understood(status, body)


def protection_of(settings: Settings) -> Protection:
    if settings.ecs_agent_uri is None or settings.scale_in_protection == "off":
        return Unprotected()
    return ScaleInProtection(settings.ecs_agent_uri, settings.scale_in_protection_minutes)


def _understood(status: int, body: bytes) -> tuple[Answer, str]:
    """The agent answers `protection`, `failure` (a Reason) or `error` (a Code)."""
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    words = body[:300].decode(errors="replace")
    if not isinstance(said, dict) or not said.keys() & {"protection", "failure", "error"}:
        trouble = Answer.UNREACHABLE if status >= SERVER_ERROR else Answer.REFUSED
        return trouble, f"The ECS agent answered {status}: {words}"
    if said.get("protection") and not said.get("failure") and not said.get("error"):
        return Answer.SET, words
    failure = said.get("failure")
    if isinstance(failure, dict) and failure.get("Reason") == "TASK_NOT_VALID":
        return Answer.NO_SERVICE, words
    return Answer.REFUSED, words
