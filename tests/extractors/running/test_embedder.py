"""A face network as a function of crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from extractors import load_network
from extractors.networks import NETWORKS
from extractors.running.embedder import Embedder
from extractors.running.face_network import load_face_network
from extractors.running.settings import NetworkSettings
from extractors.view_settings import VIEW_SETS
from extractors.weights.error import WeightsError


@pytest.fixture(scope="module")
def embed() -> Embedder:
    return load_network("resnet18", "random", seed=3, device="cpu", batch_size=2)


def crops_of(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 37, 37, 3), dtype=np.uint8)


def test_embeddings_are_those_of_the_network_whatever_the_batch(embed: Embedder) -> None:
    crops = crops_of(3)
    found = embed(crops)
    assert (found.shape, found.dtype) == ((3, embed.dim), np.float32)
    settings = NetworkSettings(views=VIEW_SETS["basic"])
    network = load_face_network("resnet18", None, settings, seed=3)
    expected = network.embed(crops)[:, 0].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.array_equal(found, embed(crops))


def test_no_crops_have_no_embeddings(embed: Embedder) -> None:
    assert embed(crops_of(0)).shape == (0, embed.dim)


@pytest.mark.parametrize(
    "crops", [crops_of(1)[0], crops_of(1).astype(np.float32), np.zeros((1, 3, 37, 37), np.uint8)]
)
def test_crops_of_another_form_are_refused(crops: np.ndarray, embed: Embedder) -> None:
    with pytest.raises(ValueError, match=r"must be \(N, H, W, 3\) uint8, got"):
        embed(crops)


def test_what_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no network is called 'vgg'"):
        load_network("vgg")
    with pytest.raises(WeightsError, match="ships no weights of ir50; name a file, or 'random'"):
        load_network("ir50")
    with pytest.raises(ValueError, match="has the layers embedding, pooled, not 'fc6'"):
        load_network("resnet18", "random", layer="fc6")
    with pytest.raises(ValueError, match="tpu"):
        load_network("resnet18", device="tpu")
    with pytest.raises((WeightsError, OSError)):
        load_network("resnet18", tmp_path / "gone.pth")


def test_the_docstring_names_every_network() -> None:
    for name in NETWORKS:
        assert f"``{name}``" in (load_network.__doc__ or "")
