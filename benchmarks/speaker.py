"""Whether the window is on whoever speaks: `python -m benchmarks.speaker [FOLDER]`.

Films of two people side by side are made of the shared media (in FOLDER, where they stay, else in a temporary one),
with the sound of one of them at a time, 4 to 8 s each, and go through the product's own chunks and solver with
`subject=speaker`, 9:16. `on speaker`: share of the frames later than a second after each change on which the window's
middle is in the speaker's half; `wrong`: changes of the window to whoever neither speaks within a second. Where nobody
speaks, any change is wrong. `lead`: by how much mouths were found to be ahead of the sound; none: no mouth moves as the
sound does. Asserts nothing.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from backend.kinds.crop_params import CropParams
from backend.kinds.framing import Framing, solve_framing
from backend.settings import Settings, get_settings
from backend.vision.detector import Detector, open_detector
from benchmarks.seams import MEDIA, analysed
from benchmarks.talkers import FPS, RATE_HZ, Spoken, Talker, side_by_side, sound_of, talker, turns

PARAMS = CropParams(aspect="9:16", subject="speaker")
CHUNK_SECONDS = 20.0
SECONDS = 40
SETTLED_SEC = 1.0
STILL_SEEDS = range(15, 19)  # turns that nobody looked at before the rules stood


@dataclass(frozen=True)
class Film:
    """How it is made, and whether anybody speaks in it."""

    make: Callable[[Path, Spoken], None]
    seed: int
    is_spoken: bool = True


@dataclass(frozen=True)
class Row:
    film: str
    on_speaker_pct: float | None
    changes: int
    wrong_a_minute: float
    speech_sec: float
    lead_sec: float | None


def films() -> dict[str, Film]:
    """`rapper` is on camera with his own sound; `woman` is the talker of latentsync_demo1."""
    woman = talker(MEDIA / "latentsync_demo1.mp4", 0, 9.9, (0, 0.2, 1, 1)).looped()
    file = MEDIA / "facerec_short_hamilton_clip.mp4"
    start_sec, stop_sec = _times_sec(file, 84, 209)
    rapper = talker(file, start_sec, stop_sec, (0.15, 0, 0.46, 1)).looped()
    drawn = woman.with_drawn_mouth()
    music = sound_of(MEDIA / "dancer.avi", 2.0, SECONDS * RATE_HZ)
    silence = np.zeros(SECONDS * RATE_HZ, np.int16)
    two, women, drawns = (rapper, rapper.mirrored()), (woman, woman.mirrored()), (drawn, drawn.mirrored())
    return {
        "rapper twice, both moving": Film(_pair(two), 1),
        "rapper twice, the silent one still": Film(_pair(two, silent_is_still=True), 2),
        "drawn mouths, both moving": Film(_pair(drawns), 3),
        "drawn mouths, the silent one still": Film(_pair(drawns, silent_is_still=True), 4),
        "drawn mouth beside the rapper": Film(_pair((drawn, rapper)), 5),
        "woman twice, both moving": Film(_pair(women), 6),
        "woman twice, the silent one still": Film(_pair(women, silent_is_still=True), 7),
        "woman beside the rapper": Film(_pair((woman, rapper)), 8),
        **{
            f"woman beside the rapper, the silent one still, {seed}": Film(
                _pair((woman, rapper), silent_is_still=True), seed
            )
            for seed in STILL_SEEDS
        },
        "silence, both moving": Film(_pair(women, sound=silence), 9, is_spoken=False),
        "music, both moving": Film(_pair(women, sound=music), 10, is_spoken=False),
    }


def _pair(
    people: tuple[Talker, Talker], *, silent_is_still: bool = False, sound: NDArray[np.int16] | None = None
) -> Callable[[Path, Spoken], None]:
    return lambda path, spoken: side_by_side(path, people, spoken, silent_is_still=silent_is_still, sound=sound)


def _times_sec(file: Path, first: int, last: int) -> tuple[float, float]:
    with av.open(str(file)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    return times[first], times[last]


def measure(
    name: str, film: Film, folder: Path, detector: Detector, settings: Settings, spoken: Spoken | None = None
) -> Row:
    """`spoken`: who speaks when; None: in turns drawn by the film's seed."""
    spoken = spoken or turns(SECONDS, film.seed)
    path = folder / f"{name.replace(' ', '_').replace(',', '')}.mp4"
    film.make(path, spoken)
    chunks = analysed(path, CHUNK_SECONDS, detector, settings, PARAMS, folder)
    size = (chunks.facts.width, chunks.facts.height)
    framing = solve_framing(chunks.artifacts, chunks.facts.time_base_fraction, size, PARAMS)
    return scored(name, framing, spoken if film.is_spoken else [])


def scored(name: str, framing: Framing, spoken: Spoken) -> Row:
    assert framing.spoken is not None  # these chunks tell of speech
    times_sec, middle = framing.timeline.times_sec, framing.path.x + framing.path.width / 2
    side = (middle > framing.timeline.frame_size[0] / 2).astype(np.int64)
    on_speaker = [side[(times_sec >= start + SETTLED_SEC) & (times_sec < stop)] == who for start, stop, who in spoken]
    changes = np.flatnonzero(np.diff(side)) + 1
    wrong = sum(not _speaks(spoken, float(times_sec[at]), int(side[at])) for at in changes)
    return Row(
        film=name,
        on_speaker_pct=100 * float(np.concatenate(on_speaker).mean()) if spoken else None,
        changes=len(changes),
        wrong_a_minute=60 * wrong / float(times_sec[-1]),
        speech_sec=framing.spoken.speech_sec,
        lead_sec=framing.spoken.lead_sec,
    )


def _speaks(spoken: Spoken, at_sec: float, side: int) -> bool:
    """Within a second of a time."""
    return any(who == side and start - SETTLED_SEC < at_sec < stop + SETTLED_SEC for start, stop, who in spoken)


def show(rows: list[Row]) -> None:
    table = Table(title=f"{SECONDS} s each, chunks of {CHUNK_SECONDS:.0f} s, {FPS} frames a second")
    for column in ("film", "on speaker %", "changes", "wrong a minute", "speech s", "lead s"):
        table.add_column(column, justify="left" if column == "film" else "right")
    for row in rows:
        on_speaker = "-" if row.on_speaker_pct is None else f"{row.on_speaker_pct:.1f}"
        lead = "none" if row.lead_sec is None else f"{row.lead_sec:.2f}"
        table.add_row(
            row.film, on_speaker, str(row.changes), f"{row.wrong_a_minute:.1f}", f"{row.speech_sec:.1f}", lead
        )
    Console(width=120).print(table)


def main() -> None:
    settings = get_settings()
    detector = open_detector(settings)
    with tempfile.TemporaryDirectory(prefix="framefleet-speaker-") as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for name, film in films().items():
            rows.append(measure(name, film, folder, detector, settings))
            print(rows[-1], file=sys.stderr, flush=True)
        show(rows)


if __name__ == "__main__":
    main()
