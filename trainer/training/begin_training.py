"""Begin a training: make the heads, and choose between a stack and a head by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.data.batches import BatchMaker
from trainer.data.corpus import Corpus
from trainer.data.normalisation import Normalisation, normalise
from trainer.heads.head import Head, make_head
from trainer.heads.stack import why_not_stacked
from trainer.heads.stack_batches import StackedBatchMaker
from trainer.settings import TrainSettings
from trainer.training.loss import class_weights
from trainer.training.plain import PlainTraining
from trainer.training.seeds import mix_seed
from trainer.training.stack import StackedTraining


def begin_training(
    corpus: Corpus,
    train: NDArray[np.int64],
    variants: Sequence[TrainSettings],
    seeds: Sequence[int],
    normalisation: Mapping[str, Normalisation],
    device: torch.device | str,
) -> tuple[PlainTraining | StackedTraining, BatchMaker]:
    """Make the heads, what trains them, and the batches for validation.

    Args:
        corpus: the features and labels.
        train: the training clips.
        variants: settings that differ in their attention alone.
        seeds: one head each, of every variant.
        normalisation: modality -> what was fitted on the training clips.
        device: where to compute.

    Raises:
        ValueError: several heads that can't be trained as one, or one that ``optim.stack=on``
            asks to be and that can't; says why.
    """
    settings = variants[0]
    weights = class_weights(settings.optim.class_weight, corpus.labels[train], len(corpus.classes))
    reason = why_not_stacked(variants)
    several = len(variants) * len(seeds) > 1
    if not reason and settings.optim.stack == "off":
        reason = "optim.stack=off"
    if reason and (settings.optim.stack == "on" or several):
        raise ValueError(f"these heads can't be trained as one: {reason}")
    heads = [[_make(corpus, own, seed, device) for seed in seeds] for own in variants]
    maker = BatchMaker(normalise(corpus, normalisation, settings), device)
    if reason:
        one = PlainTraining(heads[0][0], maker, train, corpus, weights, settings, seeds[0])
        return one, maker
    packed = StackedBatchMaker(maker)
    return StackedTraining(heads, packed, train, corpus, weights, variants, seeds), maker


def _make(corpus: Corpus, settings: TrainSettings, seed: int, device: torch.device | str) -> Head:
    torch.manual_seed(mix_seed(seed, 0))
    return make_head(settings, corpus.shapes, len(corpus.classes)).to(device)
