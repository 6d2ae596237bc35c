"""Functionals of pitch and spectral tilt: what a log-mel of 40 bands is too coarse to show."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

SAMPLE_RATE = 16000
WINDOW, HOP, FFT = 640, 160, 2048
SHORTEST, LONGEST = 27, 230  # periods in samples: 590 to 70 Hz
VOICED = 0.55  # of the normalised autocorrelation
NUM_PARTS = 6
PERCENTILES = (5, 25, 50, 75, 95)


def read_waveform(path: Path) -> np.ndarray:
    """Decode a mono file of 16 kHz to samples in [-1, 1]."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    samples = np.concatenate(frames)
    scale = np.iinfo(samples.dtype).max if samples.dtype.kind == "i" else 1
    return (samples / scale).astype(np.float32)


def pitch_functionals(waveform: np.ndarray) -> np.ndarray:
    """Describe pitch, level, tilt and centre of the spectrum over a clip's voiced steps.

    Pitch is the highest peak of the autocorrelation, divided by that of the window (Boersma 1993),
    without his cost of long periods: a steady tone may come out one or more octaves too low.

    Returns:
        (48,) float32.
    """
    starts = np.arange(0, len(waveform) - WINDOW, HOP)
    frames = waveform[starts[:, None] + np.arange(WINDOW)] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames, FFT, axis=1)) ** 2
    autocorrelation = np.fft.irfft(power, axis=1)[:, :LONGEST]
    window = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(WINDOW), FFT)) ** 2)[:LONGEST]
    level = np.log(autocorrelation[:, 0] + 1e-9)
    shape = autocorrelation / (autocorrelation[:, :1] + 1e-9) / (window / window[0])
    period = shape[:, SHORTEST:].argmax(axis=1) + SHORTEST
    strength = shape[np.arange(len(shape)), period]
    voiced = (strength > VOICED) & (level > np.percentile(level, 95) - 7)
    if voiced.sum() < NUM_PARTS:
        voiced = level >= np.sort(level)[-NUM_PARTS]
    pitch = np.log2(SAMPLE_RATE / period[voiced])
    parts = np.array([part.mean() for part in np.array_split(pitch, NUM_PARTS)])
    steps = np.diff(pitch)
    frequency = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE)
    high = power[:, frequency > 1000].sum(axis=1) + 1e-9
    tilt = np.log(high / (power[:, frequency <= 1000].sum(axis=1) + 1e-9))
    centre = (power @ frequency) / (power.sum(axis=1) + 1e-12)
    low, top = np.percentile(pitch, [5, 95])
    slope = np.polyfit(np.linspace(0, 1, len(pitch)), pitch, 1)[0]
    return np.concatenate(
        [
            _describe(pitch),
            [top - low],
            parts,
            parts - pitch.mean(),
            [np.abs(steps).mean(), steps.std(), slope, voiced.mean(), voiced.sum() / 100],
            [strength[voiced].mean(), strength[voiced].std()],
            _describe(tilt[voiced]),
            _describe(level[voiced]),
            _describe(centre[voiced]),
        ]
    ).astype(np.float32)


def _describe(values: np.ndarray) -> np.ndarray:
    return np.array([values.mean(), values.std(), *np.percentile(values, PERCENTILES)])
