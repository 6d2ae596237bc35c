"""Functionals of a log-mel spectrogram: what a classifier without a network sees of a clip."""

from __future__ import annotations

import numpy as np
from scipy.fft import dct

NUM_CEPSTRA = 26
NUM_PARTS = 6
NUM_ENVELOPE = 24


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


def _describe(steps: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [steps.mean(axis=0), steps.std(axis=0), *np.percentile(steps, [10, 50, 90], axis=0)]
    )
