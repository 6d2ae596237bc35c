"""Functionals of a voice in the manner of eGeMAPS: pitch, its shake, loudness, tilt, formants.

Source: Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set", 2016, for what is described.
Differs from it: pitch by ``benchmarks.science.pitch``, jitter and shimmer from steps of
10 ms and not from single periods, more percentiles, and the course of pitch and loudness
over parts of the clip.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.science.pitch import SAMPLE_RATE, cut_frames, track_pitch

Array = NDArray[np.float64]
FFT = 1024
LPC_ORDER = 18
PRE_EMPHASIS = 0.97
NUM_FORMANTS = 3
NUM_PARTS = 6
MODULATIONS = 12  # bins of 0.78 Hz of the loudness contour
FLOOR = 1e-9


def voice_functionals(waveform: np.ndarray) -> np.ndarray:
    """Describe a clip's voice by one vector of numbers, finite whatever the sound.

    Args:
        waveform: (n,) samples of 16 kHz in [-1, 1].
    """
    pitch = track_pitch(waveform)
    frames = cut_frames(waveform)
    power, hertz = spectrum_of(frames)
    voiced = pitch.hertz > 0
    loud = pitch.level > np.percentile(pitch.level, 95) - 7.0
    if voiced.sum() < NUM_PARTS:
        voiced = pitch.level >= np.sort(pitch.level)[-min(NUM_PARTS, len(loud))]
    silent = loud & (pitch.hertz == 0)
    semitones = semitones_of(pitch.hertz)
    loudness = loudness_of(power, hertz)
    tilt = tilt_of(power, hertz)
    harmonics = _harmonics(power, pitch.hertz, hertz)
    resonances = formants(frames[voiced])
    noise = 10 * np.log10(
        np.clip(pitch.strength, 0.01, 0.999) / (1 - np.clip(pitch.strength, 0.01, 0.999))
    )
    inside = slice(int(np.argmax(loud)), len(loud) - int(np.argmax(loud[::-1])))
    parts = [
        _describe(semitones[voiced]),
        _course(semitones, voiced),
        _slopes(semitones, voiced),
        _describe(loudness[inside]),
        _course(loudness, _range(inside, len(loud))),
        _slopes(loudness, _range(inside, len(loud))),
        _describe(noise[voiced])[:4],
        _shake(pitch.hertz, np.exp(pitch.level / 2)),
        _rhythm(pitch.hertz > 0, loudness, inside),
        *(_describe(column[voiced]) for column in tilt.T),
        *(_describe(column[silent] if silent.any() else column)[:4] for column in tilt.T),
        *(_describe(column[voiced])[:4] for column in harmonics.T),
        *(_describe(column) for column in resonances.T),
        _modulation(loudness[inside]),
    ]
    return np.nan_to_num(np.concatenate(parts)).astype(np.float32)


def spectrum_of(frames: np.ndarray) -> tuple[Array, Array]:
    """Power of each frame's bins, (T, 513), and the bins' frequencies in Hz."""
    power = np.abs(np.fft.rfft(frames * np.hamming(frames.shape[1]), FFT, axis=1)) ** 2
    return power, np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE)


def semitones_of(hertz: Array) -> Array:
    """Semitones above 27.5 Hz; 0 where there is no pitch."""
    semitones: Array = 12 * np.log2(np.maximum(hertz, 27.5) / 27.5)
    return semitones


def formants(frames: np.ndarray) -> Array:
    """Estimate the formants of voiced frames by linear prediction.

    Args:
        frames: (T, n) samples.

    Returns:
        (T, 2 ``NUM_FORMANTS``): frequencies and then logarithms of bandwidths, Hz.
    """
    emphasised = frames[:, 1:] - PRE_EMPHASIS * frames[:, :-1]
    emphasised = emphasised * np.hamming(emphasised.shape[1])
    spectrum = np.abs(np.fft.rfft(emphasised, 2 * frames.shape[1], axis=1)) ** 2
    correlation = np.fft.irfft(spectrum, axis=1)[:, : LPC_ORDER + 1]
    correlation[:, 0] = correlation[:, 0] * 1.0001 + FLOOR
    lags = np.abs(np.arange(LPC_ORDER)[:, None] - np.arange(LPC_ORDER))
    predictor = np.linalg.solve(correlation[:, lags], correlation[:, 1:, None])[..., 0]
    companion = np.zeros((len(frames), LPC_ORDER, LPC_ORDER))
    companion[:, 0] = predictor
    companion[:, np.arange(1, LPC_ORDER), np.arange(LPC_ORDER - 1)] = 1.0
    roots = np.linalg.eigvals(companion)
    hertz = np.angle(roots) * SAMPLE_RATE / (2 * np.pi)
    bandwidth = -np.log(np.maximum(np.abs(roots), 1e-6)) * SAMPLE_RATE / np.pi
    resonant = (hertz > 90) & (hertz < 5500) & (bandwidth < 700)
    order = np.argsort(np.where(resonant, hertz, np.inf), axis=1)[:, :NUM_FORMANTS]
    usual = np.array([500.0, 1500.0, 2500.0])  # of a frame that shows fewer
    found = np.take_along_axis(resonant, order, axis=1)
    frequencies = np.where(found, np.take_along_axis(hertz, order, axis=1), usual)
    widths = np.where(found, np.take_along_axis(bandwidth, order, axis=1), 700.0)
    return np.concatenate([frequencies, np.log(np.maximum(widths, 1.0))], axis=1)


def loudness_of(power: Array, hertz: Array) -> Array:
    """Sum of compressed energies over 26 bands equally wide on the mel scale, (T,)."""
    mel = 1127 * np.log1p(hertz / 700)
    bands = np.digitize(mel, np.linspace(mel[1], mel[-1], 27)[1:-1])
    energies = np.stack([power[:, bands == band].sum(axis=1) for band in range(26)], axis=1)
    loudness: Array = (energies**0.3).sum(axis=1)
    return loudness


def tilt_of(power: Array, hertz: Array) -> Array:
    """Alpha ratio, Hammarberg index, slopes below 500 Hz and to 1500 Hz, centroid, flux: (T, 6)."""
    decibel = 10 * np.log10(power + FLOOR)

    def band(low: float, high: float) -> NDArray[np.bool_]:
        return (hertz >= low) & (hertz < high)

    low, high = power[:, band(50, 1000)].sum(axis=1), power[:, band(1000, 5000)].sum(axis=1)
    hammarberg = decibel[:, band(0, 2000)].max(axis=1) - decibel[:, band(2000, 5000)].max(axis=1)
    slopes = []
    for start, end in ((0, 500), (500, 1500)):
        x = hertz[band(start, end)] / 1000
        x = x - x.mean()
        slopes.append(decibel[:, band(start, end)] @ x / (x @ x))
    root = np.sqrt(power)
    shares = root / (root.sum(axis=1, keepdims=True) + FLOOR)
    flux = np.square(np.diff(shares, axis=0, prepend=shares[:1])).sum(axis=1)
    centre = (power @ hertz) / (power.sum(axis=1) + FLOOR) / 1000
    alpha = 10 * np.log10((high + FLOOR) / (low + FLOOR))
    return np.stack([alpha, hammarberg, *slopes, centre, np.log(flux + 1e-6)], axis=1)


def _harmonics(power: Array, pitch: Array, hertz: Array) -> Array:
    """H1 - H2 and H1 less the strongest harmonic around 3 kHz, dB: (T, 2); 0 where unvoiced."""
    decibel = 10 * np.log10(power + FLOOR)
    rows = np.arange(len(pitch))

    def peak(target: Array) -> Array:
        centre = np.clip(np.rint(target / hertz[1]).astype(int), 1, len(hertz) - 2)
        return np.max([decibel[rows, centre + k] for k in (-1, 0, 1)], axis=0)

    first, second = peak(pitch), peak(2 * pitch)
    third = decibel[:, (hertz > 2300) & (hertz < 3300)].max(axis=1)
    result: Array = np.stack([first - second, first - third], axis=1) * (pitch > 0)[:, None]
    return result


def _describe(values: Array) -> Array:
    """Mean, deviation, range and percentiles."""
    low, *middle, high = np.percentile(values, [5, 20, 50, 80, 95])
    return np.array([values.mean(), values.std(), high - low, middle[1], low, *middle, high])


def _course(values: Array, chosen: NDArray[np.bool_]) -> Array:
    """Means over parts of the chosen steps, less their mean."""
    parts = np.array_split(values[chosen], NUM_PARTS)
    means = np.array([part.mean() if len(part) else 0.0 for part in parts])
    return means - means.mean()


def _slopes(values: Array, chosen: NDArray[np.bool_]) -> Array:
    """Mean and deviation of rises and of falls between neighbouring chosen steps; overall slope."""
    pairs = chosen[1:] & chosen[:-1]
    change = np.diff(values)[pairs]
    result = []
    for part in (change[change > 0], -change[change < 0]):
        result += [part.mean(), part.std()] if len(part) else [0.0, 0.0]
    kept = values[chosen]
    slope = np.polyfit(np.linspace(0, 1, len(kept)), kept, 1)[0] if len(kept) > 1 else 0.0
    return np.array([*result, slope])


def _shake(hertz: Array, amplitude: Array) -> Array:
    """Jitter and shimmer, by neighbouring voiced steps, and their second differences."""
    result = []
    for values in (np.log(np.maximum(hertz, 1.0)), np.log(amplitude + FLOOR)):
        for order in (1, 2):
            if len(hertz) <= order:
                result += [0.0, 0.0]
                continue
            run = np.convolve(hertz > 0, np.ones(order + 1), "valid") == order + 1
            change = np.abs(np.diff(values, order))[run]
            result += [change.mean(), np.median(change)] if len(change) else [0.0, 0.0]
    return np.array(result)


def _rhythm(voiced: NDArray[np.bool_], loudness: Array, inside: slice) -> Array:
    """Measure the rhythm: voiced and unvoiced runs in seconds, peaks of loudness a second."""
    part = voiced[inside]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], part, [False]]).astype(int)))
    runs = (edges[1::2] - edges[::2]) / 100
    gaps = (edges[2::2] - edges[1:-1:2]) / 100
    smooth = np.convolve(loudness[inside], np.ones(5) / 5, "same")
    peaks = (smooth[1:-1] > smooth[:-2]) & (smooth[1:-1] >= smooth[2:])
    peaks &= smooth[1:-1] > 0.3 * smooth.max(initial=0.0)
    seconds = max(len(part), 1) / 100
    lengths = [f(x) if len(x) else 0.0 for x in (runs, gaps) for f in (np.mean, np.std, np.max)]
    return np.array(
        [seconds, part.mean() if len(part) else 0.0, len(runs) / seconds, peaks.sum() / seconds]
        + [float(x) for x in lengths]
    )


def _modulation(loudness: Array) -> Array:
    """Logarithms of the loudness contour's spectrum, without its mean."""
    contour = (loudness - loudness.mean()) * np.hanning(len(loudness))
    spectrum = np.abs(np.fft.rfft(contour, 128 * max(1, -(-len(contour) // 128)), axis=0))
    step = (len(spectrum) - 1) // 64
    return np.log(spectrum[step::step][:MODULATIONS] / (loudness.mean() + FLOOR) + 1e-3)


def _range(inside: slice, length: int) -> NDArray[np.bool_]:
    steps = np.zeros(length, bool)
    steps[inside] = True
    return steps
