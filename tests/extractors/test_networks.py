from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from extractors.ir50 import IR50
from extractors.networks import NETWORKS
from extractors.other_networks.iresnet50 import IResNet50
from extractors.other_networks.resnet29 import ResNet29
from extractors.resnet18 import ResNet18
from extractors.vggface import VGGFace

# Small ones, and the shape of images for each.
SMALL: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "ir50": (lambda: IR50(image_size=16, embedding_dim=3, width=2), (5, 3, 16, 16)),
    "iresnet50": (lambda: IResNet50(image_size=16, embedding_dim=3, width=2), (5, 3, 16, 16)),
    "resnet18": (lambda: ResNet18(stem="small", width=3), (5, 3, 17, 19)),
    "resnet29": (lambda: ResNet29(width=2), (3, 3, 110, 110)),
    "vggface": (lambda: VGGFace(image_size=32, embedding_dim=3, width=5), (3, 3, 32, 32)),
}


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_network_yields_what_the_table_says(name: str) -> None:
    spec = NETWORKS[name]
    assert spec.name == name
    with torch.device("meta"):
        net = spec.build().eval()
        images = torch.zeros(2, 3, spec.image_size, spec.image_size)
        assert net(images).shape == (2, spec.layers[spec.default_layer])
        assert net.feature_map(images).shape[:2] == (2, spec.layers["pooled"])
        if spec.any_size:
            assert net(torch.zeros(2, 3, 67, 67)).shape == (2, spec.layers[spec.default_layer])
    assert min(spec.deviation) > 0
    assert all(0 < mean < 255 for mean in spec.mean)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_gradients_reach_every_parameter(name: str) -> None:
    build, shape = SMALL[name]
    net = build()
    net(torch.randn(shape)).square().sum().backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", ["image_size", "embedding_dim", "width"])
@pytest.mark.parametrize(("build", "size"), [(IR50, 0), (IResNet50, -1)])
def test_a_size_below_one_is_refused(build: type[nn.Module], size: int, name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be at least 1, got {size}"):
        build(**{name: size})


def test_normalisation_is_that_of_each_networks_training() -> None:
    for name in ("ir50", "iresnet50"):
        spec = NETWORKS[name]  # (value / 255 - 0.5) / 0.5
        assert [(255 - m) / d for m, d in zip(spec.mean, spec.deviation, strict=True)] == [1.0] * 3
    spec = NETWORKS["resnet18"]
    assert [m / 255 for m in spec.mean] == pytest.approx([0.485, 0.456, 0.406])
    assert [d / 255 for d in spec.deviation] == pytest.approx([0.229, 0.224, 0.225])
    # Red first: faces have more of it than of blue.
    assert NETWORKS["vggface"].mean == pytest.approx([129.1863, 104.7624, 93.5940], abs=1e-4)
    assert NETWORKS["vggface"].deviation == (1.0, 1.0, 1.0)
