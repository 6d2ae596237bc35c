"""What the accuracy benchmarks hear in a sound whose pitch and resonances are known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.science.pitch import SAMPLE_RATE, WINDOW, track_pitch
from benchmarks.science.ravdess_data import spoken
from benchmarks.science.voice import formants, voice_functionals

SECONDS = np.arange(int(0.7 * SAMPLE_RATE)) / SAMPLE_RATE


def tone(hertz: float, harmonics: int) -> np.ndarray:
    """A steady tone with falling harmonics."""
    parts = [np.sin(2 * np.pi * k * hertz * SECONDS) / k for k in range(1, harmonics + 1)]
    return 0.2 * np.sum(parts, axis=0)


@pytest.mark.parametrize("harmonics", [1, 7])
@pytest.mark.parametrize("hertz", [83, 110, 220, 307, 440, 523])
def test_a_steady_tone_is_heard_at_its_own_octave(hertz: int, harmonics: int) -> None:
    found = track_pitch(tone(hertz, harmonics)).hertz
    assert found == pytest.approx(hertz, rel=0.01)


def test_a_gliding_tone_is_followed() -> None:
    hertz = 150 * 2 ** (SECONDS / SECONDS[-1])  # an octave up
    found = track_pitch(0.3 * np.sin(2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE)).hertz
    centre = np.arange(len(found)) * 160 + WINDOW // 2
    assert found == pytest.approx(hertz[centre], rel=0.02)


def test_noise_and_silence_have_no_pitch() -> None:
    noise = np.random.default_rng(3).normal(size=len(SECONDS))
    assert (track_pitch(noise).hertz > 0).mean() < 0.05
    assert not track_pitch(np.zeros(len(SECONDS))).hertz.any()


def test_the_silence_around_a_tone_is_unvoiced() -> None:
    waveform = np.concatenate([np.zeros(8000), tone(131, 5), np.zeros(4800)])
    voiced = np.flatnonzero(track_pitch(waveform).hertz)
    assert (voiced[0] + 2) / 100 == pytest.approx(0.5, abs=0.04)
    assert (voiced[-1] + 2) / 100 == pytest.approx(1.2, abs=0.04)


def test_a_vowels_formants_are_those_of_its_filter() -> None:
    waveform = np.zeros(len(SECONDS))
    waveform[:: SAMPLE_RATE // 100] = 1.0
    expected = (700.0, 1200.0, 2600.0)
    for hertz in (*expected, 3500.0):
        radius = np.exp(-np.pi * 80 / SAMPLE_RATE)
        a, b = 2 * radius * np.cos(2 * np.pi * hertz / SAMPLE_RATE), -(radius**2)
        for n in range(2, len(waveform)):
            waveform[n] += a * waveform[n - 1] + b * waveform[n - 2]
    frames = waveform[3200 : 3200 + 3 * WINDOW].reshape(3, WINDOW)
    assert np.median(formants(frames)[:, :3], axis=0) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("length", [11, 641, 3203])
def test_any_sound_is_described_by_as_many_finite_numbers(length: int) -> None:
    noise = np.random.default_rng(5).normal(size=length)
    usual = voice_functionals(tone(220, 3))
    for waveform in (np.zeros(length), noise, tone(131, 3)[:length]):
        found = voice_functionals(waveform)
        assert found.shape == usual.shape
        assert np.isfinite(found).all()


def test_speech_is_cut_out_of_silence_with_a_margin() -> None:
    hiss = 1e-4 * np.random.default_rng(7).normal(size=16000)
    start, end = spoken(np.concatenate([hiss, tone(220, 5), hiss]))
    assert start == pytest.approx(0.9, abs=0.03)
    assert end == pytest.approx(1.8, abs=0.03)
