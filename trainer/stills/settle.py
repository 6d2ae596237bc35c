"""Give the norms of a network the statistics of new images without changing what it computes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from trainer.stills.augment import resize, to_float
from trainer.stills.classifier import FaceClassifier, normalise
from trainer.stills.images.stills import Stills
from trainer.stills.settings import FinetuneSettings

NUM_IMAGES = 256


def settle_norms(classifier: FaceClassifier, train: Stills, settings: FinetuneSettings) -> None:
    """Set every norm's mean and variance to those of training images, and its gain and shift anew.

    In evaluation the network yields what it did, up to rounding. In training, where a norm takes
    the statistics of the batch, it yields nearly the same, which it does not if its own statistics
    are of other images or, as those read from dlib, of none.

    Args:
        classifier: whose network's batch norms are set.
        train: where 256 images are drawn from, by the settings' seed.
        settings: of the training.
    """
    order = np.random.default_rng(settings.seed).permutation(len(train))[:NUM_IMAGES]
    pixels = to_float(torch.from_numpy(train.images[np.sort(order)]), grey=settings.grey)
    images = normalise(classifier, resize(pixels, settings.size_at(0)))
    norms = [layer for layer in classifier.modules() if isinstance(layer, nn.BatchNorm2d)]
    # What goes into a norm depends on those before it only through what they yield: that stays.
    handles = [norm.register_forward_pre_hook(_settle) for norm in norms]
    was_training = classifier.training
    classifier.eval()
    try:
        with torch.no_grad():
            classifier(images)
    finally:
        for handle in handles:
            handle.remove()
        classifier.train(was_training)


def _settle(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
    """Set one norm by what is about to go into it."""
    mean_before, variance_before = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3))
    gain = norm.weight / (variance_before + norm.eps).sqrt()
    norm.bias.add_(gain * (mean - mean_before))
    norm.weight.copy_(gain * (variance + norm.eps).sqrt())
    mean_before.copy_(mean)
    variance_before.copy_(variance)
