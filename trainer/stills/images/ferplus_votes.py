"""Votes of FER+: ten people's opinions of a face, as labels and targets.

Source: Barsoum, Zhang, Canton Ferrer, Zhang, "Training Deep Networks for Facial Expression
Recognition with Crowd-Sourced Label Distribution", ICMI 2016, section 3, and its published code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from extractors.weights.class_names import name_classes

PUBLISHED = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
)
FERPLUS_CLASSES = name_classes(PUBLISHED)
# Votes that are no expression: "unknown" and "not a face", the last two columns.
NUM_OTHER = 2


def without_outliers(votes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Set single votes to 0: one of ten people alone counts as a slip."""
    return np.where(votes > 1, votes, 0)


def majority_labels(votes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the class that more than half of the votes agree on.

    Single votes are dropped first. A face without such a majority, or whose majority says unknown
    or not a face, is left out of tests by the authors.

    Shapes (N faces):
        ``votes``: (N, 10), integers, the eight classes and the two others.
        result: (N,), class 0 to 7, or -1 where the face is left out.
    """
    kept = without_outliers(votes)
    winner = kept.argmax(axis=1)
    agreed = kept.max(axis=1) > 0.5 * kept.sum(axis=1)
    return np.where(agreed & (winner < len(FERPLUS_CLASSES)), winner, -1).astype(np.int64)


def vote_targets(votes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the distribution of a face's votes over the eight classes.

    Single votes are dropped, then those for the two others. A face on which they leave nothing, or
    where the others outweigh every class, gets zeros: it is not trained on.

    Shapes (N faces):
        ``votes``: (N, 10), integers.
        result: (N, 8), rows that sum to 1, or to 0 where the face is left out.
    """
    kept = without_outliers(votes)
    classes, others = kept[:, :-NUM_OTHER], kept[:, -NUM_OTHER:]
    usable = (classes.max(axis=1) > 0) & (classes.max(axis=1) >= others.max(axis=1))
    total = np.maximum(classes.sum(axis=1, keepdims=True), 1)
    return np.where(usable[:, None], classes / total, 0.0).astype(np.float32)
