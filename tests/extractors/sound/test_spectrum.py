from __future__ import annotations

import numpy as np
import pytest
from python_speech_features import fbank
from scipy.fft import dct

from extractors.sound.spectrum import (
    find_cepstra,
    find_flux,
    find_harmonics,
    find_level,
    find_loudness,
    find_power,
    find_tilt,
)
from tests.extractors.sound.voices import WINDOW, tone, windows_of
from tests.extractors.sounds import RATE, noise

ALPHA, HAMMARBERG, LOW_SLOPE, HIGH_SLOPE, CENTROID = range(5)


def sines(levels: dict[float, float], seconds: float = 0.3) -> np.ndarray:
    """Sines of given Hz and dB."""
    time = np.arange(int(seconds * RATE)) / RATE
    parts = [10 ** (db / 20) * np.sin(2 * np.pi * hz * time) for hz, db in levels.items()]
    return np.asarray(np.sum(parts, axis=0))


def power_of(waveform: np.ndarray) -> np.ndarray:
    return find_power(windows_of(waveform))


def test_a_sine_has_the_level_of_its_mean_square() -> None:
    for amplitude in (0.5, 0.05):
        found = find_level(power_of(amplitude * sines({313.0: 0.0})), WINDOW)
        assert found == pytest.approx(20 * np.log10(amplitude / np.sqrt(2)), abs=0.1)
    assert find_level(power_of(np.zeros(1000)), WINDOW) == pytest.approx(-100.0)


def test_rumble_below_fifty_hertz_is_no_level() -> None:
    assert find_level(power_of(0.5 * sines({11.0: 0.0})), WINDOW).max() < -40


def test_six_decibel_are_a_step_of_six_decibel_and_of_so_much_loudness() -> None:
    hiss = 0.1 * noise(RATE)
    soft, loud = (find_level(power_of(gain * hiss), WINDOW).mean() for gain in (1.0, 2.0))
    assert loud - soft == pytest.approx(20 * np.log10(2), abs=0.01)
    soft, loud = (find_loudness(power_of(gain * hiss)).mean() for gain in (1.0, 2.0))
    assert loud / soft == pytest.approx(4**0.3, rel=1e-3)


def test_the_alpha_ratio_and_the_hammarberg_index_compare_low_and_high() -> None:
    found = find_tilt(power_of(sines({400.0: -10.0, 3000.0: -31.0})))
    assert found[:, ALPHA] == pytest.approx(-21.0, abs=0.3)
    assert found[:, HAMMARBERG] == pytest.approx(21.0, abs=0.5)
    between = find_tilt(power_of(sines({1500.0: -10.0, 3000.0: -31.0})))
    assert between[:, HAMMARBERG] == pytest.approx(21.0, abs=0.5)
    assert between[:, ALPHA].min() > 20  # all of it is above 1 kHz


def test_the_slopes_are_those_of_a_spectrum_that_falls_evenly() -> None:
    hertz = np.linspace(0, 8000, 513)
    falling = 10 ** ((20 - 12 * hertz / 1000) / 10)[None, :]  # 12 dB a kHz
    found = find_tilt(falling)
    assert found[0, [LOW_SLOPE, HIGH_SLOPE]] == pytest.approx(-12.0, abs=1e-6)


def test_the_centroid_of_two_sines_lies_between_them_by_their_power() -> None:
    found = find_tilt(power_of(sines({500.0: -20.0, 2000.0: -20.0})))
    assert found[:, CENTROID] == pytest.approx(1250.0, rel=0.02)


def test_a_steady_spectrum_has_the_least_flux_and_a_change_is_seen_where_it_is() -> None:
    power = power_of(tone(200.0))
    shuffled = np.concatenate([power[:1], power[:1], power[:1, ::-1]])
    found = find_flux(shuffled, None)
    assert found[:2] == pytest.approx(np.log(1e-6))
    assert found[2] > np.log(1e-3)
    assert find_flux(shuffled[2:], shuffled[1])[0] == found[2]  # across segments
    assert find_flux(7 * shuffled, None) == pytest.approx(found, abs=1e-3)  # louder, not other


def test_harmonics_are_compared_where_the_pitch_says() -> None:
    waveform = sines({250.0: -10.0, 500.0: -17.0, 2750.0: -33.0})
    power = power_of(waveform)
    found = find_harmonics(power, np.full(len(power), 250.0))
    assert found == pytest.approx(np.tile([7.0, 23.0], (len(found), 1)), abs=0.5)
    assert not find_harmonics(power, np.zeros(len(power))).any()


def test_cepstra_are_the_cosines_of_log_mel_energies() -> None:
    waveform = noise(WINDOW + 160 * 6).astype(float)
    energies, _ = fbank(waveform, RATE, 0.04, nfilt=40, nfft=1024, preemph=0, winfunc=np.hamming)
    levels = np.log(energies)
    expected = dct(levels, axis=1, norm="ortho")[:, :26]
    np.testing.assert_allclose(find_cepstra(power_of(waveform)), expected[:7], atol=1e-9)
