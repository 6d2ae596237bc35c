"""The loss of a head."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainer.heads.head import HeadOutput


def head_loss(
    output: HeadOutput, labels: Tensor, class_weights: Tensor, label_smoothing: float
) -> Tensor:
    """Cross-entropy of a batch; for late fusion the sum over its modalities.

    Late fusion means two heads that are trained apart: their parameters are disjoint, so the
    sum trains each on its own loss.
    """
    logits = list(output.parts.values()) or [output.logits]
    losses = [
        F.cross_entropy(part, labels, class_weights, label_smoothing=label_smoothing)
        for part in logits
    ]
    return torch.stack(losses).sum()


def class_weights(kind: str, train_labels: NDArray[np.int64], num_classes: int) -> Tensor:
    """Weigh classes in the loss.

    Args:
        kind: "none", all 1, or "balanced", the inverse of their training counts.
        train_labels: class index of each training clip.
        num_classes: C.

    Returns:
        (C,) weights; balanced ones have mean 1 over the training clips. A class without a
        training clip gets 0.
    """
    if kind == "none":
        return torch.ones(num_classes)
    counts = np.bincount(train_labels, minlength=num_classes).astype(np.float64)
    present = counts > 0
    weights = np.zeros(num_classes)
    weights[present] = len(train_labels) / (present.sum() * counts[present])
    return torch.from_numpy(weights).float()


def class_targets(weights: Tensor, label_smoothing: float) -> Tensor:
    """Return what a clip's log probabilities are multiplied by, class by class: (C, C).

    The negative sum of row y times the log probabilities is ``cross_entropy`` of a clip of class
    y, weighted and smoothed, before it is divided by the clips' weights.
    """
    classes = len(weights)
    return (1.0 - label_smoothing) * weights.diag() + label_smoothing / classes * weights
