"""What a key may be for."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    JOBS_READ = "jobs:read"  # look at jobs and fetch what they made
    JOBS_WRITE = "jobs:write"  # create, cancel, retry, pause and resume them
    JOBS_PRIORITY = "jobs:priority"  # let one go before others, or behind them
    FLEET_ADMIN = "fleet:admin"  # see all workers, pause and resume all of them
    METRICS = "metrics"  # the fleet's figures
