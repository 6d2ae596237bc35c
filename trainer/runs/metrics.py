"""Metrics of predictions: accuracy with its interval, UAR, macro F1, recall, confusion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, f1_score

from cache.codec import JsonFields

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Metrics(JsonFields):
    """Metrics of the predictions for ``n`` clips; None stands for a figure that is not defined.

    Args:
        n: number of clips.
        correct: how many predictions equal the label.
        accuracy: ``correct / n``, also called WAR; None without clips.
        interval: Wilson 95 % interval of the accuracy.
        uar: mean recall over the classes that have clips.
        macro_f1: mean F1 over the classes that have clips.
        recall: class to its recall; None for a class without clips.
        without_clips: classes that no clip has, which are left out of ``uar`` and ``macro_f1``.
        confusion: rows are labels, columns predictions, in the order of the classes.
    """

    n: int
    correct: int
    accuracy: float | None
    interval: tuple[float, float] | None
    uar: float | None
    macro_f1: float | None
    recall: dict[str, float | None]
    without_clips: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Spread(JsonFields):
    """Mean and deviation of one figure over seeds, folds or runs.

    Args:
        mean: the mean; None where no value is defined.
        deviation: sample deviation (divisor ``count - 1``); None below two values.
        count: how many values are defined.
        values: each value, in order.
    """

    mean: float | None
    deviation: float | None
    count: int
    values: tuple[float | None, ...]


def measure(labels: Sequence[str], predictions: Sequence[str], classes: Sequence[str]) -> Metrics:
    """Compare predictions with labels.

    Args:
        labels: one label per clip.
        predictions: one class per clip, in the same order.
        classes: every class, in the order of the confusion matrix.

    Returns:
        The figures. A class that no clip has is left out of the means and named; a class that
        is never predicted has F1 0.

    Raises:
        ValueError: the lengths differ, or a label or a prediction is not one of ``classes``.
    """
    if len(labels) != len(predictions):
        raise ValueError(f"got {len(labels)} labels and {len(predictions)} predictions")
    unknown = sorted({*labels, *predictions} - set(classes))
    if unknown:
        raise ValueError(
            f"{', '.join(map(repr, unknown))} is not one of the classes {', '.join(classes)}"
        )
    n = len(labels)
    present = [name for name in classes if name in set(labels)]
    if n:
        confusion = confusion_matrix(list(labels), list(predictions), labels=list(classes))
        macro_f1 = float(
            f1_score(
                list(labels), list(predictions), labels=present, average="macro", zero_division=0
            )
        )
    else:
        confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
        macro_f1 = math.nan
    recall: dict[str, float | None] = {
        name: int(row[i]) / int(row.sum()) if row.sum() else None
        for i, (name, row) in enumerate(zip(classes, confusion, strict=True))
    }
    recalls = [value for value in recall.values() if value is not None]
    correct = int(np.trace(confusion))
    return Metrics(
        n=n,
        correct=correct,
        accuracy=correct / n if n else None,
        interval=wilson_interval(correct, n),
        uar=sum(recalls) / len(recalls) if recalls else None,
        macro_f1=macro_f1 if n else None,
        recall=recall,
        without_clips=tuple(name for name in classes if recall[name] is None),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
    )


def wilson_interval(correct: int, n: int) -> tuple[float, float] | None:
    """Compute the 95 % interval of a share of ``n`` independent clips; None without clips.

    Source:
        Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    if n == 0:
        return None
    interval = binomtest(correct, n).proportion_ci(confidence_level=CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def spread(values: Sequence[float | None]) -> Spread:
    """Compute mean and sample deviation of the values that are defined."""
    defined = np.array([value for value in values if value is not None], dtype=np.float64)
    return Spread(
        mean=float(defined.mean()) if defined.size else None,
        deviation=float(defined.std(ddof=1)) if defined.size > 1 else None,
        count=int(defined.size),
        values=tuple(values),
    )


def spread_of(metrics: Sequence[Metrics]) -> dict[str, Spread]:
    """Compute the spread of accuracy, UAR and macro F1 over several metrics."""
    return {
        "accuracy": spread([one.accuracy for one in metrics]),
        "uar": spread([one.uar for one in metrics]),
        "macro_f1": spread([one.macro_f1 for one in metrics]),
    }
