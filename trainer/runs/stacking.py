"""Weights of an ensemble, fitted for each fold on predictions of its training clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.runs.predictions import (
    Predictions,
    PredictionsError,
    check_all_same,
    join_members,
    log_probabilities,
    multiply,
)

Array = NDArray[np.float64]
SMOOTHING = 1e-2  # keeps fitted weights near equal ones
Nested = Mapping[int | None, Predictions]


def fit_weights(logs: Sequence[Array], labels: NDArray[np.int64]) -> Array:
    """Weigh members' log-probabilities so that their product has the lowest cross-entropy.

    Args:
        logs: (N, C) of each of M members.
        labels: (N,) index of each clip's class.

    Returns:
        (M,) weights, none below 0. ``SMOOTHING`` times their squared distance from 1 / M is part of
        what is minimised, so that members that say the same share their weight.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    stacked = np.stack(logs)
    rows = np.arange(len(labels))
    equal = 1.0 / len(logs)

    def loss(weights: Array) -> tuple[float, Array]:
        scores = log_softmax(np.tensordot(weights, stacked, 1), axis=1)
        excess = np.exp(scores)
        excess[rows, labels] -= 1.0
        value = -scores[rows, labels].mean() + SMOOTHING * np.square(weights - equal).sum()
        slope = np.tensordot(stacked, excess, 2) / len(labels) + 2 * SMOOTHING * (weights - equal)
        return float(value), slope

    start = np.full(len(logs), equal)
    weights: Array = minimize(loss, start, jac=True, bounds=[(0.0, None)] * len(logs)).x
    return weights


def stack(
    members: Sequence[Predictions], nested: Sequence[Nested], names: Sequence[str]
) -> tuple[Predictions, dict[int | None, Array]]:
    """Fuse runs by weights that each fold's training clips choose.

    Args:
        members: the predictions of each run.
        nested: of each run, the predictions of the training clips of each fold, by the fold.
        names: how messages call the runs.

    Returns:
        The fused predictions, and the weights by fold.

    Raises:
        PredictionsError: the runs differ in clips, classes, labels or folds, those of the training
            clips too; or training clips that weights would be fitted on are among a fold's own.
    """
    check_all_same(members, names)
    first = members[0]
    for name, member, own in zip(names, members, nested, strict=True):
        if member.folds != first.folds or own.keys() != set(first.folds):
            raise PredictionsError(
                f"{name} is divided into other folds than {names[0]}; a stack needs runs with the "
                "same --folds, or --split"
            )
    probabilities = np.empty_like(first.probabilities)
    weights: dict[int | None, Array] = {}
    for fold in sorted({*first.folds}, key=lambda fold: -1 if fold is None else fold):
        tables = [own[fold] for own in nested]
        check_all_same(tables, [f"{name}, training clips of fold {fold}" for name in names])
        tested = np.array([other == fold for other in first.folds])
        if shared := {*tables[0].clips} & {*np.array(first.clips)[tested].tolist()}:
            raise PredictionsError(
                f"{min(shared)} is a test clip of fold {fold} and among the clips that its weights "
                "would be fitted on; train the runs again with --nested"
            )
        labels = np.array([tables[0].classes.index(label) for label in tables[0].labels])
        logs = [log_probabilities(table.probabilities) for table in tables]
        weights[fold] = fit_weights(logs, labels)
        asked = [log_probabilities(member.probabilities[tested]) for member in members]
        probabilities[tested] = multiply(asked, weights[fold])
    return join_members(members, probabilities), weights
