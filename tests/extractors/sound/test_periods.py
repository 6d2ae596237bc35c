from __future__ import annotations

import numpy as np
import pytest

from extractors.sound.periods import measure_shake
from tests.extractors.sound.voices import HOP, WINDOW, pulses, tone, windows_of
from tests.extractors.sounds import RATE


def shake(waveform: np.ndarray, hertz: float) -> np.ndarray:
    """Jitter and shimmer of a sound whose pitch is the same throughout, away from its ends."""
    pitch = np.full(len(windows_of(waveform)), hertz)
    return measure_shake(waveform, pitch, WINDOW, HOP)[3:-3]


@pytest.mark.parametrize("percent", [0.5, 1.0, 3.0])
def test_jitter_is_the_difference_of_neighbouring_periods(percent: float) -> None:
    period = 127.0
    long, short = period * (1 + percent / 200), period * (1 - percent / 200)
    found = shake(pulses([long, short] * 60), RATE / period)
    assert found[:, 0] == pytest.approx(percent / 100, abs=2e-3)


def test_random_jitter_is_its_mean_difference() -> None:
    periods = 113.0 * (1 + 0.02 * np.random.default_rng(7).normal(size=200))
    expected = np.abs(np.diff(periods)).mean() / periods.mean()
    assert shake(pulses(periods), RATE / 113)[:, 0].mean() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("decibel", [0.3, 1.0, 3.0])
def test_shimmer_is_the_difference_of_neighbouring_heights(decibel: float) -> None:
    found = shake(pulses([131.0] * 100, [1.0, 10 ** (-decibel / 20)]), RATE / 131)
    # Filtered, each pulse carries a little of its neighbours.
    assert found[:, 1] == pytest.approx(decibel, rel=0.1)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_steady_voice_has_neither_whichever_way_it_points(sign: int) -> None:
    found = shake(sign * pulses([107.0] * 100), RATE / 107)
    assert found[:, 0].max() < 1e-3
    assert found[:, 1].max() < 0.02


def test_a_voice_that_glides_by_an_octave_is_followed() -> None:
    periods = 160 * 0.5 ** np.linspace(0, 1, 90)
    waveform = pulses(periods)
    middles = np.arange(len(windows_of(waveform))) * HOP + WINDOW // 2
    pitch = RATE / np.interp(middles, 200 + np.cumsum(periods), periods)
    found = measure_shake(waveform, pitch, WINDOW, HOP)[3:-3, 0]
    assert found == pytest.approx(np.log(2) / 89, abs=3e-3)  # of a period to the next


def test_what_is_unvoiced_or_too_short_has_neither() -> None:
    waveform = tone(100, 3)
    pitch = np.zeros(len(windows_of(waveform)))
    assert not measure_shake(waveform, pitch, WINDOW, HOP).any()
    pitch[7] = 100.0  # a step of 10 ms is one period
    assert not measure_shake(waveform, pitch, WINDOW, HOP).any()


def test_neighbours_that_can_not_be_of_one_voice_are_left_out() -> None:
    period = 120.0
    found = shake(pulses([period * 1.17, period * 0.83] * 40), RATE / period)
    assert not found[:, 0].any()  # 1.41 times as long
    assert not shake(pulses([period] * 80, [1.0, 0.5]), RATE / period)[:, 1].any()
