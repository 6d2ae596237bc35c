"""The weight file of a fine-tuned classifier: written, read back, and refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from extractors.networks import NETWORKS
from extractors.weights.files import WeightsError
from extractors.weights.identify import compare
from tests.trainer.stills_helper import FACTS
from trainer.stills.classifier import FaceClassifier
from trainer.stills.weights_file import describe_start, load_classifier, save_classifier

pytestmark = pytest.mark.usefixtures("narrow")


def test_the_published_width_fits_into_25_megabytes() -> None:
    classifier = FaceClassifier("resnet18", 8)
    halved = sum(v.numel() * (2 if v.ndim > 1 else 4) for v in classifier.state_dict().values())
    assert halved < 25e6


def test_a_classifier_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    classifier = FaceClassifier("narrow", 3, seed=7)
    file = load_classifier(save_classifier(classifier, tmp_path / "a.safetensors", FACTS))
    for name, value in classifier.state_dict().items():
        assert torch.equal(value, file.classifier.state_dict()[name])
    assert not file.classifier.training


@pytest.mark.slow
def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    classifier = FaceClassifier("narrow", 3)
    save_classifier(classifier, path, replace(FACTS, classes=("a", "b")))
    with pytest.raises(WeightsError, match=r"2 classes \(a, b\) fc.weight must be \[2, 24\]"):
        load_classifier(path)
    save_classifier(classifier, path, replace(FACTS, network="resnet50"))
    with pytest.raises(WeightsError, match="names the network 'resnet50' and 3 classes"):
        load_classifier(path)
    save_file(classifier.file_state(classifier.state_dict()), path, {"avfuse": "{}"})
    with pytest.raises(WeightsError, match=r"header states no classes, data, .*, image_size"):
        load_classifier(path)
    save_classifier(classifier, path, replace(FACTS, network="resnet18"))
    with pytest.raises(WeightsError, match=r"does not fit ResNet18"):
        load_classifier(path)
    state = classifier.file_state(classifier.state_dict())
    del state["fc.bias"]
    save_file(state, path, FACTS.to_metadata())
    with pytest.raises(WeightsError, match=r"fc.bias must be \[3\], got nothing"):
        load_classifier(path)
    with torch.no_grad():
        classifier.classifier.bias[0] = float("nan")
    save_classifier(classifier, path, FACTS)
    with pytest.raises(WeightsError, match=r"fc.bias holds nan or inf"):
        load_classifier(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(WeightsError, match="not a valid safetensors file"):
        load_classifier(path)


def test_what_a_start_was_trained_on_is_said(tmp_path: Path) -> None:
    path = save_classifier(FaceClassifier("narrow", 3), tmp_path / "a.safetensors", FACTS)
    text = describe_start(path, ("x", "y"))
    assert "trained on other 3 classes (a, b, c)" in text
    assert "its classifier is left out, a new one learns x, y" in text
    assert "the same 3 classes" in describe_start(path, ("a", "b", "c"))
    save_file(FaceClassifier("narrow", 3).network.state_dict(), path)
    with pytest.raises(WeightsError, match="does not name its network and classes"):
        load_classifier(path)
    assert describe_start(path, ("a", "b")) == f"starting from {path}"
    with pytest.raises(WeightsError, match="does not exist"):
        describe_start(tmp_path / "nowhere", ("a", "b"))


@pytest.mark.parametrize("network", [name for name in NETWORKS if name != "narrow"])
def test_every_network_loads_beside_a_classifier_of_ours(network: str) -> None:
    with torch.device("meta"):
        module = NETWORKS[network].build()
        tensors = dict(module.state_dict())
        for prefix in ("classifier.",):
            tensors[prefix + "weight"] = torch.empty(8, 5)
            tensors[prefix + "bias"] = torch.empty(8)
    match = compare(network, module, tensors)
    assert match.fits
    assert match.dropped == ("classifier.weight", "classifier.bias")
