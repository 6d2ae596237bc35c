from __future__ import annotations

import numpy as np
import pytest
import torch

from extractors.ir50 import IR50
from extractors.other_networks.iresnet50 import IResNet50
from tests.extractors import reference
from tests.extractors.pins import layout, layout_digest


@pytest.mark.slow
def test_names_and_shapes_are_those_of_the_published_weights() -> None:
    with torch.device("meta"):
        found = layout(IResNet50())
    # Typed after insightface/recognition/arcface_torch, iresnet50.
    for key, shape in {
        "conv1.weight": (64, 3, 3, 3),
        "bn1.running_var": (64,),
        "prelu.weight": (64,),
        "layer1.0.bn1.weight": (64,),
        "layer1.0.downsample.0.weight": (64, 64, 1, 1),
        "layer1.0.downsample.1.running_mean": (64,),
        "layer2.0.conv1.weight": (128, 64, 3, 3),
        "layer2.0.prelu.weight": (128,),
        "layer3.13.bn3.bias": (256,),
        "layer3.13.conv2.weight": (256, 256, 3, 3),
        "layer4.2.bn2.running_mean": (512,),
        "bn2.weight": (512,),
        "fc.weight": (512, 25088),
        "fc.bias": (512,),
        "features.running_mean": (512,),
    }.items():
        assert found[key] == shape, key
    assert "layer3.14.bn1.weight" not in found
    assert "layer1.1.downsample.0.weight" not in found
    norms = sum(key.endswith("running_var") for key in found)
    # Three a unit of 24, one a shortcut of 4, and bn1, bn2, features.
    assert norms == 3 * 24 + 4 + 3
    convs, prelus, linear = 1 + 2 * 24 + 4, 1 + 24, 2
    assert len(found) == 5 * norms + convs + prelus + linear


def test_it_has_a_norm_a_unit_and_one_shortcut_more_than_ir50() -> None:
    with torch.device("meta"):
        ours, other = (sum(p.numel() for p in net.parameters()) for net in (IResNet50(), IR50()))
    norms = 2 * (3 * 64 + 4 * 128 + 14 * 256 + 3 * 512)
    shortcut = 64 * 64 + 2 * 64
    assert ours - other == norms + shortcut


def test_names_and_shapes_have_not_changed() -> None:
    assert (
        layout_digest(IResNet50)
        == "208c092dbdfe4ebe37d5bbc3b24cb9e9628201a4ba5405d8027623302733fc77"
    )


@pytest.mark.parametrize("image_size", [19, 32])
def test_the_forward_pass_equals_the_definition_in_numpy(image_size: int) -> None:
    net = IResNet50(image_size=image_size, embedding_dim=5, width=2)
    state = reference.randomise(net, 11)
    images = torch.rand(3, 3, image_size, image_size, dtype=torch.float64) - 0.5
    with torch.inference_mode():
        found = net(images).numpy()
        assert net.feature_map(images).shape[:2] == (3, 16)
    assert found.shape == (3, 5)
    np.testing.assert_allclose(found, reference.iresnet50(images.numpy(), state), rtol=1e-9)


def test_images_of_another_shape_are_refused() -> None:
    net = IResNet50(image_size=16, embedding_dim=3, width=2).eval()
    for call in (net, net.feature_map):
        with pytest.raises(ValueError, match=r"\(N, 3, 16, 16\), got \(2, 3, 16, 23\)"):
            call(torch.zeros(2, 3, 16, 23))
        with pytest.raises(ValueError, match=r"float and normalised, got torch.int64"):
            call(torch.zeros(2, 3, 16, 16, dtype=torch.int64))
