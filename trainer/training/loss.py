"""The loss of a head, and class weights: in the loss, and as priors of the probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.corpus import Corpus
from trainer.heads.head import HeadOutput

# Zhou et al., ICMI 2019, section 3: [0.15, 0.097, 0.129, 0.185, 0.138, 0.082, 0.215].
# It is the square root of the AFEW test set's class counts: a leak, whatever it is used for.
AFEW_TEST = {
    "angry": 0.15,
    "disgust": 0.097,
    "fear": 0.129,
    "happy": 0.185,
    "sad": 0.138,
    "surprise": 0.082,
    "neutral": 0.215,
}


def training_targets(corpus: Corpus, kind: str) -> NDArray[np.int64] | NDArray[np.float32]:
    """Return what heads are trained towards.

    Args:
        corpus: the labels, and the votes if they are asked for; ``check_votes`` has passed them.
        kind: "label" or "votes".

    Returns:
        (N,) class index of each clip, or (N, C) shares of its votes.
    """
    return corpus.labels if corpus.votes is None or kind == "label" else corpus.votes


def head_loss(
    output: HeadOutput, targets: Tensor, class_weights: Tensor, label_smoothing: float
) -> Tensor:
    """Cross-entropy of a batch; for late fusion the sum over its modalities.

    Late fusion means two heads that are trained apart: their parameters are disjoint, so the
    sum trains each on its own loss.

    Shapes (B clips, C classes):
        ``targets``: (B,) class indices, or (B, C) shares of votes. A clip of shares counts as its
        shares of clips of each class: votes for one class alone give the loss of that label.
    """
    logits = list(output.parts.values()) or [output.logits]
    losses = [_cross_entropy(part, targets, class_weights, label_smoothing) for part in logits]
    return torch.stack(losses).sum()


def _cross_entropy(
    logits: Tensor, targets: Tensor, class_weights: Tensor, label_smoothing: float
) -> Tensor:
    if targets.ndim == 1:
        return F.cross_entropy(logits, targets, class_weights, label_smoothing=label_smoothing)
    # The mean of PyTorch's own would be over clips here, and over their weights above.
    total = F.cross_entropy(
        logits, targets, class_weights, label_smoothing=label_smoothing, reduction="sum"
    )
    return total / (targets @ class_weights).sum()


def class_weights(kind: str, counts: NDArray[np.float64]) -> Tensor:
    """Weigh classes in the loss.

    Args:
        kind: "none", all 1, or "balanced", the inverse of their training counts.
        counts: (C,) training clips of each class, or shares of clips.

    Returns:
        (C,) weights; balanced ones have mean 1 over the training clips. A class without a
        training clip gets 0.
    """
    if kind == "none":
        return torch.ones(len(counts))
    present = counts > 0
    weights = np.zeros(len(counts))
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return torch.from_numpy(weights).float()


def class_targets(weights: Tensor, label_smoothing: float) -> Tensor:
    """Return what a clip's log probabilities are multiplied by, class by class: (C, C).

    The negative sum of row y times the log probabilities is ``cross_entropy`` of a clip of class
    y, weighted and smoothed, before it is divided by the clips' weights.
    """
    classes = len(weights)
    return (1.0 - label_smoothing) * weights.diag() + label_smoothing / classes * weights


def prior_weights(
    prior: str, classes: Sequence[str], train_labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the weight of each class by a prior.

    Args:
        prior: "none", "train" (training counts), "sqrt-train" (their square root) or
            "afew-test" (icmi19's vector, a leak).
        classes: names of the classes.
        train_labels: class index of each training clip.

    Returns:
        (C,) weights that sum to 1.

    Raises:
        ValueError: "afew-test" with classes other than AFEW's seven, or an unknown prior.
    """
    if prior == "none":
        weights = np.ones(len(classes))
    elif prior in ("train", "sqrt-train"):
        counts = np.bincount(train_labels, minlength=len(classes)).astype(np.float64)
        weights = np.sqrt(counts) if prior == "sqrt-train" else counts
    elif prior == "afew-test":
        names = [name.lower() for name in classes]
        if sorted(names) != sorted(AFEW_TEST):
            raise ValueError(
                f"prior=afew-test is for the classes {', '.join(AFEW_TEST)}, "
                f"got {', '.join(classes)}"
            )
        weights = np.array([AFEW_TEST[name] for name in names])
    else:
        raise ValueError(f"prior must be none, train, sqrt-train or afew-test, got {prior!r}")
    return np.asarray(weights / weights.sum())


def apply_prior(
    probabilities: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Multiply (N, C) probabilities by class weights and make each row sum to 1 again."""
    weighted = probabilities * weights
    total = weighted.sum(axis=1, keepdims=True)
    # A row whose whole probability lies in classes of weight 0 stays as it is.
    return np.where(total > 0, weighted / np.where(total > 0, total, 1.0), probabilities)
