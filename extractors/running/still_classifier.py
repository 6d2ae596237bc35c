"""The classifier that a fine-tuned weight file holds beside its network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from extractors.networks import NETWORKS
from extractors.weights.facts import WeightFacts, read_facts
from extractors.weights.files import WeightsError, read_weight_file
from extractors.weights.identify import CLASSIFIER


@dataclass(frozen=True)
class StillClassifier:
    """One linear layer on the embedding of a face.

    Shapes (C classes, D = length of an embedding):
        ``weight``: (C, D), float32. ``bias``: (C,), float32.

    Attributes:
        weight: see above.
        bias: see above.
        facts: of the file; names the classes.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    facts: WeightFacts

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the C classes."""
        return self.facts.classes

    def classify(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability of each class; see ``logits_to_probabilities``.

        Shapes (T embeddings):
            ``embeddings``: (T, D).
            result: (T, C), rows that sum to 1.

        Raises:
            ValueError: ``embeddings`` is not (T, D).
        """
        dim = self.weight.shape[1]
        if embeddings.ndim != 2 or embeddings.shape[1] != dim:
            raise ValueError(f"embeddings must be (T, {dim}), got {embeddings.shape}")
        logits = embeddings.astype(np.float64) @ self.weight.T.astype(np.float64) + self.bias
        return logits_to_probabilities(logits, self.facts)


def logits_to_probabilities(logits: NDArray[np.float64], facts: WeightFacts) -> NDArray[np.float64]:
    """Return softmax(logits / temperature + bias), with the file's temperature and class biases.

    Shapes (N rows, C classes):
        ``logits``: (N, C), up to a constant a row: logarithms of probabilities do as well.
        result: (N, C), rows that sum to 1.

    Args:
        logits: see above.
        facts: of the weight file.

    Source:
        The temperature is that of Guo et al., "On Calibration of Modern Neural Networks", ICML
        2017; the bias that of Menon et al., "Long-tail learning via logit adjustment", ICLR 2021.
    """
    logits = logits / facts.temperature
    if facts.logit_bias:
        logits = logits + np.array(facts.logit_bias)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    result: NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
    return result


def classifier_prefix(network: nn.Module) -> str:
    """Return what a network's file calls its classifier's parameters, before ``weight``."""
    foreign: tuple[str, ...] = getattr(network, "FOREIGN", ())
    return foreign[-1] if foreign else CLASSIFIER


def load_still_classifier(path: Path) -> StillClassifier:
    """Read the classifier of a fine-tuned weight file.

    Raises:
        WeightsError: the file can't be read safely, says nothing of itself, names no classes or
            an unknown network, or holds no classifier for them, or one that is not finite.
        OSError: the file can't be read.
    """
    file = read_weight_file(path)
    facts = read_facts(file.metadata, path)
    if facts is None or not facts.classes:
        raise WeightsError(
            f"{path} names no classes; only weights that avfuse fine-tuned can classify"
        )
    if facts.network not in NETWORKS:
        raise WeightsError(f"{path} is of the network {facts.network!r}, which avfuse doesn't have")
    spec = NETWORKS[facts.network]
    with torch.device("meta"):  # for its class alone
        prefix = classifier_prefix(spec.build())
    dim = spec.layers[spec.default_layer]
    shapes = {"weight": (len(facts.classes), dim), "bias": (len(facts.classes),)}
    parts: dict[str, NDArray[np.float32]] = {}
    for name, shape in shapes.items():
        tensor = file.tensors.get(prefix + name)
        found = None if tensor is None else tuple(tensor.shape)
        if tensor is None or found != shape or not tensor.dtype.is_floating_point:
            raise WeightsError(
                f"{path}: its {len(facts.classes)} classes need {prefix}{name} of shape "
                f"{list(shape)}, got {'none' if found is None else list(found)}"
            )
        parts[name] = tensor.read().float().numpy()
        if not np.isfinite(parts[name]).all():
            raise WeightsError(f"{path}: {prefix}{name} holds nan or inf; the file is damaged")
    return StillClassifier(parts["weight"], parts["bias"], facts)
