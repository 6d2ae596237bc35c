"""Four logistic regressions and four support vector machines on functionals of a clip's scores.

Four ways to use them, written down before any was measured; which one counts is chosen by the loss
of a cross-validation inside the training clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from cache.manifest.clip import Clip
from trainer.data.corpus import Corpus
from trainer.data.folds import deal_by_label
from trainer.runs.predictions import Predictions

Array = NDArray[np.float64]
STRENGTHS = (0.01, 0.03, 0.1, 0.3)  # fixed beforehand; all eight classifiers are averaged
PERCENTILES = (0, 10, 25, 50, 75, 90, 100)
NUM_PARTS = 3
SOUND_WEIGHTS = (0.25, 0.5, 1.0)  # of sound that is classified apart
INNER_FOLDS = 5
# Name -> whether a clip's faces are described at length, and whether sound is classified apart.
WAYS = {
    "short, sound beside": (False, False),
    "long, sound beside": (True, False),
    "short, sound apart": (False, True),
    "long, sound apart": (True, True),
}


def describe_faces(scores: NDArray[np.float32], *, long: bool) -> Array:
    """Describe a clip's log scores of faces, (T, 7), by one vector.

    Args:
        scores: of every frame.
        long: beside mean and deviation also, of scores and their logarithms, percentiles; the
            course over three parts; how often each class is on top; and how many frames there are.
    """
    short = [scores.mean(axis=0), scores.std(axis=0)]
    if not long:
        return np.concatenate(short)
    plain = np.exp(scores)
    parts = np.array_split(scores, NUM_PARTS) if len(scores) >= NUM_PARTS else [scores] * NUM_PARTS
    top = np.bincount(scores.argmax(axis=1), minlength=scores.shape[1]) / len(scores)
    return np.concatenate(
        [
            *short, plain.mean(axis=0), plain.std(axis=0),
            *np.percentile(scores, PERCENTILES, axis=0), *np.percentile(plain, PERCENTILES, axis=0),
            *(part.mean(axis=0) - short[0] for part in parts), top, [np.log(len(scores))],
        ]
    )  # fmt: skip


def eight(features: Array, labels: NDArray[np.int64], others: Array) -> Array:
    """Fit the eight classifiers and average their probabilities of other clips.

    A support vector machine's margins are turned into probabilities by a softmax.
    """
    total = 0.0
    for strength in STRENGTHS:
        linear = LogisticRegression(C=strength, max_iter=1000)
        kernel = SVC(C=10 * strength, decision_function_shape="ovr")
        for classifier in (linear, kernel):
            fitted = make_pipeline(StandardScaler(), classifier).fit(features, labels)
            total = total + np.exp(log_softmax(fitted.decision_function(others), axis=1))
    result: Array = total / (2 * len(STRENGTHS))
    return result


def fuse(
    corpus: Corpus,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    way: str | None,
    weight: float = 1.0,
    *,
    long: bool = False,
) -> Array:
    """Probabilities of the test clips: by one of ``WAYS``, or of faces alone.

    How faces alone are described says ``long``; a way says it itself.

    Sound beside: a clip's log scores of sound stand beside what describes its faces; one without
    gets their mean over the training clips that have them. Sound apart: eight classifiers of the
    faces, eight of the sound of the training clips that have it, and the product of both.
    """
    long, apart = WAYS[way] if way else (long, False)
    part = corpus.sequences["audio"]
    faces = {i: describe_faces(corpus.sequences["video"].of(i), long=long) for i in (*train, *test)}
    shown, asked = (np.stack([faces[i] for i in clips]) for clips in (train, test))
    if way is None:
        return eight(shown, corpus.labels[train], asked)
    usual = part.values[part.rows(train)].mean(axis=0)
    heard, hearing = (
        np.stack([part.of(i)[0] if part.lengths[i] else usual for i in clips])
        for clips in (train, test)
    )
    if not apart:
        shown, asked = np.hstack([shown, heard]), np.hstack([asked, hearing])
        return eight(shown, corpus.labels[train], asked)
    has = part.lengths[train] > 0
    logs = np.log(eight(shown, corpus.labels[train], asked))
    logs += weight * np.log(eight(heard[has], corpus.labels[train[has]], hearing))
    result: Array = np.exp(log_softmax(logs, axis=1))
    return result


def cross_validate(
    corpus: Corpus, unseen: Sequence[int], others: Sequence[int], way: str | None, weight: float
) -> dict[str, float]:
    """Loss and accuracy of a way over the training clips that stand in for new ones."""
    index = np.array(unseen)
    names = [(corpus.clip_ids[i], corpus.classes[corpus.labels[i]]) for i in index]
    clips = [Clip(clip, Path(clip), label) for clip, label in names]
    turns = np.array(deal_by_label(clips, INNER_FOLDS, 0))
    found = np.zeros((len(index), len(corpus.classes)))
    for fold in range(INNER_FOLDS):
        train = np.sort(np.concatenate([index[turns != fold], others])).astype(int)
        found[turns == fold] = fuse(corpus, train, index[turns == fold], way, weight)
    labels = corpus.labels[index]
    loss = -np.log(found[np.arange(len(index)), labels]).mean()
    return {"loss": float(loss), "accuracy": float((found.argmax(axis=1) == labels).mean())}


def choose_way(
    corpus: Corpus, unseen: Sequence[int], others: Sequence[int]
) -> list[dict[str, Any]]:
    """Cross-validate every way with sound, and every weight of sound apart; lowest loss first."""
    found: list[dict[str, Any]] = []
    for way, (_, apart) in WAYS.items():
        for weight in SOUND_WEIGHTS if apart else (1.0,):
            figures = cross_validate(corpus, unseen, others, way, weight)
            found.append({"way": way, "weight": weight, **figures})
    return sorted(found, key=lambda line: float(line["loss"]))


def as_predictions(corpus: Corpus, test: Sequence[int], probabilities: Array) -> Predictions:
    """The table of some validation clips' probabilities."""
    order = sorted(range(len(test)), key=lambda row: corpus.clip_ids[test[row]])
    return Predictions(
        classes=corpus.classes,
        clips=tuple(corpus.clip_ids[test[row]] for row in order),
        labels=tuple(corpus.classes[corpus.labels[test[row]]] for row in order),
        probabilities=probabilities[order],
        folds=(None,) * len(order),
        splits=("val",) * len(order),
        modalities=("audio+video",) * len(order),
    )
