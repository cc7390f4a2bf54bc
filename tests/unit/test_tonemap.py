"""The curves against the numbers that the standards print."""

from __future__ import annotations

import numpy as np
import pytest

from backend.media.colour import HLG, PQ, Tags
from backend.media.tonemap import hlg_to_nits, mapped, nits_to_pq, pq_to_nits, squeezed

PQ_TAGS = Tags(9, False, PQ, 9)


@pytest.mark.parametrize(
    ("nits", "signal"), [(0.005, 0.0151), (100, 0.5081), (203, 0.5807), (1000, 0.7518), (10_000, 1)]
)
def test_pq_has_the_values_of_st_2084(nits: float, signal: float) -> None:
    assert nits_to_pq(np.array(nits)) == pytest.approx(signal, abs=2e-4)
    assert pq_to_nits(nits_to_pq(np.array(nits))) == pytest.approx(nits, rel=1e-6)


@pytest.mark.parametrize(("signal", "nits"), [(0.0, 0), (0.75, 203), (1.0, 1000)])
def test_hlg_white_is_203_and_its_peak_1000_nits(signal: float, nits: float) -> None:
    assert hlg_to_nits(np.full(3, signal)) == pytest.approx(np.full(3, nits), abs=1)


def test_what_is_below_the_knee_keeps_its_brightness_and_the_peak_becomes_the_new_one() -> None:
    nits = np.array([0.0, 1, 10, 50, 80, 100, 203, 500, 1000, 4000])
    found = squeezed(nits, 1000)
    assert found[:5] == pytest.approx(nits[:5], abs=1e-6)
    assert np.all(np.diff(found[:9]) > 0)
    assert found[-2:] == pytest.approx([203, 203])


def test_hues_survive_and_grey_stays_grey() -> None:
    grey = mapped(np.full((5, 3), np.linspace(0, 1, 5)[:, None]), PQ_TAGS, 1000)
    assert np.ptp(grey, axis=1) == pytest.approx(0, abs=2e-3)
    dim, bright = mapped(nits_to_pq(np.array([[20.0, 15, 10], [800, 600, 400]])), PQ_TAGS, 1000) ** 2.4
    assert bright / bright.max() == pytest.approx(dim / dim.max(), abs=1e-3)


def test_plain_bt2020_white_stays_white() -> None:
    assert mapped(np.ones(3), Tags(9, False, 14, 9), 1000) == pytest.approx(np.ones(3), abs=1e-4)
    assert mapped(np.ones(3), Tags(9, False, HLG, 9), 1000) == pytest.approx(np.ones(3), abs=1e-4)
