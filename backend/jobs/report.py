"""What a job was asked, what was found and what came of it, as one page that needs nothing else: no script, no network.
All text is escaped."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from backend import __version__
from backend.vision.holding_words import headline, shortfalls

MAX_PEOPLE = 100
_STYLE = """
:root { color-scheme: light dark; --line: #d1d5db; --quiet: #4b5563; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; overflow-wrap: anywhere; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: start; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); }
td { overflow-wrap: anywhere; } figure { margin: 1rem 0; } img { max-width: 100%; background: #fff; }
figcaption, .quiet { color: var(--quiet); }
@media (prefers-color-scheme: dark) { :root { --line: #4b5563; --quiet: #cbd5e1; } }
@media print { body { margin: 0; max-width: none; } figure, tr { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Found:
    """What the job left. `pictures`: each with what it shows and its content type."""

    certificate: Mapping[str, Any] | None = None
    tracks: Mapping[str, Any] | None = None
    pictures: Sequence[tuple[str, str, bytes]] = ()
    timings: Mapping[str, float] = field(default_factory=dict)


def report_html(job: Mapping[str, Any], found: Found) -> bytes:
    """`job`: its resource."""
    name = str(job["input"]["name"])
    body = [
        f'<h1 dir="auto">{escape(name)}</h1>',
        f"<p>{escape(job['kind'])}, {escape(job['status'])}</p>",
        *_certificate(job, found.certificate),
        *_list("Warnings", job["warnings"]),
        *_people(found),
        *_section("Asked", _asked(job)),
        *(_picture(*each) for each in found.pictures),
        *_section("Source", _source(job)),
        *_section("Seconds", [(stage.replace("_", " "), f"{spent:g}") for stage, spent in found.timings.items()]),
        *_section("Made by", _made_by(job)),
    ]
    # Nothing may be loaded from anywhere, should ever a text slip through.
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
    )
    page = f'<!doctype html><html lang="en"><head>{head}<title>Report</title><style>{_STYLE}</style></head>'
    return f"{page}<body><main>{''.join(body)}</main></body></html>\n".encode()


def _certificate(job: Mapping[str, Any], certificate: Mapping[str, Any] | None) -> list[str]:
    if certificate is None:
        return []
    params = job["params"]
    lacks = shortfalls(certificate, params.get("subject", "main"), params.get("fill", "crop"))
    # A finished job says the same among its warnings.
    told = [each for each in lacks if each not in job["warnings"]]
    return [
        f"<h2>What the film shows</h2><p>{escape(headline(certificate))}.</p>",
        *(f"<p>{escape(each)}</p>" for each in told),
    ]


def _people(found: Found) -> list[str]:
    if found.tracks is None:
        return []
    num, den = found.tracks["time_base"]
    tracks = sorted(found.tracks["tracks"], key=lambda each: each["pts"][0] - each["pts"][-1])
    followed = set(found.certificate["subject_track_ids"]) if found.certificate else set()
    rows = []
    for each in tracks[:MAX_PEOPLE]:
        length_sec = (each["pts"][-1] - each["pts"][0]) * num / den
        marked = ", followed" if each["id"] in followed else ""
        rows.append((f"{each['class']} {each['id']}{marked}", f"{length_sec:.1f} s"))
    more = len(tracks) - len(rows)
    rest = [f"<p>And {more} who are there for less long.</p>"] if more > 0 else []
    return [*_section("Who is in it", rows), *rest] if rows else ["<h2>Who is in it</h2><p>Nobody was found.</p>"]


def _asked(job: Mapping[str, Any]) -> list[tuple[str, str]]:
    plain = {name: value for name, value in job["params"].items() if value not in (None, [], {})}
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in sorted(plain.items())
    ]


def _source(job: Mapping[str, Any]) -> list[tuple[str, str]]:
    video = job["video"] or {}
    length = video.get("duration_seconds")
    found = {
        "link": job["input"]["uri"],
        "picture": f"{video['width']} by {video['height']}" if video else None,
        "frames a second": video.get("fps"),
        "length": f"{length:.1f} s" if length is not None else None,
    }
    return [(label, str(value)) for label, value in found.items() if value is not None]


def _made_by(job: Mapping[str, Any]) -> list[tuple[str, str]]:
    detector = job["detector"] or {}
    found = {
        "framefleet": __version__,
        "detector": ", ".join(f"{name} {value}" for name, value in detector.items() if value is not None),
        "encoder": (job["output"] or {}).get("encoder"),
        "job": f"{job['id']}, version {job['version']}",
        "asked for": job["created_at"],
        "done": job["completed_at"],
    }
    return [(label, str(value)) for label, value in found.items() if value]


def _picture(words: str, content_type: str, data: bytes) -> str:
    shown = base64.b64encode(data).decode("ascii")
    image = f'<img alt="{escape(words)}" src="data:{content_type};base64,{shown}">'
    return f"<figure>{image}<figcaption>{escape(words)}</figcaption></figure>"


def _list(title: str, lines: Sequence[str]) -> list[str]:
    return [f"<h2>{title}</h2><ul>{''.join(f'<li>{escape(each)}</li>' for each in lines)}</ul>"] if lines else []


def _section(title: str, rows: Sequence[tuple[str, str]]) -> list[str]:
    cells = "".join(f'<tr><th scope="row">{escape(a)}</th><td dir="auto">{escape(b)}</td></tr>' for a, b in rows)
    return [f"<h2>{title}</h2><table>{cells}</table>"] if rows else []
