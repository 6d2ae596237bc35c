from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from extractors.spectrogram import (
    LogMelSettings,
    SpectrogramSettings,
    SpectrogramStream,
    compute_spectrogram,
    in_samples,
    step_times,
)
from tests.extractors.sounds import RATE, noise, push_in_pieces


def tone(frequency: float, samples: int) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(samples) / RATE)


def test_one_step_equals_the_transform_by_its_definition() -> None:
    waveform = noise(640).astype(np.float64)
    found = compute_spectrogram(waveform, RATE)
    assert found.shape == (1, 200)
    assert found.dtype == np.float32
    sample = np.arange(640)
    window = 0.54 - 0.46 * np.cos(2 * np.pi * sample / 639)
    for k in (0, 1, 7, 101, 199):
        wave = np.exp(-2j * np.pi * k * sample / 800)
        power = abs((waveform * window * wave).sum()) ** 2
        assert found[0, k] == pytest.approx(np.log(power), abs=1e-5)


@pytest.mark.parametrize(("frequency", "bin_"), [(200, 10), (440, 22), (1000, 50), (3980, 199)])
def test_a_tone_lights_the_bin_of_its_frequency(frequency: float, bin_: int) -> None:
    found = compute_spectrogram(tone(frequency, 3200), RATE)
    assert (found.argmax(axis=1) == bin_).all()


def test_a_tone_above_four_kilohertz_is_not_seen() -> None:
    loud, silent = (compute_spectrogram(tone(f, 3200), RATE).max() for f in (3000, 6000))
    assert silent < loud - 8


def test_a_beep_lights_the_steps_of_its_time() -> None:
    waveform = np.zeros(RATE)
    waveform[int(0.50 * RATE) : int(0.52 * RATE)] = tone(700, int(0.02 * RATE))
    found = compute_spectrogram(waveform, RATE)
    loud = np.flatnonzero(found[:, 35] > np.log(1e-8) + 1)
    times = step_times(len(found))[loud]
    # The window reaches 20 ms to both sides of its middle.
    assert times[0] == pytest.approx(0.49, abs=0.011)
    assert times[-1] == pytest.approx(0.53, abs=0.011)
    assert found[:, 35].argmax() == np.abs(step_times(len(found)) - 0.51).argmin()


def test_silence_is_the_floor_and_finite() -> None:
    assert (compute_spectrogram(np.zeros(1000), RATE) == np.float32(np.log(1e-8))).all()


@pytest.mark.parametrize(
    ("samples", "steps"), [(0, 0), (1, 0), (639, 0), (640, 1), (799, 1), (800, 2), (RATE, 97)]
)
def test_only_filled_windows_count(samples: int, steps: int) -> None:
    assert compute_spectrogram(noise(samples), RATE).shape == (steps, 200)


def test_step_times_are_the_middles_of_the_windows() -> None:
    assert step_times(3) == pytest.approx([0.020, 0.030, 0.040])
    assert step_times(2, LogMelSettings()) == pytest.approx([0.0125, 0.0225])
    assert step_times(0).shape == (0,)
    assert in_samples(SpectrogramSettings()) == (640, 160)


@pytest.mark.parametrize("samples", [0, 639, 640, 5000, 160 * 512 + 639, 300_007])
def test_a_stream_equals_the_whole_bit_for_bit_wherever_it_is_cut(samples: int) -> None:
    waveform = noise(samples, seed=3)
    found = push_in_pieces(SpectrogramStream(RATE), waveform)
    assert np.array_equal(found, compute_spectrogram(waveform, RATE))


def test_a_stream_keeps_no_more_than_a_block() -> None:
    stream = SpectrogramStream(RATE)
    for _ in range(40):
        stream.push(noise(10_000))
        assert len(stream._buffer._rest) < 512 * 160 + 640


@pytest.mark.parametrize(
    ("waveform", "rate", "message"),
    [
        (np.zeros(700), 44_100, "must be 16000 Hz, got 44100; resample"),
        (np.zeros((700, 2)), RATE, r"must be mono, .* got \(700, 2\)"),
        (np.zeros(700, np.int16), RATE, r"float in \[-1, 1\], got int16"),
        (np.full(700, np.nan), RATE, "nan or inf"),
        (np.full(700, np.inf), RATE, "nan or inf"),
    ],
)
def test_a_waveform_of_another_kind_is_refused(
    waveform: np.ndarray, rate: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        compute_spectrogram(waveform, rate)
    with pytest.raises(ValueError, match=message):
        SpectrogramStream(rate).push(waveform)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_bins": 402}, "num_bins must be from 1 to 401, got 402"),
        ({"num_bins": 0}, "num_bins must be from 1 to 401, got 0"),
        ({"dft_size": 639}, "at least the window's 640 samples, got 639"),
        ({"window_seconds": 0.0}, "at least one sample, got 0.0 and 0.01"),
        ({"hop_seconds": -0.01}, "at least one sample, got 0.04 and -0.01"),
        ({"floor": 0.0}, "floor must be above 0, got 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpectrogramSettings(**changes)
