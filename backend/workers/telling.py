"""Callbacks and webhooks are told beside the work, in threads of their own: who does not answer holds up nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backend.jobs.callbacks import TELL_EVERY_SEC, Callbacks
from backend.jobs.webhooks import LOOK_EVERY_SEC, Webhooks
from backend.workers.duties import Duties, Duty


@contextmanager
def telling(callbacks: Callbacks, webhooks: Webhooks) -> Iterator[None]:
    """While the block runs, every job is told of when it is due."""
    legacy = Duties(Duty("callbacks", TELL_EVERY_SEC, callbacks.tell_due))
    standard = Duties(Duty("webhooks", LOOK_EVERY_SEC, webhooks.send_due))
    with legacy.in_background(), standard.in_background():
        yield
