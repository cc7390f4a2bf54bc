"""Callbacks are told beside the work, in a thread of their own: whoever does not answer holds up nothing else."""

from __future__ import annotations

from contextlib import AbstractContextManager

from backend.jobs.callbacks import TELL_EVERY_SEC, Callbacks
from backend.workers.duties import Duties, Duty


def telling(callbacks: Callbacks) -> AbstractContextManager[None]:
    """While the block runs, every job is told of when it is due."""
    return Duties(Duty("callbacks", TELL_EVERY_SEC, callbacks.tell_due)).in_background()
