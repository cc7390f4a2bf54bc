"""What the certificate found, in sentences for people: the job's warnings, the command, the page and the plot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from backend.vision.speaker_words import speaker_words

# Less than both is not worth a sentence.
_WORTH_PCT, _WORTH_SEC = 1.0, 0.5

_NOBODY = "Nobody was found in the video: the window stands still in the middle."
_NOBODY_FOLLOWED = "Nobody in the video is there long and plainly enough to be followed: the window stands still."


def shortfalls(certificate: Mapping[str, Any], subject: str, fill: str) -> list[str]:
    """A sentence for each way in which the film does not show its subject whole for more than 1 % of the frames or half
    a second; empty when there is none. `subject` and `fill` are the job's parameters."""
    held = certificate["holding"]
    if not certificate["subject_track_ids"]:
        return [_NOBODY if held["nobody"]["frames"] == certificate["frames"] else _NOBODY_FOLLOWED]
    everybody = subject == "all" or "," in subject
    way_out = "try fill=pad or fill=blur, or a wider aspect" if fill == "crop" else "try a wider aspect"
    who = "the person is" if not everybody else "a person is"
    unseen = "nobody was found" if subject in ("all", "main", "speaker") else "none of the chosen people was found"
    unfollowed = "somebody is there, but nobody whom the window follows"
    told = [
        (held["larger"], f"{who} larger than the window: {way_out}."),
        (held["part"], f"{who} only partly in the window, which does not follow every quick move: try a wider aspect."),
        (certificate["left_out"], f"not everybody fits into the window; it holds whom it can: {way_out}."),
        (certificate["passing"], "the window passes from one person to another and holds nobody."),
        (_less(held["not_followed"], certificate["passing"]), f"{unfollowed}."),
        (held["nobody"], f"{unseen}; the window waits there or moves on."),
        *_shown(certificate),
    ]
    lacks = [f"{_share(counted)} {sentence}" for counted, sentence in told if _is_worth(counted)]
    return [*lacks, *speaker_words(certificate)]


def _shown(certificate: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """What an editor would add; certificates of earlier versions do not have it."""
    if "nobody_shown" in certificate:
        unseen = _less(certificate["nobody_shown"], certificate["passing"])
        yield unseen, "no head is in the window, although somebody who could be shown is there."
        yield (
            certificate["at_edge"],
            "the head is at the edge of the window: try more padding_ratio, or a wider aspect.",
        )
    if "enlarged" in certificate:
        times = f"{certificate['enlarged_max']:.1f}"
        yield certificate["enlarged"], f"the picture is soft, as it is enlarged up to {times} times: lower max_upscale."


def headline(certificate: Mapping[str, Any]) -> str:
    """One line that sums up the film: in how many of its frames the subject is whole, in part and so on."""
    held = certificate["holding"]
    words = {
        "whole": "held whole",
        "part": "in part",
        "larger": "larger than the window",
        "not_followed": "not followed",
        "nobody": "nobody there",
    }
    parts = [f"{words[name]} {_pct(held[name])} %" for name in words if name == "whole" or held[name]["frames"]]
    heads = certificate.get("heads_held_pct")
    shown = "" if heads is None else f" Heads in the window: {_pct({'pct': heads})} %."
    return f"Of all frames: {', '.join(parts)}.{shown} Still: {certificate['still_frames_pct']:.0f} %"


def _less(counted: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {name: counted[name] - other[name] for name in counted}


def _is_worth(counted: Mapping[str, Any]) -> bool:
    return bool(counted["pct"] > _WORTH_PCT or counted["seconds"] > _WORTH_SEC)


def _share(counted: Mapping[str, Any]) -> str:
    return "In all frames" if counted["pct"] == 100 else f"In {_pct(counted)} % of the frames"


def _pct(counted: Mapping[str, Any]) -> str:
    """Never 100 for less than all and never 0 for some."""
    pct = float(counted["pct"])
    if 0 < pct < 1:
        return f"{max(pct, 0.1):.1f}"
    return f"{pct:.0f}" if pct in (0.0, 100.0) else f"{min(max(pct, 1.0), 99.0):.0f}"
