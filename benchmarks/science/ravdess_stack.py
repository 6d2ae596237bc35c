"""Fusion of RAVDESS's classifiers and heads: products, and weights chosen by training speakers.

For weights that are chosen inside the training speakers each pair of folds is also held out
together: such a model stands for one of its folds while the weights of the other are fitted.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from benchmarks.science.ravdess_aligned import CLASSIFIERS, Array, Takes, classified, headed
from trainer.runs.predictions import Predictions

NUM_FOLDS = 6
SMOOTHING = 1e-2  # keeps fitted fusion weights near equal ones
# Products of equal weights, written down before the folds were measured with them.
FOUR = (
    "LDA, aligned sound", "SVM, aligned sound", "LDA, action units", "SVM, action units",
)  # fmt: skip
FIVE = (*FOUR, "LDA, squared action units")


def fit_weights(members: Sequence[Array], labels: NDArray[np.int64]) -> Array:
    """Weights, none below 0, of members' log-probabilities: those of lowest cross-entropy."""
    stacked = np.stack(members)
    rows = np.arange(len(labels))
    equal = 1.0 / len(members)

    def loss(weights: Array) -> float:
        scores = log_softmax(np.tensordot(weights, stacked, 1), axis=1)
        return float(-scores[rows, labels].mean() + SMOOTHING * np.square(weights - equal).sum())

    start = np.full(len(members), equal)
    weights: Array = minimize(loss, start, bounds=[(0.0, None)] * len(members)).x
    return weights


def stack(
    takes: Takes, names: Sequence[str], outer: Mapping[int, Any], pairs: Mapping[Any, Any]
) -> tuple[Array, list[Array]]:
    """Fuse members by weights that each fold's training speakers choose.

    Args:
        takes: the clips.
        names: the members.
        outer: fold -> members' log-probabilities of it.
        pairs: (fold, fold) -> of both, by models that saw neither.

    Returns:
        (N, C) logarithms of fused probabilities, and the weights of each fold.
    """
    fused = np.zeros((len(takes.clips), next(iter(outer[0].values())).shape[1]))
    chosen = []
    for fold in range(NUM_FOLDS):
        inner: list[list[Array]] = [[] for _ in names]
        labels = []
        for other in range(NUM_FOLDS):
            if other == fold:
                continue
            pair = (min(fold, other), max(fold, other))
            own = takes.folds[np.isin(takes.folds, pair)] == other
            labels.append(takes.labels[takes.folds == other])
            for number, name in enumerate(names):
                inner[number].append(pairs[pair][name][own])
        weights = fit_weights([np.concatenate(part) for part in inner], np.concatenate(labels))
        scores = sum(w * outer[fold][name] for w, name in zip(weights, names, strict=True))
        fused[takes.folds == fold] = log_softmax(scores, axis=1)
        chosen.append(weights)
    return fused, chosen


def all_pairs() -> list[tuple[int, int]]:
    """Every two folds."""
    return list(itertools.combinations(range(NUM_FOLDS), 2))


def aligned_systems(
    takes: Takes,
    classes: Sequence[str],
    folder: Path,
    heads: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    ablations: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, list[Predictions]], dict[str, Any]]:
    """Every system on aligned sound, and the weights that the training speakers chose."""
    outer: list[dict[int, dict[str, Array]]] = []
    results: dict[str, list[Predictions]] = {}
    for prefix, transductive in (("", False), ("transductive: ", True)):
        plain = {
            fold: classified(takes, (fold,), folder, transductive=transductive)
            for fold in range(NUM_FOLDS)
        }
        outer = [
            {
                fold: plain[fold]
                | headed(takes, (fold,), folder, heads, seed, transductive=transductive)
                for fold in range(NUM_FOLDS)
            }
            for seed in seeds
        ]
        found = {name: [pool(takes, plain, [name])] for name in CLASSIFIERS}
        found |= {name: [pool(takes, part, [name]) for part in outer] for name in heads}
        found["product of four"] = [pool(takes, plain, FOUR)]
        found["product of five"] = [pool(takes, plain, FIVE)]
        found["product of five and the head"] = [
            pool(takes, part, (*FIVE, next(iter(heads)))) for part in outer
        ]
        if not transductive:
            standard = outer
        results |= {
            prefix + name: [as_predictions(takes, classes, part) for part in parts]
            for name, parts in found.items()
        }
    changed = {
        fold: headed(takes, (fold,), folder, ablations, seeds[0], group="ablation")
        for fold in range(NUM_FOLDS)
    }
    for name in ablations:
        results[name] = [as_predictions(takes, classes, pool(takes, changed, [name]))]
    pairs = {
        pair: classified(takes, pair, folder) | headed(takes, pair, folder, heads, seeds[0])
        for pair in all_pairs()
    }
    names = [*CLASSIFIERS, *heads]
    stacked = [stack(takes, names, part, pairs) for part in standard]
    results["stack, weights by training speakers"] = [
        as_predictions(takes, classes, fused) for fused, _ in stacked
    ]
    weights = [dict(zip(names, map(float, part), strict=True)) for part in stacked[0][1]]
    return results, {"weights of the stack, first seed, by fold": weights}


def pool(takes: Takes, outer: Mapping[int, Mapping[str, Array]], names: Sequence[str]) -> Array:
    """The product of some members' probabilities over all folds: (N, C) logarithms."""
    first = outer[0][names[0]]
    fused = np.zeros((len(takes.clips), first.shape[1]))
    for fold, members in outer.items():
        scores = np.sum([members[name] for name in names], axis=0)
        fused[takes.folds == fold] = log_softmax(scores, axis=1)
    return fused


def as_predictions(takes: Takes, classes: Sequence[str], scores: Array) -> Predictions:
    """The table of all clips' probabilities, ordered by clip."""
    order = np.argsort(takes.clips)
    count = len(order)
    return Predictions(
        classes=tuple(classes),
        clips=tuple(takes.clips[i] for i in order),
        labels=tuple(classes[takes.labels[i]] for i in order),
        probabilities=np.exp(scores[order]),
        folds=tuple(int(takes.folds[i]) for i in order),
        splits=(None,) * count,
        modalities=("audio+video",) * count,
    )
