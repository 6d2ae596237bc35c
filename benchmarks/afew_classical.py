"""Four logistic regressions and four support vector machines on a clip's mean scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from trainer.corpus import Corpus
from trainer.predictions import Predictions

STRENGTHS = (0.01, 0.03, 0.1, 0.3)  # fixed beforehand; all eight classifiers are averaged


def classify(
    corpus: Corpus, train: Sequence[int], test: Sequence[int], *, sound: bool
) -> Predictions:
    """Fit the eight classifiers on some clips and average their probabilities for others.

    They see mean and deviation of a clip's log scores of faces and, with ``sound``, its log scores
    of sound; a clip without these gets their mean over the training clips that have them.
    A support vector machine's margins are turned into probabilities by a softmax.
    """
    clips = np.array([*train, *test])
    faces = [corpus.sequences["video"].of(i) for i in clips]
    features = np.array([np.concatenate([f.mean(axis=0), f.std(axis=0)]) for f in faces])
    if sound:
        part = corpus.sequences["audio"]
        usual = part.values[part.rows(np.array(train))].mean(axis=0)
        heard = [part.of(i)[0] if part.lengths[i] else usual for i in clips]
        features = np.concatenate([features, heard], axis=1)
    labels = corpus.labels[np.array(train)]
    total = np.zeros((len(test), len(corpus.classes)))
    for strength in STRENGTHS:
        linear = LogisticRegression(C=strength, max_iter=1000)
        kernel = SVC(C=10 * strength, decision_function_shape="ovr")
        for classifier in (linear, kernel):
            fitted = make_pipeline(StandardScaler(), classifier)
            fitted.fit(features[: len(train)], labels)
            scores = fitted.decision_function(features[len(train) :])
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            total += scores / scores.sum(axis=1, keepdims=True)
    order = sorted(range(len(test)), key=lambda row: corpus.clip_ids[test[row]])
    return Predictions(
        classes=corpus.classes,
        clips=tuple(corpus.clip_ids[test[row]] for row in order),
        labels=tuple(corpus.classes[corpus.labels[test[row]]] for row in order),
        probabilities=total[order] / (2 * len(STRENGTHS)),
        folds=(None,) * len(order),
        splits=("val",) * len(order),
        modalities=("audio+video" if sound else "video",) * len(order),
    )
