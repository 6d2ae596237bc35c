"""Temperature: make a head's probabilities mean what they say, without changing its answers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Of the training clips of a fold, by speaker where speakers are known: fitted on, then trained on.
HELD_OUT = 0.2
LEAST, MOST = 0.25, 10.0
_TINY = 1e-30


def temper(
    probabilities: NDArray[np.float64], temperature: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Make probabilities less sure (above 1) or surer (below 1); the order of classes stays.

    Shapes (N clips, C classes):
        ``probabilities``: (N, C), rows sum to 1.
        result: (N, C), proportional to their powers of 1 / ``temperature``; rows sum to 1. The
        inverse temperature undoes it, up to rounding.

    Args:
        probabilities: of a head.
        temperature: one for all clips, or (N, 1).
    """
    # Divided by the largest, so that powers of small ones don't vanish together.
    powers = (probabilities / probabilities.max(axis=1, keepdims=True)) ** (1.0 / temperature)
    result: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return result


def fit_temperature(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Fit a temperature to clips that a head was not trained on.

    Args:
        probabilities: (N, C) of the head.
        labels: (N,) index of each clip's class.

    Returns:
        The temperature with the lowest cross-entropy, from ``LEAST`` to ``MOST``; 1 without clips.

    Source:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4. Differs from
        it: class weights of a prior are inside the probabilities; bounds, as few clips that are
        all right would ask for 0.
    """
    from scipy.optimize import minimize_scalar

    if not len(labels):
        return 1.0
    logs = np.log(np.maximum(probabilities, _TINY))
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scores = logs / np.exp(log_temperature)
        top = scores.max(axis=1, keepdims=True)
        total = top[:, 0] + np.log(np.exp(scores - top).sum(axis=1))
        return float((total - scores[rows, labels]).mean())

    found = minimize_scalar(loss, bounds=(np.log(LEAST), np.log(MOST)), method="bounded")
    return float(np.exp(found.x))
