"""A small default network in the place of the shipped one, for tests that its numbers don't matter
to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from extractors.networks import NETWORKS
from extractors.weights import default as default_network
from extractors.weights.facts import Framing, WeightFacts
from extractors.weights.random import initialise
from tests.extractors.small import use_small_networks

CLASSES = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt")
FACTS = WeightFacts(
    "resnet29",
    CLASSES,
    24,
    grey=True,
    detail=12,
    framing=Framing(0.5, 0.1),
    metrics={"accuracy": 0.75, "split": "FER+ test", "num_images": 8},
)


def ship_small_default(
    monkeypatch: pytest.MonkeyPatch,
    path: Path,
    *,
    seed: int = 3,
    facts: WeightFacts = FACTS,
    **changes: torch.Tensor,
) -> Path:
    """Make small networks of all, and let the default file be a small one with these facts."""
    use_small_networks(monkeypatch)
    monkeypatch.setitem(default_network.DEFAULT_FILES, "resnet29", path)
    module = NETWORKS["resnet29"].build()
    initialise(module, seed)
    count = len(facts.classes)
    tensors: Mapping[str, torch.Tensor] = {
        **module.state_dict(),
        "classifier.weight": torch.linspace(-1, 1, count * 32).reshape(count, 32),
        "classifier.bias": torch.zeros(count),
        **{name.replace("__", "."): tensor for name, tensor in changes.items()},
    }
    save_file(dict(tensors), path, metadata=facts.to_metadata())
    return path


def without(name: str) -> WeightFacts:
    """The facts without one of the classes."""
    return replace(FACTS, classes=tuple(own for own in CLASSES if own != name))
