"""What can go wrong, each with a stable `code`, a sentence that says what to do, and whether another try can help."""

from __future__ import annotations

from typing import Any


class ClientError(Exception):
    """Base of all of them."""

    def __init__(self, message: str, *, code: str, retryable: bool = False) -> None:
        self.message = message
        self.code = code
        self.retryable = retryable
        super().__init__(message)


class Unreachable(ClientError):
    """Nobody answers, or no certificate is trusted."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="server_unavailable", retryable=True)


class WaitTimedOut(ClientError):
    """The job goes on; only the waiting for it ended."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="wait_timed_out", retryable=True)


class TransferFailed(ClientError):
    """What was sent or received is not what it should be."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="transfer_failed", retryable=True)


class ApiError(ClientError):
    """The server said no. `problem` is its application/problem+json."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.problem = problem
        super().__init__(
            str(problem.get("detail") or problem.get("title") or f"The server answered {status}."),
            code=str(problem.get("code") or f"status_{status}"),
            retryable=bool(problem.get("retryable")),
        )


class Refused(ApiError):
    """400, 413, 415, 422 and the like: the request must be another one."""


class Unauthorized(ApiError):
    """401: no key, or one that is not in force."""


class Forbidden(ApiError):
    """403: the key lacks the scope."""


class NotFound(ApiError):
    """404, for what belongs to somebody else too."""


class Conflict(ApiError):
    """409: not in this state."""


class TooManyRequests(ApiError):
    """429."""


class ServerTrouble(ApiError):
    """5xx."""


_BY_STATUS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    429: TooManyRequests,
}


def error_of(status: int, problem: dict[str, Any]) -> ApiError:
    kind = _BY_STATUS.get(status) or (ServerTrouble if status >= 500 else Refused)
    return kind(status, problem)
