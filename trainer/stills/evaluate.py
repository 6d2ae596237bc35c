"""What a classifier says of still images, and how often it is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.stills.augment import resize, to_float
from trainer.stills.classifier import FaceClassifier
from trainer.stills.images.stills import Stills

IMAGES_PER_FORWARD = 256


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
    with torch.inference_mode():
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
    """How a classifier does on labelled images.

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
