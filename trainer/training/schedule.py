"""What drives a fine-tuning: loss, class weights, optimiser and learning rate."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from trainer.stills.classifier import FaceClassifier
from trainer.stills.images.stills import Stills
from trainer.stills.settings import FinetuneSettings


def soft_cross_entropy(logits: Tensor, targets: Tensor, class_weights: Tensor) -> Tensor:
    """Return the mean over images of minus the targets' share of each log-probability, weighed."""
    return -(targets * class_weights * logits.log_softmax(dim=1)).sum(dim=1).mean()


def balance(train: Stills, settings: FinetuneSettings) -> Tensor:
    """Return the weight of each class: (C,), with mean 1 over the training images' targets."""
    mass = torch.from_numpy(train.targets.astype(np.float64).sum(axis=0))
    power = {"none": 0.0, "sqrt": 0.5, "full": 1.0}[settings.balance]
    weights = mass.clamp_min(1.0) ** -power
    return (weights * mass.sum() / (weights * mass).sum()).float()


def make_optimiser(classifier: FaceClassifier, settings: FinetuneSettings) -> torch.optim.Optimizer:
    """Make SGD with Nesterov's momentum; matrices and kernels decay, biases and norms do not."""
    decay = [p for p in classifier.parameters() if p.ndim > 1]
    plain = [p for p in classifier.parameters() if p.ndim <= 1]
    return torch.optim.SGD(
        [
            {"params": decay, "weight_decay": settings.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
    )


def learning_rate_at(update: int, total: int, settings: FinetuneSettings) -> float:
    """Return one update's learning rate: up in a line, down in a half cosine."""
    warmup = settings.warmup * total
    if update < warmup:
        return settings.learning_rate * (update + 1) / (math.floor(warmup) + 1)
    share = (update - warmup) / max(1.0, total - warmup)
    return settings.learning_rate * 0.5 * (1.0 + math.cos(math.pi * share))
