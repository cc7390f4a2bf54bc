"""What is recorded of a chunk's sound, and how the chunks' records join."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from backend.vision.speech import LEAD_SAMPLES, LEVEL_SEC, RATE_HZ, heard, joined

BASE = Fraction(1, 1000)


def tone(seconds: float, hz: float = 1000, share: float = 0.5) -> np.ndarray:
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.round(32767 * share * np.sin(2 * np.pi * hz * times)).astype(np.int16)


def with_lead(sound: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(LEAD_SAMPLES, np.int16), sound])


def test_the_level_is_that_of_the_band_of_voices() -> None:
    loud, hum = (heard(with_lead(tone(2, hz)), 0) for hz in (1000, 20))
    assert np.median(loud.level) / 2 - 120 == pytest.approx(20 * np.log10(0.5 / 2**0.5), abs=1)
    assert np.median(hum.level) < np.median(loud.level) - 2 * 30


def test_a_tone_and_silence_are_no_speech() -> None:
    for sound in (tone(3), np.zeros(3 * RATE_HZ, np.int16)):
        assert max(heard(with_lead(sound), 0).speech) < 50


def test_what_lies_before_the_chunk_is_not_recorded() -> None:
    record = heard(with_lead(tone(1.0)), 7)
    assert (record.start_pts, len(record.speech)) == (7, RATE_HZ // 512)
    assert heard(np.zeros(100, np.int16), 7).level == []


def test_records_join_on_the_films_clock() -> None:
    first = heard(with_lead(tone(3.0)), 1000)  # reaches a second into the next one
    second = heard(with_lead(np.zeros(2 * RATE_HZ, np.int16)), 3000)
    voice = joined([first, second], 1000, BASE)
    assert (np.diff(voice.level_sec) > 0).all()
    assert np.diff(voice.level_sec).max() < 2 * LEVEL_SEC
    loud, quiet = voice.level_at(np.array([1.0, 3.0]))
    assert (loud > -20, quiet < -100) == (True, True)
    assert not joined([], 0, BASE)
    assert joined([], 0, BASE).speech_at(np.array([0.0, 1.0])).tolist() == [0.0, 0.0]
