"""Fit heads that are no networks, by scikit-learn; what is kept is their coefficients alone."""

from __future__ import annotations

import time
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.batches import BatchMaker, ordered_batches
from trainer.data.corpus import Corpus, CorpusError
from trainer.data.normalisation import fit_normalisations, normalise
from trainer.heads.classical import FUSED, ClassicalHead
from trainer.settings import TrainSettings
from trainer.training.error import TrainingError
from trainer.training.trained import EpochRecord, TrainedHead, describe_trained

BATCH = 256
MOST_ITERATIONS = 10_000
Array = NDArray[np.float64]


def fit_head(
    corpus: Corpus, train: NDArray[np.int64], settings: TrainSettings, seed: int
) -> TrainedHead:
    """Fit a discriminant, logistic regression or support vector machine to training clips.

    Nothing is drawn: the same clips give the same head on one machine, whatever the seed. A head of
    one modality, and each of late fusion, is fitted to the training clips that have it.

    Args:
        corpus: the features and labels.
        train: indices of the training clips, each with a label.
        settings: of a kind other than "network".
        seed: kept beside the head.

    Raises:
        CorpusError: no training clip has a step of a modality that the head uses, or those that
            have it are of one class, or, of a discriminant, no more than their classes.
        TrainingError: a logistic regression doesn't converge.
        ValueError: settings that don't fit the corpus.
    """
    started = time.perf_counter()
    normalisation = fit_normalisations(corpus, train, settings)
    maker = BatchMaker(normalise(corpus, normalisation, settings), "cpu")
    blank = ClassicalHead(settings, corpus.shapes, len(corpus.classes))
    vectors = {name: np.empty((len(train), dim)) for name, dim in blank.dims.items()}
    for rows in ordered_batches(maker.lengths[train], np.arange(len(train)), BATCH):
        found, _ = blank.vectors(**maker.batch(train[rows]))
        for name, part in found.items():
            vectors[name][rows] = part.numpy()
    state: dict[str, Tensor] = {}
    for name, values in vectors.items():
        has = np.ones(len(train), np.bool_) if name == FUSED else corpus.has(name)[train]
        labels = corpus.labels[train][has]
        present = np.unique(labels)
        if len(present) < 2:
            raise CorpusError(
                f"the {len(labels)} training clips with {name} all have the label "
                f"{corpus.classes[present[0]]!r}; head.kind={settings.head.kind} needs two classes"
            )
        if settings.head.kind == "discriminant" and len(labels) <= len(present):
            raise CorpusError(
                f"head.kind=discriminant needs more training clips than classes, got {len(labels)} "
                f"clips of {len(present)} classes; use more clips, or head.kind=linear"
            )
        state[f"present.{name}"] = torch.from_numpy(present)
        for key, array in fit_coefficients(values[has], labels, settings).items():
            state[f"scores.{name}.{key}"] = torch.from_numpy(np.ascontiguousarray(array))
    head = ClassicalHead(settings, corpus.shapes, len(corpus.classes), state)
    record = _measure(head, maker, train, corpus.labels, started)
    return describe_trained(corpus, train, settings, seed, state, normalisation, (record,))


def fit_coefficients(
    vectors: Array, labels: NDArray[np.int64], settings: TrainSettings
) -> dict[str, Array]:
    """Fit one classifier by as many threads as PyTorch has: their number decides the last bits.

    Args:
        vectors: (N, D) of the training clips.
        labels: (N,) index of each clip's class.
        settings: which classifier.

    Returns:
        Its coefficients by name, as ``trainer.heads.classical`` has them.
    """
    # Their libraries must be there, for their threads to be set.
    import scipy.linalg  # noqa: F401
    import sklearn.svm  # noqa: F401
    from threadpoolctl import threadpool_limits

    kind = settings.head.kind
    with threadpool_limits(torch.get_num_threads()):
        if kind == "svm":
            return _fit_svm(vectors, labels, settings)
        fit = _fit_discriminant if kind == "discriminant" else _fit_regression
        coefficients, intercept = fit(vectors, labels, settings)
    if len(coefficients) == 1:  # of two classes scikit-learn keeps the difference alone
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    return {"coefficients": coefficients, "intercept": intercept}


def _weight(settings: TrainSettings) -> str | None:
    return "balanced" if settings.optim.class_weight == "balanced" else None


