"""The report of a pose job, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.kinds.pose_report import report_html
from backend.vision.pose.analysis import analyse
from backend.vision.pose.findings import Finding, Look
from tests.unit.stick_figure import person, posed


@pytest.mark.parametrize("width_px", [360, 1280])
def test_a_report_fits_its_screen_and_shows_its_still(browser: Any, tmp_path: Path, width_px: int) -> None:
    times_sec = np.arange(0, 2, 0.1)
    analysis = analyse(person(np.repeat(posed()[None], len(times_sec), axis=0), times_sec))
    finding = Finding("odd", "info", 1, "Odd", "A rule.", {"number": 1.0}, (Look(100, 0.1, "there"),))
    facts = {"Job": "00000000-0000-4000-8000-000000000000", "Model": "yolo11n_pose_openvino_model"}
    report = tmp_path / "report.html"
    report.write_bytes(report_html(facts, [analysis], [finding], {100: np.zeros((480, 640, 3), np.uint8)}, (640, 480)))
    page = browser.new_page(viewport={"width": width_px, "height": 800}, is_mobile=width_px < 600)
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width_px
    assert page.locator("figure img").first.evaluate("image => image.naturalWidth") == 640
    page.close()
