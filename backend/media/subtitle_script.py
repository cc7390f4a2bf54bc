"""Subtitles as a script for libass: what a file is, when its events are shown, which fonts it names. Child process
only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from backend.errors import SubtitlesUnreadable

_TIME = re.compile(r"\s*(\d{1,4}):(\d{1,2}):(\d{1,2})[.:](\d{1,3})\s*$")
_ANIMATED = re.compile(r"\\(t\(|move|fad|fade|k|K|kf|ko)")
_FONT_TAG = re.compile(r"\\fn([^\\}]+)")
_EVENT_FIELDS = "layer, start, end, style, name, marginl, marginr, marginv, effect, text"
UNREADABLE = "The subtitles are no .ass or .srt file that can be read: save them in UTF-8, with events in them."


@dataclass(frozen=True)
class Event:
    """Shown from `start_ms` until before `end_ms`."""

    start_ms: int
    end_ms: int
    is_animated: bool


def text_of(data: bytes) -> str:
    """Raises SubtitlesUnreadable."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding).replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise SubtitlesUnreadable(UNREADABLE) from None


def is_script(text: str) -> bool:
    return "[script info]" in text[:4096].lower() or "[events]" in text.lower()


def is_subrip(text: str) -> bool:
    return "-->" in text


def events(script: str) -> list[Event]:
    """Raises SubtitlesUnreadable for a script without any."""
    found = list(_events(script))
    if not found:
        raise SubtitlesUnreadable(UNREADABLE)
    return found


def fonts(script: str) -> set[str]:
    """The families that styles and events name."""
    named = {match.strip() for match in _FONT_TAG.findall(script)}
    fields = ["name", "fontname"]
    for line in script.splitlines():
        head, _, rest = line.partition(":")
        if head.strip().lower() == "format" and "fontname" in rest.lower():
            fields = [field.strip().lower() for field in rest.split(",")]
        elif head.strip().lower() == "style":
            values = dict(zip(fields, rest.split(","), strict=False))
            named.add(values.get("fontname", "").strip())
    # A leading @ asks for vertical text, 0 is what some editors write for no name.
    return {name.removeprefix("@") for name in named} - {"", "0"}


def _events(script: str) -> Iterator[Event]:
    fields = _EVENT_FIELDS.split(", ")
    for line in script.splitlines():
        head, _, rest = line.partition(":")
        kind = head.strip().lower()
        if kind == "format" and "text" in rest.lower():
            fields = [field.strip().lower() for field in rest.split(",")]
        elif kind == "dialogue":
            values = dict(zip(fields, rest.split(",", len(fields) - 1), strict=False))
            start_ms, end_ms = _milliseconds(values.get("start", "")), _milliseconds(values.get("end", ""))
            if start_ms is not None and end_ms is not None and start_ms < end_ms:
                moves = bool(_ANIMATED.search(values.get("text", ""))) or bool(values.get("effect", "").strip())
                yield Event(start_ms, end_ms, moves)


def _milliseconds(time: str) -> int | None:
    match = _TIME.match(time)
    if match is None:
        return None
    hours, minutes, seconds = (int(part) for part in match.groups()[:3])
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + int(match[4].ljust(3, "0"))
