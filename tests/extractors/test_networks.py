from __future__ import annotations

import pytest
import torch

from extractors.networks import NETWORKS


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
