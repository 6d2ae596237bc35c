"""What weights say of themselves decides what settings leave open, down to the pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from extractors.networks import NETWORKS
from extractors.running.face_network import FaceNetwork, load_face_network
from extractors.running.settings import NetworkSettings, resolve_settings
from extractors.views import VIEW_SETS, resize_crops
from extractors.weights.facts import WeightFacts
from extractors.weights.files import WeightsError
from extractors.weights.random import initialise
from tests.extractors.small import small_specs, use_small_networks

SPECS = small_specs()
FACTS = WeightFacts("resnet18", ("a", "b"), 24, grey=True, detail=12)
BASIC = NetworkSettings(views=VIEW_SETS["basic"])


def seen_by(settings: NetworkSettings, facts: WeightFacts | None, crops: np.ndarray) -> np.ndarray:
    """The pixels that reach the network, not normalised: (N, 3, S, S)."""
    spec = replace(SPECS["resnet18"], mean=(0.0, 0.0, 0.0), deviation=(1.0, 1.0, 1.0))
    module = spec.build()
    initialise(module, 3)
    seen: list[torch.Tensor] = []
    module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    FaceNetwork(spec, module, settings, facts=facts).extract(crops)
    return seen[-1].numpy()


def test_what_is_left_open_is_what_the_weights_say() -> None:
    found = resolve_settings(NetworkSettings(), SPECS["resnet18"], FACTS)
    assert (found.image_size, found.colour, found.detail) == (24, "grey", 12)
    asked = NetworkSettings(image_size=48, colour="rgb", detail=20)
    found = resolve_settings(asked, SPECS["resnet18"], FACTS)
    assert (found.image_size, found.colour, found.detail) == (48, "rgb", 20)
    found = resolve_settings(NetworkSettings(), SPECS["resnet18"], None)
    assert (found.image_size, found.colour, found.detail) == (32, "rgb", 32)


@pytest.mark.parametrize(
    "asked",
    [
        NetworkSettings(detail=99),
        NetworkSettings(detail=32),
        NetworkSettings(image_size=32, colour="rgb"),
    ],
)
def test_two_ways_to_ask_for_the_same_pixels_have_one_key(asked: NetworkSettings) -> None:
    spec = SPECS["resnet18"]
    assert resolve_settings(asked, spec, None) == resolve_settings(NetworkSettings(), spec, None)


def test_a_grey_network_sees_luma_in_every_channel() -> None:
    crops = np.full((1, 32, 32, 3), (10, 20, 40), np.uint8)
    grey = seen_by(replace(BASIC, colour="grey"), None, crops)
    assert grey.shape == (1, 3, 32, 32)
    np.testing.assert_allclose(grey, 0.299 * 10 + 0.587 * 20 + 0.114 * 40, rtol=1e-6)
    np.testing.assert_allclose(seen_by(BASIC, FACTS, crops), grey[:, :, :24, :24], rtol=1e-6)
    assert seen_by(BASIC, None, crops)[0, :, 3, 5].tolist() == [10, 20, 40]


def test_detail_is_taken_out_before_the_crop_is_enlarged_as_training_images_were() -> None:
    crops = np.random.default_rng(2).integers(0, 256, (2, 60, 60, 3), dtype=np.uint8)
    seen = seen_by(replace(BASIC, image_size=24, detail=12), None, crops)
    small = resize_crops(crops, 12)
    expected = resize_crops(small.permute(0, 2, 3, 1), 24)
    np.testing.assert_allclose(seen, expected.numpy(), atol=1e-4)
    assert np.abs(seen - seen_by(replace(BASIC, image_size=24), None, crops)).max() > 10
    tiny = crops[:, :7, :7]  # has less detail already
    np.testing.assert_allclose(
        seen_by(replace(BASIC, image_size=24, detail=12), None, tiny),
        resize_crops(tiny, 24).numpy(),
        atol=1e-4,
    )


def test_loading_a_file_that_says_something_of_itself_follows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_small_networks(monkeypatch)
    module = NETWORKS["resnet18"].build()
    initialise(module, 3)
    path = tmp_path / "w.safetensors"
    save_file(dict(module.state_dict()), path, metadata=FACTS.to_metadata())
    network = load_face_network("resnet18", path)
    assert network.facts == FACTS
    assert (network.settings.image_size, network.settings.colour) == (24, "grey")
    other = replace(FACTS, network="ir50")
    save_file(dict(module.state_dict()), path, metadata=other.to_metadata())
    with pytest.raises(
        WeightsError, match=r"w.safetensors is a weight file of ir50, not of resnet"
    ):
        load_face_network("resnet18", path)


def test_a_size_in_the_file_that_its_network_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match="ir50 takes images of 32 pixels only, got image_size 24"):
        resolve_settings(NetworkSettings(), SPECS["ir50"], replace(FACTS, network="ir50"))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="weights, rgb, grey, got 'blue'"):
        NetworkSettings(colour="blue")  # type: ignore[arg-type]  # a wrong value is what is tested
    with pytest.raises(ValueError, match="detail must not be negative, got -1"):
        NetworkSettings(detail=-1)
