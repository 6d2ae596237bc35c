"""Jitter and shimmer: how much neighbouring periods of a voice differ in length and height."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from extractors.sound.windows import SAMPLE_RATE

Array = NDArray[np.float64]
HEARD = (50.0, 1200.0)  # Hz: beside it, the peaks of higher formants would be taken for periods
SEARCHED = 0.2  # of a period: how far from its expected place the next peak may lie
# Neighbours that differ by more are no periods of one voice: Praat's usual limits.
MOST_LONGER, MOST_HIGHER = 1.3, 1.6


def measure_shake(waveform: np.ndarray, pitch: Array, window: int, hop: int) -> Array:
    """Measure jitter and shimmer at each step, from the peaks of single periods.

    The sound is heard between 50 and 1,200 Hz. From the highest peak of a voiced stretch, the next
    one is looked for a period further on, to both sides. A step has the values of the pair of
    periods nearest to its middle.

    Args:
        waveform: (n,) samples of the steps.
        pitch: (T,) Hz, 0 where unvoiced.
        window: samples in a step's window.
        hop: samples from one step's window to the next one's.

    Returns:
        (T, 2): the difference of two neighbouring periods, divided by their mean; the difference
        in height of two neighbouring peaks, dB. Both 0 where unvoiced or without a pair.

    Source:
        Praat's "jitter (local)" and "shimmer (local, dB)", see Boersma, "Should jitter be measured
        by peak picking or by waveform matching?", 2009: this is peak picking.
    """
    spectrum = np.fft.rfft(waveform)
    hertz = np.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE)
    spectrum[(hertz < HEARD[0]) | (hertz > HEARD[1])] = 0.0
    waveform = np.fft.irfft(spectrum, len(waveform))
    result = np.zeros((len(pitch), 2))
    voiced = np.concatenate([[False], pitch > 0, [False]])
    edges = np.flatnonzero(voiced[1:] != voiced[:-1])
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        middles = np.arange(first, last) * hop + window // 2
        start, end = middles[0] - hop // 2, middles[-1] + hop // 2 + 1
        sound = waveform[start:end]
        sound = sound * np.sign(sound[np.abs(sound).argmax()])
        marks = find_peaks(sound, SAMPLE_RATE / pitch[first:last], hop)
        if len(marks) > 2:  # two periods
            result[first:last] = _compare(sound, marks, middles - start)
    return result


def find_peaks(sound: np.ndarray, periods: Array, hop: int) -> NDArray[np.int64]:
    """Find the peak of every period of a voiced stretch, in samples from its start.

    Args:
        sound: (n,) samples; the peaks point upwards.
        periods: (T,) expected period around each ``hop`` samples, in samples.
        hop: samples to a step.
    """
    top = int(sound.argmax())
    found = {top}
    for direction in (1, -1):
        at = top
        while True:
            period = periods[min(at // hop, len(periods) - 1)]
            near, far = (at + direction * round(period * (1 + d)) for d in (-SEARCHED, SEARCHED))
            low, high = min(near, far), max(near, far)
            if low < 0 or high >= len(sound):
                break
            at = low + int(sound[low : high + 1].argmax())
            found.add(at)
    return np.array(sorted(found))


def _compare(sound: np.ndarray, marks: NDArray[np.int64], middles: Array) -> Array:
    """Compare neighbouring periods and peaks, for the steps in whose middle they are: (T, 2)."""
    inner = np.clip(marks, 1, len(sound) - 2)
    a, b, c = (sound[inner + k] for k in (-1, 0, 1))
    bend = np.minimum(a - 2 * b + c, -1e-12)
    shift = np.where(marks == inner, np.clip(0.5 * (a - c) / bend, -0.5, 0.5), 0.0)
    heights = np.maximum(sound[marks] - 0.25 * (a - c) * shift, 1e-6)
    lengths = np.diff(marks + shift)
    longer = _ratio(lengths[1:], lengths[:-1])
    higher = _ratio(heights[2:], heights[1:-1])
    jitter = np.where(longer < MOST_LONGER, 2 * (longer - 1) / (longer + 1), 0.0)
    shimmer = np.where(higher < MOST_HIGHER, 20 * np.log10(higher), 0.0)
    centre = marks[1:-1]
    after = np.clip(np.searchsorted(centre, middles), 1, max(len(centre) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(centre) - 1)
    nearest = np.where(middles - centre[before] <= centre[after] - middles, before, after)
    return np.stack([jitter, shimmer], axis=1)[nearest]


def _ratio(one: Array, other: Array) -> Array:
    """Divide the larger by the smaller."""
    result: Array = np.maximum(one, other) / np.minimum(one, other)
    return result
