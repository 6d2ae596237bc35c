from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from extractors.networks import NETWORKS
from extractors.running.still_classifier import (
    classifier_prefix,
    load_still_classifier,
    logits_to_probabilities,
)
from extractors.weights.facts import WeightFacts
from extractors.weights.files import WeightsError
from tests.extractors.small import use_small_networks

FACTS = WeightFacts("resnet18", ("a", "b", "c"), 24, grey=True)
TENSORS = {
    "conv1.weight": torch.zeros(2),
    "fc.weight": torch.arange(96, dtype=torch.float16).reshape(3, 32) / 64,
    "fc.bias": torch.tensor([0.0, 1.0, -1.0], dtype=torch.float16),
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    use_small_networks(monkeypatch)


def write(
    folder: Path, tensors: Mapping[str, torch.Tensor], facts: WeightFacts | None = FACTS
) -> Path:
    path = folder / "w.safetensors"
    save_file(dict(tensors), path, metadata=facts.to_metadata() if facts else None)
    return path


def test_probabilities_are_the_softmax_of_one_linear_layer(tmp_path: Path) -> None:
    classifier = load_still_classifier(write(tmp_path, TENSORS))
    assert classifier.classes == ("a", "b", "c")
    embeddings = np.zeros((2, 32), np.float32)
    embeddings[1, 0] = 4.0  # adds weight[:, 0] = 0, 0.5 and 1, four times
    found = classifier.classify(embeddings)
    for row, logits in zip(found, ([0.0, 1.0, -1.0], [0.0, 3.0, 3.0]), strict=True):
        np.testing.assert_allclose(row, np.exp(logits) / np.exp(logits).sum(), rtol=1e-12)


def test_the_files_temperature_divides_the_logits_and_its_bias_is_added_after(
    tmp_path: Path,
) -> None:
    facts = replace(FACTS, temperature=2.0, logit_bias=(0.0, 0.0, 0.5))
    classifier = load_still_classifier(write(tmp_path, TENSORS, facts))
    found = classifier.classify(np.zeros((1, 32), np.float32))  # logits 0, 1 and -1
    expected = np.exp([0.0, 0.5, 0.0])
    np.testing.assert_allclose(found, [expected / expected.sum()], rtol=1e-12)
    probabilities = logits_to_probabilities(np.log([[0.25, 0.25, 0.5]]), facts)
    expected = np.sqrt([0.25, 0.25, 0.5]) * [1, 1, np.exp(0.5)]
    np.testing.assert_allclose(probabilities, [expected / expected.sum()], rtol=1e-12)


def test_no_embeddings_have_no_probabilities(tmp_path: Path) -> None:
    classifier = load_still_classifier(write(tmp_path, TENSORS))
    assert classifier.classify(np.zeros((0, 32), np.float32)).shape == (0, 3)
    with pytest.raises(ValueError, match=r"must be \(T, 32\), got \(2, 5\)"):
        classifier.classify(np.zeros((2, 5), np.float32))


def test_the_classifier_is_called_as_the_networks_source_calls_it() -> None:
    with torch.device("meta"):
        found = {name: classifier_prefix(spec.build()) for name, spec in NETWORKS.items()}
    assert found == {
        "ir50": "classifier.",
        "iresnet50": "classifier.",
        "resnet18": "fc.",
        "resnet29": "classifier.",
        "vggface": "fc8.",
    }


@pytest.mark.parametrize(
    ("tensors", "facts", "message"),
    [
        (TENSORS, None, "names no classes; only weights that avfuse fine-tuned"),
        (TENSORS, replace(FACTS, classes=()), "names no classes"),
        (TENSORS, replace(FACTS, network="vgg99"), "of the network 'vgg99', which avfuse"),
        (TENSORS, replace(FACTS, classes=("a", "b")), r"2 classes need fc.weight .*got \[3, 32\]"),
        ({"conv1.weight": torch.zeros(2)}, FACTS, r"need fc.weight of shape \[3, 32\], got none"),
        (TENSORS | {"fc.weight": torch.zeros(3, 64)}, FACTS, r"\[3, 32\], got \[3, 64\]"),
        (TENSORS | {"fc.bias": torch.zeros(3, dtype=torch.int32)}, FACTS, "need fc.bias"),
        (TENSORS | {"fc.bias": torch.tensor([0, 1, torch.nan])}, FACTS, "fc.bias holds nan or inf"),
    ],
)
def test_a_file_without_a_sound_classifier_is_refused(
    tmp_path: Path, tensors: dict[str, torch.Tensor], facts: WeightFacts | None, message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        load_still_classifier(write(tmp_path, tensors, facts))


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, TENSORS)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(WeightsError, match="is not a valid safetensors file"):
        load_still_classifier(path)
