"""RAVDESS with aligned sound: classifiers and heads for each way of holding speakers out.

Everything that is fitted sees the training speakers alone, the templates of the alignment too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.science.alignment import align, aligned_functionals, make_template
from cache.settings import settings_from
from trainer.data.corpus import Corpus
from trainer.data.sequences import Sequences
from trainer.settings import TrainSettings
from trainer.training.predict import predict_head
from trainer.training.train import train_head

Array = NDArray[np.float64]
NUM_INTENSITIES = 17  # of action units; then come 18 presences, unit 28 without an intensity
PRESENCES = [*range(17, 33), 34]
LARGEST = 5.0  # deviations; a pitch lost for good says no more than that
FACE_WEIGHT = 3.0  # of 35 action units against 794 numbers of sound, in one kernel


@dataclass(frozen=True)
class Takes:
    """Facts of N clips.

    Args:
        clips: their ids.
        labels: (N,) index of the class.
        speakers: (N,) who speaks.
        folds: (N,) fold in which the clip is tested.
        sentences: (N,) which of two sentences is said; used of training clips.
        voice: (N, D) functionals of the whole clip.
        face: (N, 35) action units.
        contours: (T, 26) of each clip.
        steps: (T / 2, 28) of each clip, to be aligned.
    """

    clips: tuple[str, ...]
    labels: NDArray[np.int64]
    speakers: NDArray[np.int64]
    folds: NDArray[np.int64]
    sentences: NDArray[np.int64]
    voice: Array
    face: Array
    contours: Sequence[np.ndarray]
    steps: Sequence[np.ndarray]


def sound_of(takes: Takes, train: NDArray[np.int64]) -> Array:
    """Aligned functionals and those of the whole clip, of all clips; (N, 580 + D)."""
    templates = [
        make_template([takes.steps[i] for i in train if takes.sentences[i] == sentence])
        for sentence in (0, 1)
    ]
    found = [align(template, takes.steps) for template in templates]
    said = np.argmin([part.costs for part in found], axis=0)
    aligned = [
        aligned_functionals(
            takes.contours[i], found[s].places[i, : len(takes.steps[i])], len(templates[s])
        )
        for i, s in enumerate(said)
    ]
    return np.concatenate([np.stack(aligned), takes.voice], axis=1)


def per_speaker(values: Array, speakers: NDArray[np.int64]) -> Array:
    """Normalise by each speaker's own clips, those tested too: transductive."""
    result = np.empty_like(values)
    for speaker in np.unique(speakers):
        own = speakers == speaker
        result[own] = StandardScaler().fit_transform(values[own])
    return result


def lda(train: Array, labels: NDArray[np.int64], test: Array) -> Array:
    """Linear discriminant analysis with a half-shrunk covariance."""
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.5).fit(train, labels)
    scores: Array = log_softmax(model.decision_function(test), axis=1)
    return scores


def light_lda(train: Array, labels: NDArray[np.int64], test: Array) -> Array:
    """Linear discriminant analysis with a fifth-shrunk covariance, for few numbers."""
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2).fit(train, labels)
    scores: Array = log_softmax(model.decision_function(test), axis=1)
    return scores


def svm(train: Array, labels: NDArray[np.int64], test: Array) -> Array:
    """A support vector machine; twice its votes and margins are taken for logits."""
    scores: Array = log_softmax(2 * SVC(C=10).fit(train, labels).decision_function(test), axis=1)
    return scores


def logistic(train: Array, labels: NDArray[np.int64], test: Array) -> Array:
    """Logistic regression."""
    model = LogisticRegression(C=0.1, max_iter=1000).fit(train, labels)
    scores: Array = model.predict_log_proba(test)
    return scores


CLASSIFIERS: dict[str, tuple[Callable[[Array, NDArray[np.int64], Array], Array], str]] = {
    "LDA, aligned sound": (lda, "sound"),
    "SVM, aligned sound": (svm, "sound"),
    "LDA, action units": (lda, "face"),
    "SVM, action units": (svm, "face"),
    "LR, action units": (logistic, "face"),
    "LDA, squared action units": (light_lda, "squares"),
    "LDA, both": (lda, "both"),
    "SVM, both": (svm, "both"),
}


