"""Gives a film of ours other sound. Pictures, text and chapters are copied. Child process only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, BinaryIO

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from pydantic import BaseModel, ConfigDict

from backend.media.audio import audio_track
from backend.media.film import muxer_options, origin_sec, writing_pictures
from backend.media.probe_sound import chosen_sound, open_sound
from backend.media.text import carry_chapters

REPORT_EVERY = 500


class DubOrder(BaseModel):
    """`language`: of the sound, ISO 639-2; None: as its own file says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    film_file: str
    language: str | None
    output_file: str


def dub(source: BinaryIO, order: DubOrder, report: Callable[[float], None]) -> dict[str, Any]:
    """Sound and film begin together, each at its zero, and each ends where it ends. Returns how many packets of sound
    could not be carried. Raises NotASound, NoAudioStream, EncodeFailed."""
    with open_sound(source) as sound, av.open(order.film_file) as film:
        heard, seen = chosen_sound(sound), film.streams.video[0]
        assert seen.time_base is not None and heard.time_base is not None  # both were chosen for having one
        with (
            writing_pictures("The film's new sound could not be written."),
            av.open(order.output_file, "w", format="mp4", options=muxer_options(seen.time_base)) as output,
        ):
            video = output.add_stream_from_template(seen)
            assert isinstance(video, VideoStream)  # as its template is
            video.time_base = seen.time_base
            first_sec = (heard.start_time or 0) * heard.time_base
            track = audio_track(heard, output, origin_sec(sound, first_sec))
            if order.language is not None:
                output.streams.audio[0].metadata["language"] = order.language
            copies = {seen.index: video}
            for text in film.streams.subtitles:
                copy: Any = output.add_stream_from_template(text)
                copies[text.index] = copy
            carry_chapters(film, output, Fraction(0))
            output.start_encoding()
            waiting = _sound_packets(sound)
            until_sec, done = Fraction(-1), 0
            for packet in film.demux([film.streams[index] for index in copies]):
                if packet.dts is None or packet.time_base is None:
                    continue
                while packet.dts * packet.time_base > until_sec:
                    after = next(waiting, None)
                    if after is None:
                        until_sec = Fraction(2**40)
                        break
                    until_sec = _seconds(after, until_sec)
                    track.carry(after)
                seconds = float(packet.dts * packet.time_base)
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
                done += 1
                if done % REPORT_EVERY == 0:
                    report(seconds)
            for rest in waiting:
                track.carry(rest)
            track.finish()
        return {"broken_audio_packets": track.broken}


def _sound_packets(sound: InputContainer) -> Iterator[Packet[Any]]:
    packets = sound.demux(chosen_sound(sound))
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):  # cut short: what came before still counts
            return
        yield packet


def _seconds(packet: Packet[Any], fallback: Fraction) -> Fraction:
    return fallback if packet.dts is None or packet.time_base is None else packet.dts * packet.time_base
