"""What is measured of people, on drawn figures whose angles and rhythm are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.vision.pose.analysis import Analysis, analyse
from backend.vision.pose.angles import joint_angles
from backend.vision.pose.findings import findings
from backend.vision.pose.skeleton import ANGLES, JOINTS, NUMBER
from tests.unit.stick_figure import drawn, hide, measured, person, posed

POSES = {
    "upright": {},
    "squat": {"left_hip": 80.0, "right_hip": 80.0, "left_knee": 70.0, "right_knee": 75.0},
    "bow": {"trunk_lean": 40.0, "left_shoulder": 95.0, "right_shoulder": 60.0, "left_elbow": 90.0},
    "star": {
        "left_shoulder": 120.0,
        "right_shoulder": 110.0,
        "left_elbow": 150.0,
        "left_hip": 140.0,
        "right_hip": 150.0,
    },
}


def times(seconds: float, rate: float = 10.0, *, uneven: bool = False) -> NDArray[np.float64]:
    """Samples a tenth of a second apart, or at times that a camera with a variable rate gives."""
    regular = np.arange(0, seconds, 1 / rate)
    if not uneven:
        return regular
    return np.sort(regular + np.random.default_rng(4).uniform(0, 0.6 / rate, len(regular)))


def squatting(times_sec: NDArray[np.float64], per_minute: float) -> Analysis:
    bend = 120.0 + 50.0 * np.cos(2 * np.pi * per_minute / 60 * times_sec)
    poses = [
        posed({f"{side}_{joint}": each for side in ("left", "right") for joint in ("knee", "hip")}) for each in bend
    ]
    return analyse(person(np.array(poses), times_sec))


def walking(times_sec: NDArray[np.float64], steps_per_minute: float) -> Analysis:
    swing = np.sin(2 * np.pi * steps_per_minute / 120 * times_sec)
    poses = []
    for each in swing:
        bends = {"left_knee": 165.0 + 10 * each, "right_knee": 165.0 - 10 * each}
        poses.append(posed({**bends, "left_hip": 150.0 + 25 * each, "right_hip": 150.0 - 25 * each}))
    return analyse(person(np.array(poses), times_sec))


@pytest.mark.parametrize("name", POSES)
def test_the_angles_of_a_drawn_figure_are_right_to_two_degrees(name: str) -> None:
    found = measured(drawn(posed(POSES[name])))
    angles = joint_angles(person(found[None], np.zeros(1)).places)
    assert set(angles) == set(ANGLES)
    expected = {"left_elbow": 170.0, "right_elbow": 170.0, "left_shoulder": 20.0, "right_shoulder": 20.0}
    expected |= {f"{side}_{joint}": 175.0 for side in ("left", "right") for joint in ("hip", "knee")}
    expected |= {"trunk_lean": 0.0} | POSES[name]
    for joint, degrees in expected.items():
        assert angles[joint][0] == pytest.approx(degrees, abs=2), joint


def test_leans_are_positive_to_the_right_of_the_picture() -> None:
    for lean in (-30.0, 30.0):
        assert joint_angles(posed({"trunk_lean": lean})[None])["trunk_lean"][0] == pytest.approx(lean, abs=0.01)
    stepping = posed()[None]
    ankle = stepping[0, NUMBER["left_ankle"]]
    stepping[0, NUMBER["left_knee"]] = ankle + 90 * np.array([np.sin(np.pi / 6), -np.cos(np.pi / 6)])
    assert joint_angles(stepping)["left_shank_lean"][0] == pytest.approx(30, abs=0.01)


def test_what_is_not_seen_has_no_angle() -> None:
    times_sec = times(3)
    poses = np.repeat(measured(drawn(posed()))[None], len(times_sec), axis=0)
    hide(poses[10:20], "left_knee")
    found = analyse(person(poses, times_sec))
    for name in ("left_knee", "left_hip", "left_shank_lean"):
        for series in (found.angles[name], found.steady[name], found.speeds[name]):
            assert np.isnan(series[10:20]).all()
            assert np.isfinite(series[:10]).all() and np.isfinite(series[20:]).all()
    assert np.isfinite(found.angles["right_knee"]).all()
    hide(poses, "left_knee")
    assert np.isnan(analyse(person(poses, times_sec)).speeds["left_knee"]).all()


@pytest.mark.parametrize("uneven", [False, True])
def test_angular_speeds_follow_the_real_times(uneven: bool) -> None:
    times_sec = times(6, uneven=uneven)
    poses = [posed({"left_elbow": degrees}) for degrees in 150.0 - 20.0 * times_sec]
    found = analyse(person(np.array(poses), times_sec))
    assert found.speeds["left_elbow"] == pytest.approx(-20.0, abs=0.5)
    assert found.speeds["right_elbow"] == pytest.approx(0.0, abs=0.5)


def test_no_speed_is_made_up_over_a_gap() -> None:
    """Half a minute away, and back in another pose."""
    times_sec = np.concatenate([times(2), times(2) + 30])
    poses = [posed({"left_elbow": 150.0 if when < 10 else 90.0}) for when in times_sec]
    found = analyse(person(np.array(poses), times_sec))
    assert np.abs(found.speeds["left_elbow"]).max() < 1
    assert all(phase.end_sec <= 2 or phase.start_sec >= 30 for phase in found.phases)
    assert {phase.state for phase in found.phases} == {"still"}


@pytest.mark.parametrize("per_minute", [24.0, 45.0, 70.0])
@pytest.mark.parametrize("uneven", [False, True])
def test_the_rhythm_of_squats_is_right_to_five_percent(per_minute: float, uneven: bool) -> None:
    cadence = squatting(times(12, uneven=uneven), per_minute).cadence
    assert cadence is not None
    assert cadence.counts == "repetitions"
    assert cadence.per_minute == pytest.approx(per_minute, rel=0.05)
    assert cadence.sureness > 0.9


@pytest.mark.parametrize("per_minute", [90.0, 118.0, 170.0])
def test_the_cadence_of_steps_is_right_to_five_percent(per_minute: float) -> None:
    cadence = walking(times(10), per_minute).cadence
    assert cadence is not None
    assert cadence.counts == "steps"
    assert cadence.per_minute == pytest.approx(per_minute, rel=0.05)


def test_whoever_fidgets_has_no_rhythm() -> None:
    noise = np.random.default_rng(1)
    times_sec = times(20)
    wander = np.cumsum(noise.normal(0, 12, len(times_sec)))
    bend = 130.0 + 40.0 * np.tanh((wander - wander.mean()) / 40)
    poses = np.array([posed({"left_knee": a, "right_knee": a, "left_hip": a, "right_hip": a}) for a in bend])
    cadence = analyse(person(poses, times_sec)).cadence
    assert cadence is None or cadence.sureness < 0.75


def test_rest_and_motion_are_told_apart_without_flicker() -> None:
    times_sec = times(12)
    moves = (times_sec >= 4) & (times_sec < 8)
    swing = np.where(moves, np.sin(2 * np.pi * times_sec), 0.0)
    noise = np.random.default_rng(7).normal(0, 0.8, (len(times_sec), 17, 2))
    poses = np.array([posed({"left_hip": 150 + 25 * each, "right_hip": 150 - 25 * each}) for each in swing]) + noise
    found = analyse(person(poses, times_sec))
    assert [phase.state for phase in found.phases] == ["still", "moving", "still"]
    assert found.phases[1].start_sec == pytest.approx(4, abs=0.4)
    assert found.phases[1].end_sec == pytest.approx(8, abs=0.4)
    assert found.moving_sec + found.still_sec == pytest.approx(times_sec[-1])


def test_a_side_that_moves_less_is_found_with_its_numbers_and_frames() -> None:
    times_sec = times(8)
    swing = np.sin(2 * np.pi * 0.8 * times_sec)
    poses = np.array([posed({"left_knee": 140 + 35 * each, "right_knee": 140 + 14 * each}) for each in swing])
    analysis = analyse(person(poses, times_sec))
    [knee] = [each for each in analysis.symmetry if each.joint == "knee"]
    assert knee.left_range_deg == pytest.approx(70, abs=2)
    assert knee.right_range_deg == pytest.approx(28, abs=2)
    assert knee.difference_pct == pytest.approx(60, abs=3)
    [uneven] = [each for each in findings(analysis) if each.name == "uneven_sides"]
    assert "left knee" in uneven.title and "20 %" in uneven.rule
    assert uneven.numbers["difference_pct"] == knee.difference_pct
    low, high = uneven.frames
    assert analysis.angles["left_knee"][list(analysis.person.pts).index(low.pts)] == pytest.approx(105, abs=3)
    assert analysis.angles["left_knee"][list(analysis.person.pts).index(high.pts)] == pytest.approx(175, abs=3)


def test_even_sides_are_no_finding() -> None:
    names = {each.name for each in findings(squatting(times(8), 40))}
    assert "uneven_sides" not in names
    assert {"rhythm", "deep_knee_bend"} <= names


def test_a_trunk_that_leans_for_a_moment_only_is_no_finding() -> None:
    times_sec = times(6)
    for seconds, is_found in ((0.2, False), (2.0, True)):
        leans = np.where((times_sec >= 2) & (times_sec < 2 + seconds), 45.0, 0.0)
        found = findings(analyse(person(np.array([posed({"trunk_lean": lean}) for lean in leans]), times_sec)))
        assert ("leaning_trunk" in {each.name for each in found}) is is_found


def test_legs_out_of_the_picture_are_said_not_guessed() -> None:
    times_sec = times(5)
    poses = np.repeat(measured(drawn(posed()))[None], len(times_sec), axis=0)
    for side in ("left", "right"):
        hide(poses, f"{side}_ankle")
    analysis = analyse(person(poses, times_sec))
    assert "legs_unseen" in {each.name for each in findings(analysis)}
    assert "knee" not in {each.joint for each in analysis.symmetry}


def test_one_sample_is_analysed_too() -> None:
    analysis = analyse(person(posed()[None], np.zeros(1)))
    assert all(np.isfinite(analysis.angles[name]).all() for name in JOINTS)
    assert analysis.cadence is None and not analysis.phases and not analysis.symmetry
    assert findings(analysis) == []
