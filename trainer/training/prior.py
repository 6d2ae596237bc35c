"""Priors: class weights that multiply a head's probabilities.

icmi19 "re-weights the predicted scores by the square root of the sample numbers" with a vector
that turns out to be made from the **test** labels of AFEW. The honest kinds count training clips.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Zhou et al., ICMI 2019, section 3: [0.15, 0.097, 0.129, 0.185, 0.138, 0.082, 0.215].
# It is the square root of the AFEW test set's class counts: a leak, whatever it is used for.
AFEW_TEST = {
    "angry": 0.15,
    "disgust": 0.097,
    "fear": 0.129,
    "happy": 0.185,
    "sad": 0.138,
    "surprise": 0.082,
    "neutral": 0.215,
}


def prior_weights(
    prior: str, classes: Sequence[str], train_labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Weigh the classes as a prior says.

    Args:
        prior: "none", "train" (training counts), "sqrt-train" (their square root) or
            "afew-test" (icmi19's vector, a leak).
        classes: names of the classes.
        train_labels: class index of each training clip.

    Returns:
        (C,) weights that sum to 1.

    Raises:
        ValueError: "afew-test" with classes other than AFEW's seven, or an unknown prior.
    """
    if prior == "none":
        weights = np.ones(len(classes))
    elif prior in ("train", "sqrt-train"):
        counts = np.bincount(train_labels, minlength=len(classes)).astype(np.float64)
        weights = np.sqrt(counts) if prior == "sqrt-train" else counts
    elif prior == "afew-test":
        names = [name.lower() for name in classes]
        if sorted(names) != sorted(AFEW_TEST):
            raise ValueError(
                f"prior=afew-test is for the classes {', '.join(AFEW_TEST)}, "
                f"got {', '.join(classes)}"
            )
        weights = np.array([AFEW_TEST[name] for name in names])
    else:
        raise ValueError(f"prior must be none, train, sqrt-train or afew-test, got {prior!r}")
    return np.asarray(weights / weights.sum())


def apply_prior(
    probabilities: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Multiply (N, C) probabilities by class weights and make each row sum to 1 again."""
    weighted = probabilities * weights
    total = weighted.sum(axis=1, keepdims=True)
    # A row whose whole probability lies in classes of weight 0 stays as it is.
    return np.where(total > 0, weighted / np.where(total > 0, total, 1.0), probabilities)
