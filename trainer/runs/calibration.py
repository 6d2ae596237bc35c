"""Calibration: whether of the clips a head is 80 % sure of, 80 % are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cache.codec import JsonFields

NUM_BINS = 10


@dataclass(frozen=True)
class Bin(JsonFields):
    """Clips whose highest probability lies above ``low`` and at or below ``high``.

    Args:
        low: the bin's lower end.
        high: its upper end.
        n: number of clips.
        confidence: mean of their highest probabilities; None without clips.
        accuracy: share of them that is right; None without clips.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration(JsonFields):
    """Distance of the predicted classes' probabilities from the shares that are right.

    Args:
        ece: expected calibration error, in [0, 1]: the mean over clips of the distance between
            their bin's confidence and its accuracy; None without clips. Chance alone keeps it
            above 0, the more so the fewer clips a bin has.
        bins: of equal width, from 0 to 1.
    """

    ece: float | None
    bins: tuple[Bin, ...]


def measure_calibration(probabilities: NDArray[np.float64], correct: Sequence[bool]) -> Calibration:
    """Compute the expected calibration error and the bins of a reliability curve.

    Shapes (N clips, C classes):
        ``probabilities``: (N, C), float, rows sum to 1.
        ``correct``: N values, whether the most probable class is the label.

    Source:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. Differs from it:
        ``NUM_BINS`` bins where its tables have 15, as there are fewer clips here.
    """
    confidence = probabilities.max(axis=1) if len(correct) else np.zeros(0)
    right = np.asarray(correct, dtype=bool)
    edges = np.arange(NUM_BINS + 1) / NUM_BINS
    # Rounding may lift a sum over 1, and with it a probability.
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, NUM_BINS - 1)
    bins = []
    ece = 0.0
    for number, (low, high) in enumerate(pairwise(edges)):
        inside = place == number
        n = int(inside.sum())
        sure = float(confidence[inside].mean()) if n else None
        share = float(right[inside].mean()) if n else None
        bins.append(Bin(float(low), float(high), n, sure, share))
        if sure is not None and share is not None:
            ece += n / len(right) * abs(share - sure)
    return Calibration(ece if len(right) else None, tuple(bins))
