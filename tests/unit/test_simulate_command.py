"""`python -m deploy.simulate`, as somebody uses it who wants to know what a day costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from deploy.fleet.prices import Prices
from deploy.simulate import main


def told(*words: str) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["--json", *words])
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


@pytest.fixture
def morning(tmp_path: Path) -> Path:
    """A dozen videos of a quarter of an hour in three hours."""
    listed = tmp_path / "arrivals.csv"
    listed.write_text("".join(f"{600 * n},900\n" for n in range(12)))
    return listed


def test_it_compares_the_policies_of_a_day(morning: Path, tmp_path: Path) -> None:
    picture = tmp_path / "day.png"
    document = told("--arrivals", str(morning), "--hours", "3", "--plot", str(picture))
    coach, _kept, running, ours, _ours_kept, _one, always = document["policies"]
    assert coach["unfinished"] == coach["jobs"] == document["videos"]["count"] == 12
    assert coach["p50_minutes"] is None
    assert ours["unfinished"] == 0
    assert ours["most_workers"] < running["most_workers"]
    assert ours["gpu_hours"] < running["gpu_hours"]
    assert always["gpu_hours"] == pytest.approx(9, abs=0.5)
    price = Prices.read().instances["g4dn.xlarge"]
    assert ours["cost_usd"] == pytest.approx(ours["gpu_hours"] * price.spot_an_hour, abs=0.01)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_it_tells_of_one_video_on_living_workers_and_from_zero(morning: Path) -> None:
    document = told("--arrivals", str(morning), "--hours", "1")
    three = next(each for each in document["one_video"] if (each["worker"], each["workers"]) == ("GPU, NVENC", 3))
    assert sum(three["seconds"].values()) < 300  # the coach's aim: 15 minutes in 5
    cold = document["from_zero"]
    assert cold["first_claim_seconds"] <= 60 + 1.2 * 255 + 2
    assert cold["first_claim_seconds"] < cold["seconds"] < cold["first_claim_seconds"] + 233


def test_arrivals_come_from_a_file(tmp_path: Path) -> None:
    listed = tmp_path / "arrivals.csv"
    listed.write_text("3600,900\n0,60\n")
    assert told("--arrivals", str(listed), "--hours", "2")["videos"] == {"count": 2, "seconds": 960.0}


@pytest.mark.parametrize("line", ["a,b", "1", "-1,60", "5,0", "nan,60", "1,inf"])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    listed = tmp_path / "arrivals.csv"
    listed.write_text(f"0,60\n{line}\n")
    result = CliRunner().invoke(main, ["--arrivals", str(listed)])
    assert result.exit_code == 1
    assert "line 2" in result.stderr


def test_an_instance_without_a_price_is_refused_with_those_that_have_one() -> None:
    result = CliRunner().invoke(main, ["--instance", "p5.48xlarge"])
    assert result.exit_code == 2
    assert "g4dn.xlarge" in result.stderr


def test_prices_have_their_dates_and_sources() -> None:
    for price in Prices.read().instances.values():
        assert price.spot_an_hour < price.on_demand_an_hour
        assert price.source
