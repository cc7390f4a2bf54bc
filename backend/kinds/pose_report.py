"""report.html of a pose job: one file that needs nothing else, no script, no network. All text is escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from backend.vision.pose.analysis import Analysis
from backend.vision.pose.findings import Finding, Look
from backend.vision.pose.person import Person
from backend.vision.pose.skeleton import BONES

MAX_STILLS = 16
# Of more people, the plots of those who are seen for longest say enough.
MAX_PLOTS = 4
_JPEG_QUALITY = 85
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1f2937; }
h1, h2, h3 { line-height: 1.2; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #e5e7eb; }
section.finding { border-left: 4px solid #9ca3af; padding: .1rem 1rem; margin: 1.2rem 0; }
section.notice { border-color: #d97706; } .rule { color: #4b5563; }
figure { display: inline-block; margin: .5rem 1rem .5rem 0; } figure img { max-width: 26rem; width: 100%; }
img.plot { width: 100%; } figcaption { color: #4b5563; font-size: .9rem; }
@media (max-width: 40rem) { th, td { padding-right: .4rem; font-size: .8rem; overflow-wrap: anywhere; } }
"""


def frames_to_show(findings: Sequence[Finding]) -> list[int]:
    """PTS, rising: every frame that a finding names, as far as a report has room."""
    named = dict.fromkeys(look.pts for look in chain.from_iterable(finding.frames for finding in findings))
    return sorted(list(named)[:MAX_STILLS])


def report_html(
    facts: Mapping[str, str],
    analyses: Sequence[Analysis],
    findings: Sequence[Finding],
    stills: Mapping[int, NDArray[np.uint8]],
    frame_size: tuple[int, int],
) -> bytes:
    """`facts`: what the head of the page tells, by its label. `stills`: pictures by PTS, `frame_size` that of the
    source, in which the landmarks are."""
    people = [each.person for each in analyses]
    pictures = {pts: _jpeg(_with_skeletons(picture, pts, people, frame_size)) for pts, picture in stills.items()}
    longest = sorted(analyses, key=lambda each: len(each.person), reverse=True)[:MAX_PLOTS]
    body = [
        "<h1>Motion report</h1>",
        _table([(label, text) for label, text in facts.items()]),
        "<h2>People</h2>",
        _people(analyses) if analyses else "<p>Nobody was seen.</p>",
        "<h2>Findings</h2>",
        *([_finding(each, pictures) for each in findings] or ["<p>None.</p>"]),
        *chain.from_iterable(_plots(each) for each in longest),
    ]
    # Nothing may be loaded from anywhere, should ever a text slip through.
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
    )
    page = f'<!doctype html><html lang="en"><head>{head}<title>Motion report</title><style>{_STYLE}</style></head>'
    return f"{page}<body>{''.join(body)}</body></html>\n".encode()


def _people(analyses: Sequence[Analysis]) -> str:
    head = "<tr><th>person</th><th>seen</th><th>moving</th><th>still</th><th>rhythm</th><th>uneven joints</th></tr>"
    return f"<table>{head}{''.join(_person(each) for each in analyses)}</table>"


def _person(of: Analysis) -> str:
    times_sec, cadence = of.person.times_sec, of.cadence
    rhythm = f"{cadence.per_minute:.0f} {cadence.counts} a minute ({cadence.sureness:.0%})" if cadence else "none"
    uneven = [f"{each.joint} {each.difference_pct:.0f} %" for each in of.symmetry if each.difference_pct is not None]
    cells = (
        str(of.person.id),
        f"{_clock(times_sec[0])} to {_clock(times_sec[-1])}",
        f"{of.moving_sec:.1f} s",
        f"{of.still_sec:.1f} s",
        rhythm,
        ", ".join(uneven) or "none",
    )
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _finding(finding: Finding, pictures: Mapping[int, str]) -> str:
    numbers = [(name.replace("_", " "), f"{value:.4g}") for name, value in finding.numbers.items()]
    figures = "".join(_figure(look, pictures.get(look.pts)) for look in finding.frames)
    title = f"<h3>Person {finding.person_id}: {escape(finding.title)}</h3>"
    rule = f'<p class="rule">{escape(finding.rule)}</p>'
    return f'<section class="finding {escape(finding.severity)}">{title}{rule}{_table(numbers)}{figures}</section>'


def _figure(look: Look, picture: str | None) -> str:
    caption = f"<figcaption>{_clock(look.time_sec)}: {escape(look.shows)}</figcaption>"
    shown = f'<img alt="{escape(look.shows)}" src="{picture}">' if picture else ""
    return f"<figure>{shown}{caption}</figure>"


def _plots(of: Analysis) -> list[str]:
    from backend.vision.pose.plots import plot_motion  # matplotlib takes a second to load

    plot = base64.b64encode(plot_motion(of)).decode("ascii")
    words = f"Angles and speed of person {of.person.id}"
    return [
        f"<h2>Person {of.person.id} over time</h2>",
        f'<img class="plot" alt="{words}" src="data:image/png;base64,{plot}">',
    ]


def _table(rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><th>{escape(label)}</th><td>{escape(text)}</td></tr>" for label, text in rows)
    return f"<table>{cells}</table>"


def _with_skeletons(
    picture: NDArray[np.uint8], pts: int, people: Iterable[Person], frame_size: tuple[int, int]
) -> NDArray[np.uint8]:
    from backend.media.skeleton import colour_of, draw_skeleton

    scale = np.array([picture.shape[1] / frame_size[0], picture.shape[0] / frame_size[1]])
    for person in people:
        for number in np.flatnonzero(person.pts == pts).tolist():
            draw_skeleton(picture, person.places[number] * scale, BONES, colour_of(person.id))
    return picture


def _jpeg(picture: NDArray[np.uint8]) -> str:
    """As a data URL."""
    import cv2  # slow to import, and only aggregators write reports

    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode('ascii')}"


def _clock(time_sec: float) -> str:
    minutes, seconds = divmod(round(float(time_sec), 2), 60)
    return f"{int(minutes)}:{seconds:05.2f}"
