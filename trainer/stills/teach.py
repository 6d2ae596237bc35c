"""Targets of training images that teachers take part in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from extractors.weights.error import WeightsError
from trainer.stills.classifier import predict_stills
from trainer.stills.images.stills import Stills
from trainer.stills.settings import FinetuneSettings
from trainer.stills.weights_file import load_classifier


def teach(
    train: Stills,
    teachers: Sequence[Path],
    settings: FinetuneSettings,
    device: str | torch.device = "cpu",
) -> Stills:
    """Mix the targets of training images with what teachers say of them.

    A teacher's word is the mean of its probabilities of an image and of its mirror image; several
    count alike. Images without a target stay without one.

    Args:
        train: the images; their targets are distributions.
        teachers: weight files that a fine-tuning wrote, with the same classes in the same order.
        settings: ``distill`` is the teachers' share of a target.
        device: where to compute.

    Raises:
        ValueError: the settings learn majorities, which teachers have no part in.
        WeightsError: a file is no fine-tuned network, or has other classes.
        OSError: it can't be read.

    Source:
        Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, at temperature
        1: targets of ten votes are soft already.
    """
    if not teachers:
        return train
    if settings.target != "votes":
        raise ValueError("teachers need target=votes, got target=majority")
    total = np.zeros(train.targets.shape)
    for path in teachers:
        found = load_classifier(path)
        if found.facts.classes != train.classes:
            raise WeightsError(
                f"the teacher {path} has the classes {', '.join(found.facts.classes)}; the images "
                f"have {', '.join(train.classes)}"
            )
        total += predict_stills(
            found.classifier.to(device),
            train,
            found.facts.image_size,
            grey=found.facts.grey,
            device=device,
        )
    known = train.targets.sum(axis=1, keepdims=True) > 0
    mixed = (1 - settings.distill) * train.targets + settings.distill * total / len(teachers)
    return replace(train, targets=np.where(known, mixed, 0).astype(np.float32))
