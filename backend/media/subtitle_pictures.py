"""Draws subtitles with libass, which only the ffmpeg command has: it runs below the media process, in a jail and an
environment like its own, and gets none but files of ours and pictures without content. Child process only.

A picture is drawn once for as long as the same events are shown; of events that move, one for every frame.
"""

from __future__ import annotations

import io
import re
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from backend.errors import SubtitlesUnreadable
from backend.media import subtitle_script
from backend.media.jail import program
from backend.media.jail.order import Jail

SCRIPT, FONTS = "subtitles.ass", "fonts"
# Where systems keep their fonts, and what says so.
FONT_FOLDERS = [
    "/etc/fonts",
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "/usr/share/fontconfig",
    "/var/cache/fontconfig",
]
EMPTY_PX = 16
# A time in the middle of its millisecond stays in it, whatever floats make of it.
TICKS_PER_MS = 4
LOG_BYTES, BLOCK_BYTES = 2**20, 64 * 2**10
MAX_EVENTS = 500_000
REPORT_EVERY = 10
_NO_FONT = re.compile(r"\] Error opening memory font '(.+)'$", re.MULTILINE)
_CHOSEN = re.compile(r"fontselect: \((.+), -?\d+, -?\d+\) -> (.+?), -?\d+, (.+)$", re.MULTILINE)


