"""The pitch of a voice: candidates from the autocorrelation, the cheapest path through them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16000
WINDOW, HOP, FFT = 640, 160, 2048
SHORTEST, LONGEST = 24, 228  # periods in samples: 667 to 70 Hz
HIGHEST = 2000.0  # Hz heard: the peaks of a buzz are sharper than a sample
NUM_CANDIDATES = 6
# Strengths are correlations in 0..1. Boersma's costs; his octave cost is 0.01 at the default.
VOICED = 0.45
OCTAVE_COST = 0.02  # of a period twice as long: it correlates as well, and is no pitch
JUMP_COST = 0.35  # of an octave between neighbouring steps
TURN_COST = 0.14  # of a step from voiced to unvoiced or back
QUIET = 7.0  # nepers of power below the loudest steps: no voice

Array = NDArray[np.float64]


class Pitch(NamedTuple):
    """Pitch and loudness of a voice at each of T steps of 10 ms.

    Args:
        hertz: (T,) pitch, 0 where the step is unvoiced.
        strength: (T,) correlation of the signal with itself a period later, 0..1.
        level: (T,) logarithm of the power.
    """

    hertz: Array
    strength: Array
    level: Array


def read_waveform(path: Path) -> np.ndarray:
    """Decode a mono file of 16 kHz to samples in [-1, 1]."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    samples = np.concatenate(frames)
    scale = np.iinfo(samples.dtype).max if samples.dtype.kind == "i" else 1
    return (samples / scale).astype(np.float32)


def cut_frames(waveform: np.ndarray) -> np.ndarray:
    """Cut a waveform into frames of 40 ms every 10 ms, without a window: (T, 640)."""
    padded = np.pad(waveform, (0, max(0, WINDOW - len(waveform))))
    starts = np.arange(0, len(padded) - WINDOW + 1, HOP)
    frames: np.ndarray = padded[starts[:, None] + np.arange(WINDOW)]
    return frames


def track_pitch(waveform: np.ndarray) -> Pitch:
    """Follow the pitch of a voice.

    Peaks of the autocorrelation, divided by that of the window, are candidates; dynamic
    programming takes the path of highest strength less the costs of long periods, of jumps and of
    turns between voiced and unvoiced.

    Source:
        Boersma, "Accurate short-term analysis of the fundamental frequency ...", 1993. Differs
        from it: a Hann window of 40 ms, peaks interpolated by a parabola, one threshold of level.
    """
    frames = cut_frames(waveform) * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames, FFT, axis=1)) ** 2
    power[:, np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE) > HIGHEST] = 0.0
    correlation = np.fft.irfft(power, axis=1)[:, : LONGEST + 2]
    window = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(WINDOW), FFT)) ** 2)[: LONGEST + 2]
    level = np.log(correlation[:, 0] + 1e-9)
    shape = correlation / (correlation[:, :1] + 1e-9) / (window / window[0])
    periods, strengths = _candidates(shape)
    quiet = level < np.percentile(level, 95) - QUIET
    strengths[quiet] = 0.0
    octaves = np.log2(periods / SHORTEST)
    choice = _cheapest_path(strengths - OCTAVE_COST * octaves, octaves)
    rows = np.arange(len(choice))
    voiced = choice < NUM_CANDIDATES
    taken = np.where(voiced, choice, 0)
    hertz = np.where(voiced, SAMPLE_RATE / periods[rows, taken], 0.0)
    best = np.where(voiced, strengths[rows, taken], strengths.max(axis=1))
    return Pitch(hertz, np.clip(best, 0.0, 1.0), level)


def _candidates(shape: Array) -> tuple[Array, Array]:
    """The highest peaks of each step: periods in samples and strengths, (T, NUM_CANDIDATES)."""
    left, middle, right = (
        shape[:, SHORTEST - 1 + k : LONGEST - 1 + k] for k in range(3)
    )  # periods SHORTEST .. LONGEST - 1 in the middle
    peak = (middle > left) & (middle >= right)
    value = np.where(peak, middle, -1.0)
    # Long periods pay, or a steady tone's multiples would crowd the tone itself out.
    paid = value - OCTAVE_COST * np.log2(np.arange(SHORTEST, LONGEST) / SHORTEST)
    order = np.argsort(-paid, axis=1, kind="stable")[:, :NUM_CANDIDATES]
    a, b, c = (np.take_along_axis(part, order, axis=1) for part in (left, middle, right))
    bend = np.minimum(a - 2 * b + c, -1e-9)
    shift = np.clip(0.5 * (a - c) / bend, -0.5, 0.5)
    found = np.take_along_axis(value, order, axis=1) >= 0.0
    strength = np.where(found, np.minimum(b - 0.25 * (a - c) * shift, 1.0), 0.0)
    return order + SHORTEST + shift, strength


def _cheapest_path(merit: Array, octaves: Array) -> NDArray[np.int64]:
    """The candidate of every step; NUM_CANDIDATES for unvoiced."""
    steps, count = merit.shape
    local = np.concatenate([merit, np.full((steps, 1), VOICED)], axis=1)
    total = local[0]
    back = np.zeros((steps, count + 1), np.int64)
    cost = np.full((count + 1, count + 1), TURN_COST)
    cost[-1, -1] = 0.0
    for step in range(1, steps):
        cost[:-1, :-1] = JUMP_COST * np.abs(octaves[step - 1][:, None] - octaves[step][None, :])
        reached = total[:, None] - cost
        back[step] = reached.argmax(axis=0)
        total = reached.max(axis=0) + local[step]
    path = np.zeros(steps, np.int64)
    path[-1] = total.argmax()
    for step in range(steps - 1, 0, -1):
        path[step - 1] = back[step, path[step]]
    return path