def features_of(
    takes: Takes, held: Sequence[int], folder: Path, *, transductive: bool = False
) -> dict[str, Array]:
    """Features of all clips for models that hold some folds out: "sound", "face" ... by name.

    What is fitted for them, the templates and the standard normalisation, sees the other folds.
    """
    train = ~np.isin(takes.folds, held)
    path = folder / f"sound-{'-'.join(map(str, held))}.npz"
    if not path.exists():
        save_whole(path, sound=sound_of(takes, np.flatnonzero(train)))
    face = takes.face
    squares = np.hstack([face, face**2, face[:, :NUM_INTENSITIES] * face[:, PRESENCES]])
    parts = {"sound": read_arrays(path)["sound"], "face": face, "squares": squares}
    if transductive:
        parts = {name: per_speaker(part, takes.speakers) for name, part in parts.items()}
    scaled = {
        name: np.clip(StandardScaler().fit(part[train]).transform(part), -LARGEST, LARGEST)
        for name, part in parts.items()
    }
    return scaled | {"both": np.hstack([scaled["sound"], FACE_WEIGHT * scaled["face"]])}


def classified(
    takes: Takes, held: Sequence[int], folder: Path, *, transductive: bool = False
) -> dict[str, Array]:
    """Log-probabilities of the held-out clips by every classifier; what is there is read."""
    path = folder / f"{_kind(transductive)}-{'-'.join(map(str, held))}.npz"
    found = read_arrays(path) if path.exists() else {}
    missing = [name for name in CLASSIFIERS if name not in found]
    if missing:
        features = features_of(takes, held, folder, transductive=transductive)
        test = np.isin(takes.folds, held)
        for name in missing:
            classify, what = CLASSIFIERS[name]
            part = features[what]
            found[name] = classify(part[~test], takes.labels[~test], part[test])
        save_whole(path, **found)
    return {name: found[name] for name in CLASSIFIERS}


def headed(
    takes: Takes,
    held: Sequence[int],
    folder: Path,
    heads: Mapping[str, Mapping[str, Any]],
    seed: int,
    *,
    transductive: bool = False,
    group: str = "seed",
) -> dict[str, Array]:
    """Log-probabilities of the held-out clips by avfuse's heads; what is there is read.

    ``group`` tells the files of one set of heads from those of another.
    """
    path = folder / f"{_kind(transductive)}-{'-'.join(map(str, held))}-{group}-{seed}.npz"
    if not path.exists():
        features = features_of(takes, held, folder, transductive=transductive)
        corpus = make_corpus(takes, {"audio": features["sound"], "video": features["face"]})
        out = np.isin(takes.folds, held)
        train, test = np.flatnonzero(~out), np.flatnonzero(out)
        found = {}
        for name, values in heads.items():
            head = train_head(corpus, train, settings_from(TrainSettings, values), seed=seed)
            found[name] = log_softmax(predict_head(head, corpus, test).logits, axis=1)
        save_whole(path, **found)
    return read_arrays(path)


def _kind(transductive: bool) -> str:
    return "transductive" if transductive else "standard"


def save_whole(path: Path, **arrays: Array) -> None:
    """Save arrays under a name that appears when the file is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.npz")
    np.savez(part, **arrays)
    part.rename(path)


def read_arrays(path: Path) -> dict[str, Array]:
    """Read what ``save_whole`` saved."""
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def make_corpus(takes: Takes, features: Mapping[str, Array]) -> Corpus:
    """A corpus in memory of one step a clip."""
    count = len(takes.clips)
    sequences = {
        name: Sequences(part.astype(np.float32), np.zeros(count), np.arange(count + 1))
        for name, part in features.items()
    }
    classes = tuple(str(number) for number in range(int(takes.labels.max()) + 1))
    return Corpus(takes.clips, sequences, classes, takes.labels)
