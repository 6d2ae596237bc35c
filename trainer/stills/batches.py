"""The images and targets of one update, drawn from nothing but the seed and its number."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from trainer.stills.augment import mix, to_float, vary
from trainer.stills.images.stills import Stills
from trainer.stills.settings import FinetuneSettings

# More than a training has updates, so that no two seeds share the draws of one.
SEEDS_APART = 1_000_003


def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order of the training images in one epoch."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def draw_batch(
    train: Stills,
    chosen: NDArray[np.int64],
    settings: FinetuneSettings,
    epoch: int,
    update: int,
    device: str | torch.device = "cpu",
) -> tuple[Tensor, Tensor]:
    """Make the varied images (N, C, S, S), 0 to 255, and targets (N, classes) of one update."""
    draw = torch.Generator().manual_seed(settings.seed * SEEDS_APART + update)
    images = to_float(torch.from_numpy(train.images[chosen]).to(device), grey=settings.grey)
    size = settings.size_at(epoch)
    images = vary(images, size, settings.augment, draw)
    if settings.target == "majority":
        targets = functional.one_hot(
            torch.from_numpy(train.labels[chosen]), len(train.classes)
        ).float()
    else:
        targets = torch.from_numpy(train.targets[chosen])
    targets = targets.to(device)
    if settings.label_smoothing:
        spread = settings.label_smoothing
        targets = (1 - spread) * targets + spread / len(train.classes)
    if settings.augment.mixup:
        images, targets = mix(images, targets, settings.augment.mixup, draw)
    return images, targets