class SubtitleOrder(BaseModel):
    """`times_file`: an .npy of milliseconds, one for every frame, from the subtitles' zero on. `folder` holds a folder
    `fonts`, and has room for what is written on the way."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    times_file: str
    width: int
    height: int
    output_file: str


class Programs:
    """The commands that an order may need; both wait for what they are to work on. They end with this process."""

    def __init__(self, order: SubtitleOrder, jail: Jail) -> None:
        """Raises JailUnavailable."""
        folder = Path(order.folder)
        convert = [get_ffmpeg_exe(), "-v", "error", "-f", "srt", "-i", "pipe:0", "-f", "ass", "pipe:1"]
        self.converter = program.start(convert, jail, folder)
        self.artist = program.start(_drawing(order.width, order.height), jail, folder, map(Path, FONT_FOLDERS))


def draw_subtitles(
    data: bytes, order: SubtitleOrder, programs: Programs, report: Callable[[int], None]
) -> dict[str, Any]:
    """Writes `order.output_file` for paint.subtitles: for each frame which drawing it has, and the drawings.

    Returns the fonts that are named and not there, with what is drawn in their place, and the names of files in `fonts`
    that are no fonts. Raises SubtitlesUnreadable.
    """
    script, named = _script(data, programs.converter)
    (Path(order.folder) / SCRIPT).write_text(script, encoding="utf-8")
    times_ms: NDArray[np.int64] = np.load(order.times_file, allow_pickle=False)
    which, drawn_ms = _needed(subtitle_script.events(script), times_ms)
    drawings = _Drawings()
    said = bytearray()
    for number, picture in enumerate(_pictures(programs.artist, drawn_ms, (order.width, order.height), said)):
        drawings.add(picture)
        if number % REPORT_EVERY == 0:
            report(number)
    drawings.save(order.output_file, which)
    words = said.decode(errors="replace")
    no_fonts = sorted(set(_NO_FONT.findall(words)))
    return {"drawings": len(drawn_ms), "missing_fonts": _missing(words, named), "no_fonts": no_fonts}


def _script(data: bytes, converter: subprocess.Popen[bytes]) -> tuple[str, set[str]]:
    """The script, and the fonts that its author names. Raises SubtitlesUnreadable."""
    text = subtitle_script.text_of(data)
    if subtitle_script.is_script(text):
        return text, subtitle_script.fonts(text)
    if not subtitle_script.is_subrip(text):
        raise SubtitlesUnreadable(subtitle_script.UNREADABLE)
    script, _ = converter.communicate(text.encode())
    if converter.returncode:
        raise SubtitlesUnreadable(subtitle_script.UNREADABLE)
    # The style that the conversion adds is nobody's wish.
    return script.decode(), set()


def _drawing(width: int, height: int) -> list[str]:
    """RGBA as libass draws it on nothing, colour times opacity."""
    draw = f"scale={width}:{height},format=rgba,colorchannelmixer=aa=0,ass=filename={SCRIPT}:fontsdir={FONTS}:alpha=1"
    command = [get_ffmpeg_exe(), "-v", "verbose", "-nostats", "-copyts", "-f", "nut", "-i", "pipe:0", "-vf", draw]
    return [*command, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgba", "pipe:1"]


def _needed(
    events: Sequence[subtitle_script.Event], times_ms: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """For each frame the number of its drawing, -1 for none; and when each drawing is drawn."""
    if len(events) > MAX_EVENTS:
        raise SubtitlesUnreadable(f"The subtitles have more than {MAX_EVENTS} events: split them.")
    shown = np.zeros(len(times_ms) + 1, np.int64)
    moving = np.zeros(len(times_ms) + 1, np.int64)
    changes = np.zeros(len(times_ms) + 1, bool)
    for event in events:
        first, last = np.searchsorted(times_ms, [event.start_ms, event.end_ms])
        shown[first] += 1
        shown[last] -= 1
        moving[first] += event.is_animated
        moving[last] -= event.is_animated
        changes[[first, last]] = True
    is_shown, is_moving = np.cumsum(shown)[:-1] > 0, np.cumsum(moving)[:-1] > 0
    # Frames of one millisecond are one picture.
    is_new = np.diff(times_ms, prepend=-1) > 0
    is_drawn = is_shown & is_new & (changes[:-1] | is_moving)
    number = np.cumsum(is_drawn) - 1
    return np.where(is_shown, number, -1).astype(np.int32), times_ms[is_drawn]


def _pictures(
    artist: subprocess.Popen[bytes], times_ms: NDArray[np.int64], size: tuple[int, int], said: bytearray
) -> Iterator[NDArray[np.uint8]]:
    """One for each time; `said` gets the first words of who draws them. Raises SubtitlesUnreadable."""
    if not len(times_ms):
        return
    width, height = size
    assert artist.stdin is not None and artist.stdout is not None and artist.stderr is not None  # they are pipes
    feeder = threading.Thread(target=_feed, args=(artist.stdin, _blanks(times_ms)), daemon=True)
    listener = threading.Thread(target=_listen, args=(artist.stderr, said), daemon=True)
    feeder.start()
    listener.start()
    for _ in times_ms:
        picture = artist.stdout.read(width * height * 4)
        if len(picture) < width * height * 4:
            raise SubtitlesUnreadable(subtitle_script.UNREADABLE)
        yield np.frombuffer(picture, np.uint8).reshape(height, width, 4)
    listener.join()


def _listen(pipe: IO[bytes], said: bytearray) -> None:
    """To the end, and keeps the beginning: a letter that no font has is worth words on every picture."""
    with pipe:
        while words := pipe.read(BLOCK_BYTES):
            said += words[: LOG_BYTES - len(said)]


def _feed(pipe: Any, data: bytes) -> None:
    with suppress(BrokenPipeError), pipe:
        pipe.write(data)


def _blanks(times_ms: NDArray[np.int64]) -> bytes:
    """A film of small pictures at those times: what the command draws on."""
    file = io.BytesIO()
    with av.open(file, "w", format="nut") as output:
        stream = output.add_stream("rawvideo", rate=1000)
        assert isinstance(stream, VideoStream)  # a video encoder's
        stream.width = stream.height = EMPTY_PX
        stream.pix_fmt = "gray"
        tick = Fraction(1, 1000 * TICKS_PER_MS)
        stream.codec_context.time_base = stream.time_base = tick
        frame = VideoFrame.from_ndarray(np.zeros((EMPTY_PX, EMPTY_PX), np.uint8), format="gray")
        for time_ms in times_ms.tolist():
            frame.pts, frame.time_base = time_ms * TICKS_PER_MS + 1, tick
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


class _Drawings:
    """Each cut to what is drawn, its corner at even pixels, and packed."""

    def __init__(self) -> None:
        self._boxes: list[tuple[int, int, int, int]] = []
        self._packed: list[bytes] = []

    def add(self, rgba: NDArray[np.uint8]) -> None:
        rows, columns = (np.flatnonzero(rgba[..., 3].any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            self._boxes.append((0, 0, 0, 0))
            self._packed.append(b"")
            return
        x, y = int(columns[0]) // 2 * 2, int(rows[0]) // 2 * 2
        part = rgba[y : int(rows[-1]) + 1, x : int(columns[-1]) + 1]
        self._boxes.append((x, y, part.shape[1], part.shape[0]))
        self._packed.append(zlib.compress(part.tobytes(), 1))

    def save(self, path: str, which: NDArray[np.int32]) -> None:
        ends = np.cumsum([len(packed) for packed in self._packed], dtype=np.int64)
        with Path(path).open("wb") as file:  # a name without .npz stays as it is
            np.savez(
                file,
                which=which,
                boxes=np.array(self._boxes, np.int32).reshape(-1, 4),
                ends=ends,
                packed=np.frombuffer(b"".join(self._packed), np.uint8),
            )


def _missing(said: str, named: set[str]) -> dict[str, str]:
    """Fonts that the script names, with the one that libass took for each of them."""
    taken = {wanted: (path, name) for wanted, path, name in _CHOSEN.findall(said)}
    return {
        wanted: name
        for wanted, (path, name) in sorted(taken.items())
        if wanted in named and not _is_alike(wanted, name) and not _is_alike(wanted, Path(path).stem)
    }


def _is_alike(wanted: str, name: str) -> bool:
    """A family and the name of one of its fonts differ in spaces and in what follows: `Open Sans`, `OpenSans-Bold`."""
    plain = [re.sub(r"[^0-9a-z]", "", each.casefold()) for each in (wanted, name)]
    return not plain[0] or plain[1].startswith(plain[0])
