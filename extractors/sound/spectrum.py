"""Spectral descriptors of a sound's windows: level, loudness, tilt, harmonics, cepstra."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from extractors.sound.windows import SAMPLE_RATE

Array = NDArray[np.float64]
DFT = 1024
FLOOR = 1e-10  # about that of 16-bit rounding noise, as of log-mel
RUMBLE = 50.0  # Hz: what is lower is no voice
LOUDNESS_BANDS, COMPRESSION = 26, 0.3
LEAST_FLUX = 1e-6
CEPSTRUM_BANDS, NUM_CEPSTRA = 40, 26
# Orthonormal cosine transform from log energies of bands to cepstra.
COSINES = np.sqrt(2 / CEPSTRUM_BANDS) * np.cos(
    np.pi * np.outer(np.arange(CEPSTRUM_BANDS) + 0.5, np.arange(NUM_CEPSTRA)) / CEPSTRUM_BANDS
)
COSINES[:, 0] /= np.sqrt(2)


def find_power(windows: np.ndarray) -> Array:
    """Return the power of each window's 513 bins from 0 to 8 kHz, (T, 513)."""
    spectrum = np.fft.rfft(windows * np.hamming(windows.shape[1]), DFT, axis=1)
    power: Array = (spectrum.real**2 + spectrum.imag**2) / DFT
    return power


def find_level(power: Array, window: int) -> Array:
    """Return the level of windows of so many samples, (T,): dB of full scale, at least -100."""
    scale = 2 / np.square(np.hamming(window)).sum()  # to the mean square (Parseval)
    level: Array = 10 * np.log10(scale * power[:, _band(RUMBLE, np.inf)].sum(axis=1) + FLOOR)
    return level


def find_loudness(power: Array) -> Array:
    """Add up compressed energies of 26 bands equally wide in mel, (T,)."""
    loudness: Array = ((power @ _filters(LOUDNESS_BANDS)) ** COMPRESSION).sum(axis=1)
    return loudness


def find_cepstra(power: Array) -> Array:
    """Return the cepstra of the log energies of 40 bands, (T, 26)."""
    cepstra: Array = np.log(np.maximum(power @ _filters(CEPSTRUM_BANDS), FLOOR)) @ COSINES
    return cepstra


def find_tilt(power: Array) -> Array:
    """Describe how a spectrum falls, (T, 5).

    Returns:
        Alpha ratio, 1 to 5 kHz against 50 to 1,000 Hz, dB; Hammarberg index, the highest peak below
        2 kHz against that of 2 to 5 kHz, dB; slopes of the level from 50 to 500 Hz and from 500 to
        1,500 Hz, dB per kHz; centroid above 50 Hz, Hz.
    """
    hertz = _hertz()
    decibel = 10 * np.log10(power + FLOOR)
    low = power[:, _band(RUMBLE, 1000)].sum(axis=1) + FLOOR
    high = power[:, _band(1000, 5000)].sum(axis=1) + FLOOR
    peaks = [decibel[:, _band(*limits)].max(axis=1) for limits in ((RUMBLE, 2000), (2000, 5000))]
    slopes = []
    for limits in ((RUMBLE, 500), (500, 1500)):
        x = hertz[_band(*limits)] / 1000
        x = x - x.mean()
        slopes.append(decibel[:, _band(*limits)] @ x / (x @ x))
    heard = power * (hertz >= RUMBLE)
    centroid = (heard @ hertz) / (heard.sum(axis=1) + FLOOR)
    alpha = 10 * np.log10(high / low)
    return np.stack([alpha, peaks[0] - peaks[1], *slopes, centroid], axis=1)


def find_flux(power: Array, before: Array | None) -> Array:
    """Measure how a spectrum differs from that of the step before, (T,): a natural logarithm.

    Args:
        power: (T, 513).
        before: (513,) of the step before the first; None where there is none.
    """
    first = power[0] if before is None else before
    shares = np.sqrt(np.concatenate([first[None, :], power]))
    shares /= shares.sum(axis=1, keepdims=True) + FLOOR
    flux: Array = np.log(np.square(np.diff(shares, axis=0)).sum(axis=1) + LEAST_FLUX)
    return flux


def find_harmonics(power: Array, pitch: Array) -> Array:
    """Compare the first harmonic with others, (T, 2); 0 where unvoiced.

    Returns:
        H1 - H2: the first harmonic against the second, dB; H1 - A3: the first harmonic against the
        highest peak of 2.3 to 3.3 kHz, where the third formant is, dB.
    """
    decibel = 10 * np.log10(power + FLOOR)
    rows = np.arange(len(pitch))

    def peak(target: Array) -> Array:
        centre = np.clip(np.rint(target * DFT / SAMPLE_RATE).astype(int), 1, DFT // 2 - 1)
        highest: Array = np.max([decibel[rows, centre + k] for k in (-1, 0, 1)], axis=0)
        return highest

    first, second = peak(pitch), peak(2 * pitch)
    third = decibel[:, _band(2300, 3300)].max(axis=1)
    result: Array = np.stack([first - second, first - third], axis=1) * (pitch > 0)[:, None]
    return result


def _hertz() -> Array:
    return np.linspace(0.0, SAMPLE_RATE / 2, DFT // 2 + 1)


def _band(low: float, high: float) -> NDArray[np.bool_]:
    hertz = _hertz()
    band: NDArray[np.bool_] = (hertz >= low) & (hertz < high)
    return band


@functools.cache
def _filters(count: int) -> Array:
    """Triangles equally wide in mel from 0 to 8 kHz, (513, ``count``)."""
    # Here: it loads SciPy, and settings are read where no voice is described.
    from python_speech_features import get_filterbanks

    filters: Array = get_filterbanks(count, DFT, SAMPLE_RATE).T
    return filters
