"""Spectrogram of a clip as a small picture, from the features that the cache holds of its sound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.sets.feature_set import FeatureSet, list_sets

SOUNDS = ("logmel", "spectrogram")  # sets that can be drawn, the one that is taken first
BLOCK = 8192  # steps read at a time; those of hours would fill the memory


@dataclass(frozen=True)
class Spectrogram:
    """Log energies of a clip, averaged over short stretches of time.

    Shapes (W columns, F bins):
        ``energies``: (W, F), float64.

    Attributes:
        energies: see above; low frequencies first.
        span: seconds where the first column begins and the last one ends; sound may come late.
    """

    energies: np.ndarray
    span: tuple[float, float]

    def to_grey(self) -> np.ndarray:
        """Return the picture, (F, W), uint8: high frequencies on top, loud is dark.

        The softest and the loudest fiftieth of the clip are white and black.
        """
        low, high = np.quantile(self.energies, (0.02, 0.98))
        loud = np.clip((self.energies - low) / max(float(high - low), 1e-9), 0, 1)
        return np.ascontiguousarray((255 * (1 - loud)).round().astype(np.uint8).T[::-1])


def read_spectrogram(feature_set: FeatureSet, clip: str, columns: int) -> Spectrogram | None:
    """Read a clip's energies and average them over at most so many columns; None without sound.

    Raises:
        FileNotFoundError: there is no entry.
        EntryError: it is damaged.
        OSError: it can't be read.
    """
    with feature_set.open_entry(clip) as opened:
        rows, times = opened.rows[feature_set.spec.name], opened.rows["times"]
        steps = len(times)
        if not steps:
            return None
        first, last = (float(times[slice(step, step + 1)][0]) for step in (0, steps - 1))
        width = min(columns, steps)
        sums, counts = np.zeros((width, rows.shape[1])), np.zeros(width)
        for start in range(0, steps, BLOCK):
            values = rows[slice(start, start + BLOCK)]
            energies = values if values.ndim == 2 else values[:, :, 0]  # behind it are its deltas
            column = np.arange(start, start + len(energies)) * width // steps
            np.add.at(sums, column, energies)
            np.add.at(counts, column, 1)
    half = (last - first) / (steps - 1) / 2 if steps > 1 else 0.0
    return Spectrogram(sums / counts[:, None], (max(0.0, first - half), last + half))


def find_sound(cache: Path) -> FeatureSet | None:
    """Find a set that can be drawn as a spectrogram; of several of one name the first."""
    sets = {one.spec.name: one for one in reversed(list_sets(cache))}
    return next((sets[name] for name in SOUNDS if name in sets), None)
