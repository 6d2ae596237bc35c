"""Pitch of a voice: candidates from the autocorrelation, the cheapest path through them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from extractors.sound.settings import VoiceSettings
from extractors.sound.windows import SAMPLE_RATE

Array = NDArray[np.float64]
DFT = 2048
HEARD = 2000.0  # Hz: above it a buzz's peaks of correlation are sharper than a sample
NUM_CANDIDATES = 6
FLOOR = 1e-9


class Pitch(NamedTuple):
    """Pitch at each of T steps.

    Args:
        hertz: (T,) pitch, 0 where the step is unvoiced.
        strength: (T,) correlation of the sound with itself a period later, 0 to 1; 0 where it is
            too quiet.
    """

    hertz: Array
    strength: Array


class PitchTracker:
    """Follows the pitch of a voice through a sound that arrives in segments.

    Peaks of the autocorrelation, divided by that of the window, are candidates; dynamic programming
    takes the path of the highest correlation less the costs of long periods, of jumps and of turns
    between voiced and unvoiced. A segment goes on from where the one before ended, and what is
    quiet is measured on both.

    Args:
        settings: see ``VoiceSettings``.

    Source:
        Boersma, "Accurate short-term analysis of the fundamental frequency and the
        harmonics-to-noise ratio of a sampled sound", 1993. Differs from it: a Hann window of
        40 ms, nothing heard above 2 kHz, peaks interpolated by a parabola, one threshold of level.
    """

    def __init__(self, settings: VoiceSettings) -> None:
        self.settings = settings
        self.shortest = math.floor(SAMPLE_RATE / settings.max_hz)
        self.longest = math.ceil(SAMPLE_RATE / settings.min_hz)
        self._levels = np.empty(0)  # of the segment before
        self._octave: float | None = None  # of its last step, None where that was unvoiced

    def track(self, windows: np.ndarray) -> Pitch:
        """Follow the pitch through the next segment.

        Args:
            windows: (T, n) samples of neighbouring steps, T from 1, not weighted.
        """
        hann = np.hanning(windows.shape[1])
        correlation = self._correlate(windows * hann)
        window = self._correlate(hann[None, :], HEARD * 10)[0]
        level = 10 * np.log10(correlation[:, 0] + FLOOR)
        shape = correlation / (correlation[:, :1] + FLOOR) / (window / window[0])
        periods, strengths = self._candidates(shape)
        known = np.concatenate([self._levels, level])
        strengths[level < np.percentile(known, 95) - self.settings.quiet_db] = 0.0
        octaves = np.log2(periods / self.shortest)
        choice = self._cheapest_path(strengths - self.settings.octave_cost * octaves, octaves)
        rows = np.arange(len(choice))
        voiced = choice < NUM_CANDIDATES
        taken = np.where(voiced, choice, 0)
        self._levels = level
        self._octave = float(octaves[-1, taken[-1]]) if voiced[-1] else None
        hertz = np.where(voiced, SAMPLE_RATE / periods[rows, taken], 0.0)
        best = np.where(voiced, strengths[rows, taken], strengths.max(axis=1))
        return Pitch(hertz, np.clip(best, 0.0, 1.0))

    def _correlate(self, windows: np.ndarray, highest: float = HEARD) -> Array:
        """Autocorrelation of each window up to just beyond the longest period."""
        power = np.abs(np.fft.rfft(windows, DFT, axis=1)) ** 2
        power[:, np.fft.rfftfreq(DFT, 1 / SAMPLE_RATE) > highest] = 0.0
        result: Array = np.fft.irfft(power, axis=1)[:, : self.longest + 2]
        return result

    def _candidates(self, shape: Array) -> tuple[Array, Array]:
        """Find the highest peaks: periods in samples and strengths, (T, NUM_CANDIDATES) each."""
        left, middle, right = (
            shape[:, self.shortest - 1 + k : self.longest + k] for k in range(3)
        )  # periods from the shortest to the longest in the middle
        peak = (middle > left) & (middle >= right)
        value = np.where(peak, middle, -1.0)
        # Long periods pay, or a steady tone's multiples would crowd the tone itself out.
        octaves = np.log2(np.arange(self.shortest, self.longest + 1) / self.shortest)
        paid = value - self.settings.octave_cost * octaves
        order = np.argsort(-paid, axis=1, kind="stable")[:, :NUM_CANDIDATES]
        a, b, c = (np.take_along_axis(part, order, axis=1) for part in (left, middle, right))
        bend = np.minimum(a - 2 * b + c, -FLOOR)
        shift = np.clip(0.5 * (a - c) / bend, -0.5, 0.5)
        found = np.take_along_axis(value, order, axis=1) >= 0.0
        strength = np.where(found, np.minimum(b - 0.25 * (a - c) * shift, 1.0), 0.0)
        return order + self.shortest + shift, strength

    def _cheapest_path(self, merit: Array, octaves: Array) -> NDArray[np.int64]:
        """Choose a candidate for every step; NUM_CANDIDATES is unvoiced."""
        steps, count = merit.shape
        turn, jump = self.settings.turn_cost, self.settings.jump_cost
        local = np.concatenate([merit, np.full((steps, 1), self.settings.voicing)], axis=1)
        total = local[0].copy()
        if self._octave is not None:
            total[:-1] -= jump * np.abs(octaves[0] - self._octave)
            total[-1] -= turn
        elif len(self._levels):
            total[:-1] -= turn
        cost = np.full((count + 1, count + 1), turn)
        cost[-1, -1] = 0.0
        jumps = jump * np.abs(octaves[:-1, :, None] - octaves[1:, None, :])
        back = np.zeros((steps, count + 1), np.int64)
        for step in range(1, steps):
            cost[:-1, :-1] = jumps[step - 1]
            reached = total[:, None] - cost
            back[step] = reached.argmax(axis=0)
            total = reached.max(axis=0) + local[step]
        path = np.zeros(steps, np.int64)
        path[-1] = total.argmax()
        for step in range(steps - 1, 0, -1):
            path[step - 1] = back[step, path[step]]
        return path
