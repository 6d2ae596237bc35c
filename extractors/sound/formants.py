"""Formants of a voice by linear prediction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from extractors.sound.windows import SAMPLE_RATE

Array = NDArray[np.float64]
ORDER = 18  # of the prediction: two for each of the 8 kHz, and two for source and lips
PRE_EMPHASIS = 0.97
LOWEST, HIGHEST, WIDEST = 90.0, 5500.0, 700.0  # Hz of a resonance that is taken for a formant
USUAL = np.array([500.0, 1500.0, 2500.0])  # Hz: a tube of 17 cm, for a window that shows fewer
FLOOR = 1e-9


def find_formants(windows: np.ndarray) -> Array:
    """Find the first three formants of voiced windows.

    The poles of the predictor that are narrow enough are taken by rising frequency. A formant that
    isn't found has its usual frequency and the widest bandwidth.

    Args:
        windows: (T, n) samples.

    Returns:
        (T, 6): three frequencies, Hz, and three bandwidths, Hz.

    Source:
        Markel and Gray, "Linear Prediction of Speech", 1976: the autocorrelation method.
    """
    emphasised = windows[:, 1:] - PRE_EMPHASIS * windows[:, :-1]
    emphasised = emphasised * np.hamming(emphasised.shape[1])
    spectrum = np.abs(np.fft.rfft(emphasised, 2 * windows.shape[1], axis=1)) ** 2
    correlation = np.fft.irfft(spectrum, axis=1)[:, : ORDER + 1]
    correlation[:, 0] = correlation[:, 0] * 1.0001 + FLOOR
    lags = np.abs(np.arange(ORDER)[:, None] - np.arange(ORDER))
    predictor = np.linalg.solve(correlation[:, lags], correlation[:, 1:, None])[..., 0]
    companion = np.zeros((len(windows), ORDER, ORDER))
    companion[:, 0] = predictor
    companion[:, np.arange(1, ORDER), np.arange(ORDER - 1)] = 1.0
    roots = np.linalg.eigvals(companion)
    hertz = np.angle(roots) * SAMPLE_RATE / (2 * np.pi)
    bandwidth = -np.log(np.clip(np.abs(roots), 1e-6, 1.0)) * SAMPLE_RATE / np.pi
    resonant = (hertz > LOWEST) & (hertz < HIGHEST) & (bandwidth < WIDEST)
    order = np.argsort(np.where(resonant, hertz, np.inf), axis=1, kind="stable")[:, : len(USUAL)]
    found = np.take_along_axis(resonant, order, axis=1)
    frequencies = np.where(found, np.take_along_axis(hertz, order, axis=1), USUAL)
    widths = np.where(found, np.take_along_axis(bandwidth, order, axis=1), WIDEST)
    return np.concatenate([frequencies, widths], axis=1)
