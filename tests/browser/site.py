"""All views of the page, and what a page asks for, says and throws while somebody looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

# What every job that stands still has in view; {id}: of a job that is at work.
VIEWS = ("#/new", "#/jobs", "#/jobs/{id}", "#/jobs/{id}/edit", "#/fleet", "#/nowhere")


@dataclass
class Heard:
    """By the time of its answer. `faults`: what a page's console and scripts complained about."""

    faults: list[str] = field(default_factory=list)
    asked: list[tuple[str, str, int]] = field(default_factory=list)  # host, path, status

    def hosts(self) -> set[str]:
        return {host for host, _, _ in self.asked}

    def statuses(self, start: int = 0) -> list[int]:
        return [status for _, _, status in self.asked[start:]]

    def listen(self, page: Any) -> None:
        page.on("console", lambda message: self._note(message) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("dialog", lambda dialog: (self.faults.append(dialog.message), dialog.dismiss()))
        page.on("response", self._hear)
        page.on("requestfailed", lambda request: self._fail(request))

    def _note(self, message: Any) -> None:
        self.faults.append(message.text)

    def _hear(self, response: Any) -> None:
        place = urlsplit(response.url)
        if place.scheme in ("http", "https"):
            self.asked.append((place.netloc, place.path, response.status))

    def _fail(self, request: Any) -> None:
        place = urlsplit(request.url)
        if place.scheme in ("http", "https"):
            self.asked.append((place.netloc, place.path, 0))
