"""Scale-in protection of an ECS task, by the agent's endpoint. It expires by itself.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
"""

from __future__ import annotations

import json

from backend.workers.keeper import Answer
from backend.workers.link_local import ask

STATE_PATH = "/task-protection/v1/state"
SERVER_ERROR = 500


class EcsAgent:
    """A `Keeper`. NO_SERVICE: the task was started by hand, and nothing scales it in."""

    outlives_us = False  # the task ends with its process

    def __init__(self, agent_uri: str) -> None:
        self._url = agent_uri.rstrip("/") + STATE_PATH

    def protect(self, minutes: int) -> tuple[Answer, str]:
        return self._put({"ProtectionEnabled": True, "ExpiresInMinutes": minutes})

    def release(self) -> tuple[Answer, str]:
        return self._put({"ProtectionEnabled": False})

    def _put(self, state: dict[str, object]) -> tuple[Answer, str]:
        headers = {"Content-Type": "application/json"}
        try:
            status, body = ask("PUT", self._url, body=json.dumps(state).encode(), headers=headers)
        except OSError as error:
            return Answer.UNREACHABLE, f"The ECS agent does not answer ({type(error).__name__})."
        return _understood(status, body)


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
