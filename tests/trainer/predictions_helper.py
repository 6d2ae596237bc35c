"""Predictions for tests, built from a few words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.runs.predictions import BOTH, Predictions

CLASSES = ("angry", "happy", "sad")


def predictions_of(
    labels: str,
    predicted: str,
    *,
    folds: Sequence[int | None] | None = None,
    modalities: Sequence[str] | None = None,
    untrained: bool = False,
    classes: tuple[str, ...] = CLASSES,
    sure: float = 0.7,
    speakers: Sequence[str | None] = (),
) -> Predictions:
    """One clip per letter, ``c00``, ``c01`` ...; a letter is the first one of a class."""
    by_letter = {name[0]: i for i, name in enumerate(classes)}
    probabilities = np.full((len(labels), len(classes)), (1 - sure) / (len(classes) - 1))
    for row, letter in enumerate(predicted):
        probabilities[row, by_letter[letter]] = sure
    return Predictions(
        classes=classes,
        clips=tuple(f"c{i:02}" for i in range(len(labels))),
        labels=tuple(classes[by_letter[letter]] for letter in labels),
        probabilities=probabilities,
        folds=tuple(folds) if folds is not None else (None,) * len(labels),
        splits=("val",) * len(labels) if folds is None else (None,) * len(labels),
        modalities=tuple(modalities) if modalities is not None else (BOTH,) * len(labels),
        untrained=untrained,
        speakers=tuple(speakers),
    )
