"""The weights that avfuse ships: sane, small, whole, and named when they are gone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from extractors.running.face_network import load_face_network
from extractors.running.settings import NetworkSettings
from extractors.running.still_classifier import load_still_classifier
from extractors.views import VIEW_SETS
from extractors.weights import default as default_network
from extractors.weights.default import DEFAULT_FILES, DEFAULT_NETWORK, default_weights
from extractors.weights.files import WeightsError, read_weight_file

MAX_BYTES = 25e6


def test_it_is_small_whole_and_says_what_it_is() -> None:
    path = default_weights(DEFAULT_NETWORK)
    assert path is not None
    assert path.stat().st_size <= MAX_BYTES
    tensors = read_weight_file(path).tensors.values()
    assert all(bool(tensor.read().isfinite().all()) for tensor in tensors)
    card = path.with_suffix(".md").read_text()
    assert load_face_network(DEFAULT_NETWORK, path).weights_digest in card
    facts = load_still_classifier(path).facts
    assert len(facts.classes) == 8
    assert facts.metrics["split"] == "FER+ test"
    assert 0.3 < facts.metrics["accuracy"] < 1


def test_what_it_is_worth_is_said_as_it_was_measured() -> None:
    path = DEFAULT_FILES[DEFAULT_NETWORK]
    root = path.parents[2]
    film = load_still_classifier(path).facts.metrics["film"]
    measured = json.loads((root / "benchmarks/results/default-network.json").read_text())
    assert measured["film"] == film
    said = f"**{film['right']} of {film['clips']}** clips"
    assert said in path.with_suffix(".md").read_text()
    assert said in (root / "docs/default-network.md").read_text()


def test_it_tells_faces_apart() -> None:
    path = DEFAULT_FILES[DEFAULT_NETWORK]
    settings = NetworkSettings(views=VIEW_SETS["basic"])
    network = load_face_network(DEFAULT_NETWORK, path, settings)
    data = pytest.importorskip("skimage.data", reason="the photograph is scikit-image's")
    photograph = data.astronaut()[30:200, 140:310]
    crops = np.stack([photograph, np.full_like(photograph, 127)])
    found = load_still_classifier(path).classify(network.extract(crops)["basic"])
    assert found.shape == (2, 8)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.abs(found[0] - found[1]).max() > 0.05


def test_networks_without_a_default_have_none() -> None:
    assert default_weights("ir50") is None


def test_a_default_that_is_gone_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(default_network.DEFAULT_FILES, "resnet18", tmp_path / "d.safetensors")
    with pytest.raises(WeightsError, match=r"d.safetensors; install avfuse again, or pass"):
        default_weights("resnet18")
