"""What is to be said of a film that follows whoever speaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MAIN = "the window follows the main person"


def speaker_words(certificate: Mapping[str, Any]) -> list[str]:
    """Sentences on where the speaker is not known, of a certificate that has `speaker`; none of another one."""
    spoken = certificate.get("speaker")
    if not spoken:
        return []
    named = any(turn["track_id"] is not None for turn in spoken["turns"])
    if not spoken["speech_seconds"]:
        return [f"No speech is heard: {_MAIN}."]
    if not named:
        return [f"Nobody is seen to speak what is heard: {_MAIN}."]
    if spoken["lead_seconds"] is None:
        return [
            "The mouths do not move as the sound does (it may be dubbed): the window follows whose mouth alone moves, "
            "elsewhere the main person."
        ]
    if spoken["unknown_pct"] >= 1:
        return [f"In {spoken['unknown_pct']:.0f} % of the frames nobody is seen to speak: there {_MAIN}."]
    return []