class _Shrunk:
    """Covariance estimator for scikit-learn: shrunk towards its mean variance on the diagonal.

    It sees clips by their places along ``basis``, (R, D), but shrinks as of all D numbers; None
    where it sees the numbers themselves.
    """

    def __init__(self, shrinkage: float | str, basis: Array | None) -> None:
        self.shrinkage = shrinkage
        self.basis = basis

    def fit(self, places: Array) -> _Shrunk:
        """Estimate the covariance of (N, R) clips of one class."""
        from sklearn.covariance import ledoit_wolf_shrinkage

        centred = places - places.mean(axis=0)
        covariance = centred.T @ centred / len(places)
        share = self.shrinkage
        if share == "auto":
            seen = places if self.basis is None else places @ self.basis
            share = ledoit_wolf_shrinkage(seen) if len(places) > 1 else 1.0
        dim = places.shape[1] if self.basis is None else self.basis.shape[1]
        variance = np.trace(covariance) / dim
        self.covariance_ = (1 - float(share)) * covariance
        self.covariance_.flat[:: len(covariance) + 1] += float(share) * variance
        return self


def _fit_discriminant(
    vectors: Array, labels: NDArray[np.int64], settings: TrainSettings
) -> tuple[Array, Array]:
    from scipy.linalg import svd
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    # What the clips don't span takes no part: with fewer clips than numbers this saves minutes.
    few = len(vectors) < vectors.shape[1]
    basis = svd(vectors, full_matrices=False)[2] if few else None
    count = len(np.unique(labels))
    model = LinearDiscriminantAnalysis(
        solver="lsqr",
        covariance_estimator=_Shrunk(settings.head.shrinkage, basis),
        priors=np.full(count, 1 / count) if _weight(settings) else None,
    ).fit(vectors if basis is None else vectors @ basis.T, labels)
    return model.coef_ if basis is None else model.coef_ @ basis, model.intercept_


def _fit_regression(
    vectors: Array, labels: NDArray[np.int64], settings: TrainSettings
) -> tuple[Array, Array]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=settings.head.linear_c, max_iter=MOST_ITERATIONS, class_weight=_weight(settings)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            model.fit(vectors, labels)
        except ConvergenceWarning as error:
            raise TrainingError(
                f"the logistic regression of {len(vectors)} clips did not converge in "
                f"{MOST_ITERATIONS} iterations; lower head.linear_c ({settings.head.linear_c:g})"
            ) from error
    return model.coef_, model.intercept_


def _fit_svm(
    vectors: Array, labels: NDArray[np.int64], settings: TrainSettings
) -> dict[str, Array]:
    from sklearn.svm import SVC

    gamma = 1.0 / (vectors.shape[1] * (vectors.var() or 1.0))
    model = SVC(
        C=settings.head.svm_c,
        kernel=settings.head.kernel,
        gamma=gamma,
        class_weight=_weight(settings),
    ).fit(vectors, labels)
    count = len(model.classes_)
    first, second = np.triu_indices(count, 1)
    # Two classes are another convention: margins are positive for the second.
    sign = -1.0 if count == 2 else 1.0
    owner = np.repeat(np.arange(count), model.n_support_)  # class of each support vector
    duals = np.zeros((len(owner), len(first)))
    for pair, (one, other) in enumerate(zip(first, second, strict=True)):
        for own, row in ((one, other - 1), (other, one)):
            duals[owner == own, pair] = sign * model.dual_coef_[row, owner == own]
    return {
        "support": model.support_vectors_,
        "duals": duals,
        "intercept": sign * model.intercept_,
        "gamma": np.array(gamma),
    }


@torch.no_grad()
def _measure(
    head: ClassicalHead,
    maker: BatchMaker,
    train: NDArray[np.int64],
    labels: NDArray[np.int64],
    started: float,
) -> EpochRecord:
    """Measure a head on its training clips, as if they were its only epoch."""
    loss, correct = 0.0, 0
    for clips in ordered_batches(maker.lengths, train, BATCH):
        logits = head(**maker.batch(clips)).logits
        truth = torch.from_numpy(labels[clips])
        loss += float(torch.nn.functional.cross_entropy(logits, truth, reduction="sum"))
        correct += int((logits.argmax(dim=1) == truth).sum())
    seconds = time.perf_counter() - started
    return EpochRecord(1, loss / len(train), correct / len(train), 0.0, seconds)
