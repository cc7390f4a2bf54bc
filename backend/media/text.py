"""Subtitles and chapters on their way into the MP4. Child process only.

Text becomes mov_text (3GPP TS 26.245), the one subtitle codec of MP4. Pictures of text (DVD, Blu-ray, DVB) cannot be
carried: MP4 has no codec for them.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream

TEXT_CODECS = frozenset({"mov_text", "subrip", "srt", "ass", "ssa", "webvtt", "text"})
_CLOCK = Fraction(1, 1000)


class SubtitleTrack:
    """One subtitle track. `broken` counts what could not be carried."""

    def __init__(self, source: SubtitleStream, output: OutputContainer, start_sec: Fraction) -> None:
        assert source.time_base is not None  # subtitle_streams chose streams that have one
        self.source = source
        self.broken = 0
        self._output = output
        self._shift = round(start_sec / source.time_base)
        self._time_base = source.time_base
        self._copies = source.codec_context.codec.canonical_name == "mov_text"
        self._stream = output.add_stream_from_template(source) if self._copies else self._text_stream(output)
        if language := source.language:
            self._stream.metadata["language"] = language

    def carry(self, packet: Packet[Any]) -> None:
        if packet.pts is None or packet.size == 0:
            return
        try:
            if self._copies:
                self._write(packet, packet.pts, packet.duration or 0)
            else:
                self._encode(packet, packet.pts)
        except (av.error.FFmpegError, UnicodeDecodeError, ValueError):
            self.broken += 1

    def finish(self) -> None:
        """Nothing is held back."""

    def _encode(self, packet: Packet[SubtitleStream], pts: int) -> None:
        shown = self.source.codec_context.decode2(packet)
        if shown is None or not len(shown):
            return
        duration = packet.duration or round(Fraction(shown.end_display_time, 1000) / self._time_base)
        self._write(self._stream.codec_context.encode_subtitle(shown), pts, duration)

    def _write(self, packet: Packet[SubtitleStream], pts: int, duration: int) -> None:
        packet.stream = self._stream
        packet.time_base = self._time_base
        packet.pts = packet.dts = max(0, pts - self._shift)
        packet.duration = duration
        self._output.mux(packet)

    def _text_stream(self, output: OutputContainer) -> SubtitleStream:
        stream = output.add_stream("mov_text")
        assert isinstance(stream, SubtitleStream)
        stream.codec_context.subtitle_header = self.source.codec_context.subtitle_header
        stream.codec_context.time_base = _CLOCK
        return stream


def subtitle_streams(container: InputContainer) -> list[SubtitleStream]:
    """The tracks whose text MP4 can hold."""
    return [s for s in container.streams.subtitles if s.codec_context is not None and s.time_base and _can_carry(s)]


def _can_carry(source: SubtitleStream) -> bool:
    """Tried with contexts of its own: a style sheet that is damaged leaves out its track, it does not fail the film."""
    name = source.codec_context.codec.canonical_name
    if name not in TEXT_CODECS:
        return False
    if name == "mov_text":
        return True
    try:
        source.codec_context.open(strict=False)
        trial = av.CodecContext.create("mov_text", "w")
        assert isinstance(trial, SubtitleCodecContext)
        trial.subtitle_header, trial.time_base = source.codec_context.subtitle_header, _CLOCK
        trial.open()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def carry_chapters(container: InputContainer, output: OutputContainer, start_sec: Fraction) -> None:
    """Call it before the header is written."""
    chapters = [c for c in container.chapters() if c["time_base"] and c["start"] <= c["end"]]
    for chapter in chapters:
        assert chapter["time_base"] is not None  # chosen above
        shift = round(start_sec / chapter["time_base"])
        chapter["start"], chapter["end"] = max(0, chapter["start"] - shift), max(0, chapter["end"] - shift)
    if chapters:
        output.set_chapters(chapters)
