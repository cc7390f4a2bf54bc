"""A client of the API: `from backend.client import Client`. It imports urllib3 and tenacity, no other part of us."""

from backend.client.client import Client
from backend.client.errors import (
    ApiError,
    ClientError,
    Conflict,
    Forbidden,
    NotFound,
    Refused,
    ServerTrouble,
    TooManyRequests,
    TransferFailed,
    Unauthorized,
    Unreachable,
    WaitTimedOut,
)
from backend.client.resources import Delivery, Job, JobError, Output

__all__ = [
    "ApiError",
    "Client",
    "ClientError",
    "Conflict",
    "Delivery",
    "Forbidden",
    "Job",
    "JobError",
    "NotFound",
    "Output",
    "Refused",
    "ServerTrouble",
    "TooManyRequests",
    "TransferFailed",
    "Unauthorized",
    "Unreachable",
    "WaitTimedOut",
]
