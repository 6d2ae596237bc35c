from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch

from extractors.resnet18 import ResNet18
from tests.extractors import reference
from tests.extractors.pins import layout, layout_digest


def test_names_and_shapes_are_those_of_torchvision_without_the_classifier() -> None:
    with torch.device("meta"):
        net = ResNet18()
    found = layout(net)
    for key, shape in {
        "conv1.weight": (64, 3, 7, 7),
        "bn1.running_mean": (64,),
        "layer1.0.conv1.weight": (64, 64, 3, 3),
        "layer1.1.bn2.bias": (64,),
        "layer2.0.conv1.weight": (128, 64, 3, 3),
        "layer2.0.downsample.0.weight": (128, 64, 1, 1),
        "layer3.0.downsample.1.running_var": (256,),
        "layer4.1.conv2.weight": (512, 512, 3, 3),
    }.items():
        assert found[key] == shape, key
    assert "layer1.0.downsample.0.weight" not in found
    # torchvision's count of parameters, less its classifier's 512 * 1000 + 1000.
    assert sum(p.numel() for p in net.parameters()) == 11_689_512 - 513_000
    assert not any(key.startswith("fc") for key in found)


def test_names_and_shapes_have_not_changed() -> None:
    assert (
        layout_digest(ResNet18)
        == "ddf4934ad46eafa3e5b64340ec22732f2b6ecd525fe738b2c29d44dd1fbe9a6c"
    )


@pytest.mark.parametrize(("stem", "size"), [("imagenet", (37, 41)), ("small", (11, 13))])
def test_the_forward_pass_equals_the_definition_in_numpy(
    stem: Literal["imagenet", "small"], size: tuple[int, int]
) -> None:
    net = ResNet18(stem=stem, width=2)
    state = reference.randomise(net, 13)
    images = torch.rand(3, 3, *size, dtype=torch.float64) - 0.5
    with torch.inference_mode():
        found = net(images).numpy()
    assert found.shape == (3, 16)
    np.testing.assert_allclose(found, reference.resnet18(images.numpy(), state, stem), rtol=1e-9)


@pytest.mark.parametrize(
    ("stem", "size", "map_size"),
    [("imagenet", 224, 7), ("imagenet", 112, 4), ("small", 48, 6), ("imagenet", 1, 1)],
)
def test_any_image_size_ends_in_512_values(
    stem: Literal["imagenet", "small"], size: int, map_size: int
) -> None:
    net = ResNet18(stem=stem).eval()
    with torch.inference_mode():
        image = torch.rand(1, 3, size, size)
        fmap = net.feature_map(image)
        assert fmap.shape == (1, 512, map_size, map_size)
        assert torch.equal(net(image), fmap.mean(dim=(2, 3)))


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="stem must be imagenet or small, got 'big'"):
        ResNet18(stem="big")  # type: ignore[arg-type]  # a wrong value is what is tested
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        ResNet18(width=0)


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((2, 1, 16, 16), torch.float32, r"\(N, 3, H, W\), got \(2, 1, 16, 16\)"),
        ((2, 3, 0, 16), torch.float32, r"got \(2, 3, 0, 16\)"),
        ((3, 16, 16), torch.float32, r"got \(3, 16, 16\)"),
        ((2, 3, 16, 16), torch.uint8, "float and normalised, got torch.uint8"),
    ],
)
def test_images_of_another_shape_or_kind_are_refused(
    shape: tuple[int, ...], dtype: torch.dtype, message: str
) -> None:
    net = ResNet18(width=2).eval()
    for call in (net, net.feature_map):
        with pytest.raises(ValueError, match=message):
            call(torch.zeros(shape, dtype=dtype))
