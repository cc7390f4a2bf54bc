"""When two pieces of a track are one person, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LinkRules:
    """Lengths are in heights of the person, so that they mean the same near and far, in every picture size. Scores are
    log likelihood ratios of one person to two."""

    # A person begins where a detection is this much surer than `conf`; ByteTrack's paper starts tracks at 0.6.
    start_per_conf: float = 2.4
    # A track is cut where it shares so much of a box with another: a tracker may take one for the other there.
    meeting_overlap: float = 0.5
    # Where it shares less, or looks the same afterwards, the tracker is believed.
    touching_overlap: float = 0.3
    same_after_meeting: float = 0.0
    same_after_touch: float = -1.0
    looks_samples: int = 10
    # By motion alone, and by looks.
    max_gap_sec: float = 3.0
    max_away_sec: float = 60.0
    lost_sec: float = 3.0
    # Velocity is fitted over this much of a track's end: about one stride, so that a swinging arm averages out.
    motion_sec: float = 1.0
    # Standard deviation of an extrapolated end: the detector's noise, and for each second how much a walk bends.
    miss_heights: float = 0.1
    miss_heights_per_sec: float = 0.15
    # Of one who turned round or stopped, from where they were last seen, and how often that is.
    turn_heights: float = 0.3
    turn_heights_per_sec: float = 0.5
    turn_share: float = 0.05
    # Nobody walks, or runs through the picture, faster.
    top_heights_per_sec: float = 2.5
    min_height_ratio: float = 0.7
    min_height_ratio_away: float = 0.35
    # What speaks for a join must be worth so much: to fuse two people is worse than to split one.
    least_score: float = 0.75
    least_score_away: float = 0.5
    # Less than half a second's worth of full confidence in all is a flicker.
    min_evidence_sec: float = 0.5
