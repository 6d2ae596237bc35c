"""Support vector machines in the same folds of speakers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from cache.manifest import Manifest
from trainer.available import load_available
from trainer.normalisation import normalise
from trainer.predictions import Predictions, pool_predictions
from trainer.settings import TrainSettings
from trainer.splits import make_plan

GRID = {"svc__C": [10.0]}
VIDEO_WEIGHTS = (1.0, 3.0)  # of the few action units against the many numbers of sound
INNER_FOLDS = 3


def svm_folds(
    manifest: Manifest,
    cache: Path,
    settings: TrainSettings,
    modalities: Sequence[str],
    classes: Sequence[str],
    folds: str,
) -> Predictions:
    """Fit and test a support vector machine in every fold.

    The weight of the action units is chosen by folds of speakers inside the training clips.
    Margins are turned into probabilities by a softmax. ``settings`` say which sets are read and
    whether they are normalised per speaker; a standard normalisation is fitted in each fold.
    """
    labels = {clip.clip: clip.label or "" for clip in manifest.clips}
    speakers = {clip.clip: clip.speaker for clip in manifest.clips}
    corpus = load_available(cache, labels, settings, classes=classes, speakers=speakers).corpus
    steps = normalise(corpus, {}, settings)  # per speaker, or as they are
    who = np.array([speakers[clip] for clip in corpus.clip_ids])
    tables = []
    for fold in make_plan(manifest.clips, folds=folds).folds:
        train = corpus.indices([clip.clip for clip in fold.train])
        clips = sorted(clip.clip for clip in fold.test)
        test = corpus.indices(clips)
        parts = {n: StandardScaler().fit(steps[n].values[train]) for n in modalities}
        scaled = {n: part.transform(steps[n].values) for n, part in parts.items()}
        best, features = None, np.zeros(0)
        for weight in VIDEO_WEIGHTS if len(modalities) > 1 else VIDEO_WEIGHTS[:1]:
            weighted = [scaled[n] * (weight if n == "video" else 1.0) for n in modalities]
            candidate = np.concatenate(weighted, axis=1)
            search = GridSearchCV(Pipeline([("svc", SVC())]), GRID, cv=GroupKFold(INNER_FOLDS))
            search.fit(candidate[train], corpus.labels[train], groups=who[train])
            if best is None or search.best_score_ > best.best_score_:
                best, features = search, candidate
        assert best is not None
        scores = 2.0 * best.decision_function(features[test])
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        tables.append(
            Predictions(
                classes=tuple(classes),
                clips=tuple(clips),
                labels=tuple(labels[clip] for clip in clips),
                probabilities=scores / scores.sum(axis=1, keepdims=True),
                folds=(fold.number,) * len(clips),
                splits=(None,) * len(clips),
                modalities=("+".join(sorted(modalities)),) * len(clips),
            )
        )
    return pool_predictions(tables)
