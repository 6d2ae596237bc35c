"""A face network with a classifier on its embedding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from extractors.networks import NETWORKS
from extractors.running.arithmetic import full_float32
from extractors.running.still_classifier import classifier_prefix
from extractors.weights.random import initialise
from trainer.stills.augment import resize, to_float
from trainer.stills.images.stills import Stills
from trainer.stills.settings import FinetuneSettings
from trainer.training.optim import make_optimiser

IMAGES_PER_FORWARD = 256


class FaceClassifier(nn.Module):
    """Network from face images to logits: embedding, dropout, one linear layer.

    Shapes (N images, C classes):
        ``images``: (N, 3, S, S), float, normalised as the network expects.
        result: (N, C) logits.

    Args:
        network: a name in ``extractors.networks.NETWORKS``.
        num_classes: C.
        dropout: probability, in training, of dropping a value of the embedding.
        seed: of the random weights that it starts from.

    Raises:
        ValueError: ``network`` is unknown, or ``num_classes`` is below 2.

    Source:
        Zhou et al., "Exploring Emotion Features and Fusion Strategies for Audio-Video Emotion
        Recognition", ICMI 2019, section 2.1: face networks are fine-tuned on still faces.
    """

    def __init__(self, network: str, num_classes: int, dropout: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        if network not in NETWORKS:
            raise ValueError(f"no network is called {network!r}; there are {', '.join(NETWORKS)}")
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, got {num_classes}")
        self.spec = NETWORKS[network]
        self.network = self.spec.build()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.spec.layers[self.spec.default_layer], num_classes)
        initialise(self, seed)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images; shapes are in the class docstring."""
        logits: Tensor = self.classifier(self.dropout(self.network(images)))
        return logits

    @property
    def file_prefix(self) -> str:
        """Prefix of the classifier's parameters in a weight file, before ``weight``."""
        return classifier_prefix(self.network)

    def file_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename a state of this module to the key names of the network's source."""
        return {
            self.file_prefix + name.removeprefix("classifier.")
            if name.startswith("classifier.")
            else name.removeprefix("network."): value
            for name, value in state.items()
        }


def soft_cross_entropy(logits: Tensor, targets: Tensor, class_weights: Tensor) -> Tensor:
    """Return the mean over images of minus the targets' share of each log-probability, weighed."""
    return -(targets * class_weights * logits.log_softmax(dim=1)).sum(dim=1).mean()


def balance(train: Stills, settings: FinetuneSettings) -> Tensor:
    """Return the weight of each class: (C,), with mean 1 over the training images' targets."""
    mass = torch.from_numpy(train.targets.astype(np.float64).sum(axis=0))
    power = {"none": 0.0, "sqrt": 0.5, "full": 1.0}[settings.balance]
    weights = mass.clamp_min(1.0) ** -power
    return (weights * mass.sum() / (weights * mass).sum()).float()


def log_prior(train: Stills) -> Tensor:
    """Return the logarithm of each class's share of the training images' targets: (C,), float32."""
    mass = torch.from_numpy(train.targets.astype(np.float64).sum(axis=0)).clamp_min(1.0)
    return (mass / mass.sum()).log().float()


def normalise(classifier: FaceClassifier, images: Tensor) -> Tensor:
    """Make the network's input of (N, 1 or 3, S, S) pixels from 0 to 255."""
    spec = classifier.spec
    mean = images.new_tensor(spec.mean).view(3, 1, 1)
    deviation = images.new_tensor(spec.deviation).view(3, 1, 1)
    # One grey channel becomes three by broadcasting.
    result = (images - mean) / deviation
    return result.contiguous(memory_format=torch.channels_last)


def predict_stills(
    classifier: FaceClassifier,
    stills: Stills,
    image_size: int,
    *,
    grey: bool,
    flip: bool = True,
    device: str | torch.device = "cpu",
) -> NDArray[np.float64]:
    """Return the probability of each class: (N, C), in evaluation mode and float32.

    Args:
        classifier: left in the mode that it was in.
        stills: the images.
        image_size: pixels of the network's input.
        grey: turn colours to grey.
        flip: mean the probabilities of the image and of its mirror image.
        device: where ``classifier`` is.
    """
    parts = [np.zeros((0, len(stills.classes)))]
    was_training = classifier.training
    classifier.eval()
    with torch.inference_mode(), full_float32(device):
        for start in range(0, len(stills), IMAGES_PER_FORWARD):
            pixels = torch.from_numpy(stills.images[start : start + IMAGES_PER_FORWARD]).to(device)
            images = normalise(classifier, resize(to_float(pixels, grey=grey), image_size))
            probabilities = classifier(images).softmax(dim=1)
            if flip:
                mirrored = classifier(images.flip(3)).softmax(dim=1)
                probabilities = (probabilities + mirrored) / 2
            parts.append(probabilities.double().cpu().numpy())
    classifier.train(was_training)
    return np.concatenate(parts)


@dataclass(frozen=True)
class StillScore:
    """Scores of a classifier on labelled images.

    Attributes:
        num_images: images with a label.
        accuracy: share of them that are right.
        loss: mean negative logarithm of the label's probability.
    """

    num_images: int
    accuracy: float
    loss: float


def score_stills(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> StillScore:
    """Score the images that have a label; zeros where there is none."""
    tested = np.flatnonzero(labels >= 0)
    if len(tested) == 0:
        return StillScore(0, 0.0, 0.0)
    right = probabilities[tested].argmax(axis=1) == labels[tested]
    given = probabilities[tested, labels[tested]]
    return StillScore(
        len(tested), float(right.mean()), float(-np.log(np.maximum(given, 1e-12)).mean())
    )


def finetune_optimiser(
    classifier: FaceClassifier, settings: FinetuneSettings
) -> torch.optim.Optimizer:
    """Make SGD with Nesterov's momentum; matrices and kernels decay, biases and norms do not."""
    return make_optimiser(
        classifier,
        "sgd",
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
        fused=False,
    )
