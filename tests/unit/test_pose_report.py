"""The report of a pose job holds whatever text comes along as text."""

from __future__ import annotations

import numpy as np

from backend.kinds.pose_report import frames_to_show, report_html
from backend.vision.pose.analysis import analyse
from backend.vision.pose.findings import Finding, Look
from tests.unit.stick_figure import person, posed

HOSTILE = "</p><script>alert(1)</script>\"'&"


def test_hostile_text_is_shown_and_never_run() -> None:
    times_sec = np.arange(0, 2, 0.1)
    analysis = analyse(person(np.repeat(posed()[None], len(times_sec), axis=0), times_sec))
    finding = Finding("odd", "info", 1, HOSTILE, HOSTILE, {HOSTILE: 1.0}, (Look(100, 0.1, HOSTILE),))
    picture = np.zeros((64, 64, 3), np.uint8)
    page = report_html({HOSTILE: HOSTILE}, [analysis], [finding], {100: picture}, (640, 640)).decode()
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 7
    assert 'alt="&lt;/p&gt;' in page
    assert "default-src 'none'" in page


def test_a_report_shows_each_named_frame_once_and_no_more_than_it_has_room_for() -> None:
    looks = tuple(Look(pts, pts / 1000, "there") for pts in (500, 100, 500, *range(1000, 3000, 100)))
    shown = frames_to_show([Finding("odd", "info", 1, "", "", {}, looks)])
    assert shown == sorted(set(shown)) and len(shown) == 16
    assert {100, 500} <= set(shown)
