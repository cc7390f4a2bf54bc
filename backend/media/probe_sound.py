"""Looks at a file's sound. Child process only."""

from __future__ import annotations

from typing import BinaryIO

import av
import av.error
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition

from backend.errors import MediaUndecodable, NoAudioStream, NotASound, UnsupportedContainer
from backend.media.audio import audio_streams
from backend.media.decode import CONTAINERS, IO_BUFFER_BYTES, MAX_CONSECUTIVE_ERRORS, NAMES_OTHERS, names_others
from backend.media.sound_facts import SoundFacts

# Those of videos, and those that hold sound alone. No playlists: see decode.py.
SOUND_CONTAINERS = f"{CONTAINERS},wav,w64,flac,mp3,aac,aiff,caf,ac3,eac3,amr,wv,tta,ape,au"
MAX_DURATION_SEC = 10.0**9


def open_sound(file: BinaryIO) -> InputContainer:
    """Raises NotASound for anything that is not one of the known containers, UnsupportedContainer."""
    allowed = {"format_whitelist": SOUND_CONTAINERS}
    try:
        container = av.open(file, "r", metadata_errors="ignore", buffer_size=IO_BUFFER_BYTES, container_options=allowed)
    except (av.error.FFmpegError, ValueError, EOFError) as error:
        if names_others(file):
            raise UnsupportedContainer(NAMES_OTHERS) from error
        raise NotASound("This is no sound or video file that can be read (WAV, FLAC, MP3, M4A, OGG, MP4 …).") from error
    assert isinstance(container, InputContainer)  # opened for reading
    return container


def chosen_sound(container: InputContainer) -> AudioStream:
    """The track that a player would choose: the first default one, else the first. Raises NoAudioStream."""
    streams = audio_streams(container)
    if not streams:
        raise NoAudioStream("The file has no sound.")
    return min(streams, key=lambda stream: (not stream.disposition & Disposition.default, stream.index))


def probe_sound(file: BinaryIO) -> SoundFacts:
    """Decodes one frame, so that a file whose header lies is found out now. Raises MediaUndecodable."""
    with open_sound(file) as container:
        stream = chosen_sound(container)
        first = _first_frame(container, stream)
        return SoundFacts(
            container=container.format.name[:100],
            codec=stream.codec_context.name[:100],
            sample_rate=first.sample_rate,
            channels=len(first.layout.channels),
            duration_seconds=_duration_sec(container, stream),
        )


def _first_frame(container: InputContainer, stream: AudioStream) -> AudioFrame:
    broken = 0
    try:
        for packet in container.demux(stream):
            try:
                for frame in packet.decode():
                    assert isinstance(frame, AudioFrame)  # the stream is a sound track
                    return frame
            except av.error.FFmpegError:
                broken += 1
                if broken > MAX_CONSECUTIVE_ERRORS:
                    break
    except av.error.FFmpegError:  # the container itself is cut short
        pass
    raise MediaUndecodable("The file promises sound, but none of it can be decoded.")


def _duration_sec(container: InputContainer, stream: AudioStream) -> float | None:
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    else:
        seconds = (container.duration or 0) / av.time_base
    return seconds if 0 < seconds < MAX_DURATION_SEC else None
