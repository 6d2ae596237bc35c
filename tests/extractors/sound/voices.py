"""Synthetic voices of known pitch, unsteadiness and resonances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from tests.extractors.sounds import RATE

Array = NDArray[np.float64]
WINDOW, HOP = 640, 160


def tone(hertz: float, harmonics: int = 5, seconds: float = 0.7) -> Array:
    """A steady tone whose harmonics fall by 6 dB an octave."""
    time = np.arange(int(seconds * RATE)) / RATE
    parts = [np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, harmonics + 1)]
    return np.asarray(0.2 * np.sum(parts, axis=0))


def pulses(periods: Sequence[float], heights: Sequence[float] = (1.0,)) -> Array:
    """Smooth pulses so many samples apart, of mean 0, 1 ms wide, with heights that repeat."""
    places = np.cumsum([200.0, *periods])
    time = np.arange(int(places[-1]) + 200)
    sound = np.zeros(len(time))
    for number, place in enumerate(places):
        squared = ((time - place) / 8.0) ** 2
        sound += heights[number % len(heights)] * (1 - 2 * squared) * np.exp(-squared)
    return 0.3 * sound


def vowel(hertz: float, formants: Sequence[float], width: float = 80.0) -> Array:
    """Pulses through a filter with poles at the formants, all of one bandwidth."""
    sound = np.zeros(int(0.5 * RATE))
    sound[:: round(RATE / hertz)] = 1.0
    radius = np.exp(-np.pi * width / RATE)
    for formant in formants:
        angle = 2 * np.pi * formant / RATE
        sound = lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], sound)
    return np.asarray(0.3 * sound / np.abs(sound).max())


def windows_of(waveform: Array) -> Array:
    """Cut a waveform into windows of 40 ms every 10 ms."""
    return np.lib.stride_tricks.sliding_window_view(waveform, WINDOW)[::HOP]
