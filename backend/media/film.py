"""The MP4: the picture's packets, wherever they come from, beside the source's sound, subtitles and chapters. Child
process only."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from backend.errors import EncodeFailed, StorageError
from backend.media.audio import AudioTrack, audio_streams, audio_track
from backend.media.decode import Companion, container_named
from backend.media.text import SubtitleTrack, carry_chapters, subtitle_streams

# MP4 and Matroska say where zero is. A first picture and sound this long after it is a recorder's clock, not a delay.
LONGEST_DELAY_SEC = 1


class Film:
    """Open it, `begin` once the time of the first picture is known, then `mux` pictures and `carry` all else, in the
    order of the source; `finish` writes the index. Packets of the source that come before `begin` wait for it."""

    def __init__(self, path: str, source: InputContainer, time_base: Fraction) -> None:
        self._source = source
        self._sound, self._text = audio_streams(source), subtitle_streams(source)
        self._output = av.open(path, "w", format="mp4", options=muxer_options(time_base))
        self._tracks: dict[int, AudioTrack | SubtitleTrack] = {}
        self._early: list[Packet[Companion]] | None = []

    @property
    def companions(self) -> list[Companion]:
        """The source's streams whose packets `carry` wants."""
        return [*self._sound, *self._text]

    def begin(self, start_sec: Fraction, add_picture: Callable[[OutputContainer], VideoStream]) -> VideoStream:
        """Everything the MP4 will hold. `start_sec` is what is taken off the source's times: see origin_sec."""
        video = add_picture(self._output)
        for sound in self._sound:
            self._tracks[sound.index] = audio_track(sound, self._output, start_sec)
        for text in self._text:
            self._tracks[text.index] = SubtitleTrack(text, self._output, start_sec)
        carry_chapters(self._source, self._output, start_sec)
        self._output.start_encoding()
        early, self._early = self._early or [], None
        for packet in early:
            self.carry(packet)
        return video

    def carry(self, packet: Packet[Companion]) -> None:
        if self._early is not None:
            self._early.append(packet)
        elif track := self._tracks.get(packet.stream.index):
            track.carry(packet)

    def mux(self, packets: list[Packet[VideoStream]]) -> None:
        self._output.mux(packets)

    def finish(self) -> None:
        for track in self._tracks.values():
            track.finish()
        self._output.close()

    def counts(self) -> dict[str, int]:
        """What could not be carried."""
        streams = self._source.streams
        return {
            "sound_left_out": len(streams.audio) - len(self._sound),
            "text_left_out": len(streams.subtitles) - len(self._text),
            "broken_audio_packets": sum(track.broken for track in self._tracks.values()),
        }


def origin_sec(container: InputContainer, first_sec: Fraction) -> Fraction:
    """What to take off every timestamp. MP4 and Matroska say where zero is, and it is kept; a recorder's clock counts
    from anywhere (26 hours, often), so there the earliest stream begins the film. Nothing may lie before the film's
    zero: MP4 would hide it."""
    start_sec = Fraction(container.start_time or 0, av.time_base)
    if start_sec < 0 or (container_named(container, "mov", "matroska") and start_sec <= LONGEST_DELAY_SEC):
        start_sec = Fraction(0)
    return min(start_sec, first_sec)


@contextmanager
def writing_pictures(complaint: str = "Every encoder refused the picture.") -> Iterator[None]:
    """Raises EncodeFailed, or StorageError where the disk is full, for what encoder and muxer complain of."""
    try:
        yield
    except (av.error.FFmpegError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            raise StorageError("The temporary folder (TMPDIR) is full: make room there.") from error
        raise EncodeFailed(complaint) from error


def muxer_options(time_base: Fraction) -> dict[str, str]:
    """The index in front; edit lists counted in the video's own ticks, so that a late first frame keeps its time."""
    ticks_per_sec = time_base.denominator
    return {
        "movflags": "+faststart",
        "movie_timescale": str(ticks_per_sec if 1000 <= ticks_per_sec < 2**31 else 90_000),
    }
