"""Hears two minutes before EC2 takes a spot instance back (its metadata service, version 2), and asks for a drain.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from backend.events import Event, warn
from backend.settings import Settings
from backend.workers.link_local import ask

TOKEN_PATH = "/latest/api/token"  # noqa: S105 - a path
NOTICE_PATH = "/latest/meta-data/spot/instance-action"
TOKEN_SECONDS = 3600
NO_NOTICE, TOKEN_EXPIRED, OK = 404, 401, 200


class SpotNotice:
    """Asks the metadata service. It needs a token, which it hands out for a time."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._token: str | None = None

    def read(self) -> str | None:
        """The notice as it was sent (action and time, JSON), or None. Raises OSError when nobody answers."""
        for _ in range(2):
            self._token = self._token or self._fetch_token()
            status, body = ask("GET", self._base_url + NOTICE_PATH, headers={"X-aws-ec2-metadata-token": self._token})
            if status != TOKEN_EXPIRED:
                break
            self._token = None
        if status == OK:
            return body.decode(errors="replace")
        if status == NO_NOTICE:
            return None
        raise OSError(f"the metadata service answered {status}")

    def _fetch_token(self) -> str:
        lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
        status, body = ask("PUT", self._base_url + TOKEN_PATH, headers=lifetime)
        if status != OK:
            raise OSError(f"the metadata service answered {status} to the request for a token")
        return body.decode("ascii", errors="replace")


@contextmanager
def spot_watch(settings: Settings, on_notice: Callable[[str], None]) -> Iterator[None]:
    """Calls `on_notice` once, from a thread, when a notice comes. Does nothing with SPOT_NOTICE=off."""
    if settings.spot_notice == "off":
        yield
        return
    left = threading.Event()
    notice = SpotNotice(settings.spot_metadata_url)

    def watch() -> None:
        answers = True
        while not left.wait(settings.spot_poll_seconds):
            try:
                found = notice.read()
            except OSError as failure:
                if answers:  # said once, not every five seconds
                    warn(Event.SPOT_UNKNOWN, message=str(failure))
                answers = False
                continue
            answers = True
            if found is not None:
                warn(Event.SPOT_NOTICE, notice=found[:200])
                on_notice("spot_notice")
                return

    thread = threading.Thread(target=watch, name="spot", daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()
