"""Errors as a page, for browsers that were given an address that is none of the API's. Programs get the problem."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from flask import Response, request

from backend.api.browser_headers import CLOSED

PAGE = Path(__file__).parent / "web" / "error.html"
POLICY = f"{CLOSED}; style-src 'self'; img-src 'self'"
PROBLEM = "application/problem+json"
# By code, else by status: title, and what to do. Nothing of the request stands in them.
WORDS = {
    "host_not_allowed": ("This server goes by another name", "Whoever runs it names this one in ALLOWED_HOSTS."),
    403: ("This is refused", "The request came from somewhere that this server does not take requests from."),
    404: ("There is no such page", "The address may have been cut off, or the page is older than this version."),
    429: ("Too many requests", "Wait a moment, then load the page again."),
    503: ("The server is busy", "Wait a moment, then load the page again."),
}
OURS = ("Something went wrong on our side", "Load the page again in a moment. Jobs go on meanwhile.")
THEIRS = ("This cannot be answered", "The server does not understand the request.")


def for_browsers(response: Response) -> Response:
    """After every request. A problem becomes a page where a browser asked for one; else it stays as it is."""
    if response.mimetype != PROBLEM or request.method not in ("GET", "HEAD") or _is_for_programs():
        return response
    response.vary.add("Accept")
    if request.accept_mimetypes.best_match([PROBLEM, "application/json", "text/html"]) != "text/html":
        return response
    problem: dict[str, Any] = response.get_json()
    title, words = _words(response.status_code, problem["code"])
    page = PAGE.read_text(encoding="utf-8")
    for name, said in {"title": title, "words": words, "code": f"{response.status_code} {problem['code']}"}.items():
        page = page.replace(f"{{{name}}}", escape(said))
    response.set_data(page)
    response.mimetype = "text/html"
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Cache-Control"] = "no-store"
    return response


def _is_for_programs() -> bool:
    """A route of the API, or an address that would be one's."""
    return request.blueprint not in (None, "pages") or request.path.startswith("/api/")


def _words(status: int, code: str) -> tuple[str, str]:
    return WORDS.get(code) or WORDS.get(status) or (OURS if status >= 500 else THEIRS)
