"""Functionals of a log-mel spectrogram: the features of a classifier without a network."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.fft import dct

NUM_CEPSTRA = 26
NUM_PARTS = 6
NUM_ENVELOPE = 24
NUM_MODULATION_BANDS = 20
MODULATION_FFT = 256  # steps of 10 ms: bins of 0.39 Hz
# Bins between which modulations are averaged: 0.4 to 25 Hz, wider as they get faster.
MODULATION_EDGES = (0, 2, 4, 6, 9, 13, 18, 26, 40, 64)


def functionals(logmel: np.ndarray) -> np.ndarray:
    """Describe a clip by one vector.

    Args:
        logmel: (T, 40) log energies, without deltas.

    Returns:
        (549,) float32: means, deviations and percentiles of the cepstra of the whole clip and of
        its loud steps, spread of their slopes, means over six parts of what is between the first
        and the last loud step, its energy envelope, and how long and how loud it is.
    """
    energy = logmel.mean(axis=1)
    top, quiet = np.percentile(energy, [95, 10])
    threshold = max(top - 5.0, quiet + 0.3 * (top - quiet))
    loud = np.flatnonzero(energy > threshold)
    first, last = (loud[0], loud[-1] + 1) if len(loud) else (0, len(energy))
    cepstra = dct(logmel, axis=1, norm="ortho")[:, :NUM_CEPSTRA]
    inside, level = cepstra[first:last], energy[first:last]
    voiced = inside[level > threshold] if len(loud) else inside
    slope = np.gradient(inside, axis=0) if len(inside) > 1 else np.zeros_like(inside)
    parts = [inside[int(i)] for i in np.linspace(0, len(inside) - 1, NUM_PARTS)]
    if len(inside) >= NUM_PARTS:
        parts = [part.mean(axis=0) for part in np.array_split(inside, NUM_PARTS)]
    envelope = np.interp(np.linspace(0, len(level) - 1, NUM_ENVELOPE), np.arange(len(level)), level)
    changes = np.abs(np.diff(level)).mean() if len(level) > 1 else 0.0
    sizes = [len(level) / 100, len(energy) / 100, len(voiced) / len(inside)]
    return np.concatenate(
        [
            _describe(cepstra),
            _describe(voiced),
            slope.std(axis=0),
            *np.percentile(slope, [10, 90], axis=0),
            *parts,
            envelope,
            envelope - level.mean(),
            [*sizes, level.mean(), level.std(), level.max(), changes],
        ]
    ).astype(np.float32)


def modulation(logmel: np.ndarray) -> np.ndarray:
    """Describe how fast each band's energy comes and goes.

    Args:
        logmel: (T, 40) log energies, without deltas.

    Returns:
        (180,) float32: logarithms of the modulation spectrum of 20 bands in 9 ranges of rate.
    """
    bands = logmel.reshape(len(logmel), NUM_MODULATION_BANDS, -1).mean(axis=2)
    bands = (bands - bands.mean(axis=0)) * np.hanning(len(bands))[:, None]
    turns = -(-len(bands) // MODULATION_FFT)  # a longer clip has finer bins: take every other
    spectrum = np.abs(np.fft.rfft(bands, turns * MODULATION_FFT, axis=0))[::turns]
    ranges = [spectrum[a:b].mean(axis=0) for a, b in itertools.pairwise(MODULATION_EDGES)]
    return np.log(np.concatenate(ranges) / len(bands) + 1e-3).astype(np.float32)


def _describe(steps: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [steps.mean(axis=0), steps.std(axis=0), *np.percentile(steps, [10, 50, 90], axis=0)]
    )
