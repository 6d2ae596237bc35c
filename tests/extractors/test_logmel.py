from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from python_speech_features import delta, fbank, logfbank

from extractors.logmel import LogMelSettings, LogMelStream
from extractors.spectrogram import (
    SpectrogramSettings,
    compute_logmel,
    compute_spectrogram,
    step_times,
)
from tests.extractors.sounds import RATE, noise, push_in_pieces


@pytest.mark.parametrize("samples", [400, 560, 400 + 160 * 3, 400 + 160 * 700])
def test_it_equals_the_library_on_whole_windows(samples: int) -> None:
    waveform = noise(samples)
    levels = logfbank(waveform.astype(np.float64), RATE, nfilt=40)
    deltas = delta(levels, 2)
    expected = np.stack([levels, deltas, delta(deltas, 2)], axis=-1)
    found = compute_logmel(waveform, RATE)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-6)


# As they are printed; the default is checked against the library's above.
WINDOWS = {
    "hamming": lambda n: 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(n) / (n - 1)),
    "hann": lambda n: np.sin(np.pi * np.arange(n) / (n - 1)) ** 2,
    "rectangular": np.ones,
}


@pytest.mark.parametrize("window", WINDOWS)
def test_every_window_equals_the_library_with_that_function(window: Any) -> None:
    waveform = noise(400 + 160 * 7)
    energies, _ = fbank(
        waveform.astype(np.float64), RATE, nfilt=40, preemph=0.97, winfunc=WINDOWS[window]
    )
    found = compute_logmel(waveform, RATE, LogMelSettings(window=window))
    np.testing.assert_allclose(found[:, :, 0], np.log(energies), atol=2e-6)


@pytest.mark.parametrize("window", WINDOWS)
def test_every_window_is_a_setting_of_the_spectrogram_too(window: Any) -> None:
    waveform = noise(640 + 160 * 5)
    frames = np.stack([waveform[160 * i : 160 * i + 640] for i in range(6)]).astype(np.float64)
    power = np.abs(np.fft.rfft(frames * WINDOWS[window](640), 800)) ** 2
    found = compute_spectrogram(waveform, RATE, SpectrogramSettings(window=window))
    np.testing.assert_allclose(found, np.log(power[:, :200]), atol=1e-5)


def test_a_tone_lights_the_filter_of_its_pitch() -> None:
    mel = 2595 * np.log10(1 + 1000 / 700)
    centres = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 42)[1:-1]
    waveform = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(4000) / RATE)
    found = compute_logmel(waveform, RATE)[2:-2, :, 0].argmax(axis=1)
    assert (np.abs(found - np.abs(centres - mel).argmin()) <= 1).all()


def test_a_beep_lights_the_steps_of_its_time() -> None:
    waveform = np.zeros(RATE)
    waveform[8000:8320] = noise(320)
    levels = compute_logmel(waveform, RATE)[:, :, 0].mean(axis=1)
    assert step_times(len(levels), LogMelSettings())[levels.argmax()] == pytest.approx(
        0.51, abs=0.006
    )


def test_a_rising_level_has_its_slope_as_delta() -> None:
    waveform = noise(RATE) * np.exp(np.arange(RATE) / RATE)
    found = compute_logmel(waveform, RATE)
    # Energy grows by e^2 in a second, so its logarithm by 0.02 in a step.
    assert found[5:-5, :, 1].mean() == pytest.approx(0.02, abs=0.002)
    assert found[5:-5, :, 2].mean() == pytest.approx(0.0, abs=0.002)


def test_silence_is_the_floor_with_no_slope() -> None:
    found = compute_logmel(np.zeros(2000), RATE)
    assert (found[:, :, 0] == np.float32(np.log(1e-10))).all()
    assert (found[:, :, 1:] == 0).all()


@pytest.mark.parametrize(("samples", "steps"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2)])
def test_only_filled_windows_count(samples: int, steps: int) -> None:
    assert compute_logmel(noise(samples), RATE).shape == (steps, 40, 3)


@pytest.mark.parametrize("samples", [0, 399, 400, 720, 2000, 160 * 512 + 239, 300_007])
def test_a_stream_equals_the_whole_bit_for_bit_wherever_it_is_cut(samples: int) -> None:
    waveform = noise(samples, seed=3)
    found = push_in_pieces(LogMelStream(RATE), waveform)
    assert np.array_equal(found, compute_logmel(waveform, RATE))


@pytest.mark.parametrize(
    ("waveform", "rate", "message"),
    [
        (np.zeros(700), 8_000, "must be 16000 Hz, got 8000; resample"),
        (np.zeros((2, 700)), RATE, r"must be mono, .* got \(2, 700\)"),
        (np.zeros(700, np.int32), RATE, r"float in \[-1, 1\], got int32"),
        (np.full(700, np.nan), RATE, "nan or inf"),
    ],
)
def test_a_waveform_of_another_kind_is_refused(
    waveform: np.ndarray, rate: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        compute_logmel(waveform, rate)
    with pytest.raises(ValueError, match=message):
        LogMelStream(rate).push(waveform)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_filters": 0}, "at least 1, got 0 and 2"),
        ({"delta_reach": 0}, "at least 1, got 40 and 0"),
        ({"preemphasis": 1.0}, r"preemphasis must be in \[0, 1\), got 1.0"),
        ({"dft_size": 256}, "at least the window's 400 samples, got 256"),
        ({"floor": -1.0}, "floor must be above 0, got -1.0"),
        ({"window": "kaiser"}, "one of rectangular, hamming, hann, got 'kaiser'"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LogMelSettings(**changes)
