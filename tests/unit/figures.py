"""The queue's figures where a test needs some."""

from __future__ import annotations

from typing import Any

from backend.queue.figures import Figures


def figures(**changes: Any) -> Figures:
    nothing: dict[str, Any] = {
        "queued_chunks": 0, "processing_chunks": 0, "failed_chunks": 0, "completed_chunks": 0,
        "backlog_per_worker": 0.0, "busy_share": 1.0, "queued_without_workers": 0,
        "oldest_queued_seconds": 0.0, "oldest_aggregation_seconds": 0.0,
        "oldest_transaction_seconds": 0.0, "is_paused": False, "workers": {}, "jobs": {}, "failed_jobs": {},
        "unwell_workers": 0, "dead_webhooks": 0, "unknown_jobs": 0,
    }  # fmt: skip
    return Figures(**nothing | changes)
