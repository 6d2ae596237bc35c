from __future__ import annotations

import numpy as np
import pytest
import torch

from extractors.ir50 import IR50
from tests.extractors import reference
from tests.extractors.pins import layout, layout_digest


def published_layout() -> dict[str, tuple[int, ...]]:
    """Names and shapes by rule, after face.evoLVe's IR_50 for 112 pixels."""
    found: dict[str, tuple[int, ...]] = {"input_layer.0.weight": (64, 3, 3, 3)}

    def norm(key: str, dim: int) -> None:
        for name in ("weight", "bias", "running_mean", "running_var"):
            found[f"{key}.{name}"] = (dim,)
        found[f"{key}.num_batches_tracked"] = ()

    norm("input_layer.1", 64)
    found["input_layer.2.weight"] = (64,)
    norm("output_layer.0", 512)
    found["output_layer.3.weight"] = (512, 512 * 7 * 7)
    found["output_layer.3.bias"] = (512,)
    norm("output_layer.4", 512)
    dims = [64] * 3 + [128] * 4 + [256] * 14 + [512] * 3
    for unit, (before, dim) in enumerate(zip([64, *dims], dims, strict=False)):
        key = f"body.{unit}.res_layer"
        if before != dim:
            found[f"body.{unit}.shortcut_layer.0.weight"] = (dim, before, 1, 1)
            norm(f"body.{unit}.shortcut_layer.1", dim)
        norm(f"{key}.0", before)
        found[f"{key}.1.weight"] = (dim, before, 3, 3)
        found[f"{key}.2.weight"] = (dim,)
        found[f"{key}.3.weight"] = (dim, dim, 3, 3)
        norm(f"{key}.4", dim)
    return found


@pytest.mark.slow
def test_names_and_shapes_are_those_of_the_published_weights() -> None:
    with torch.device("meta"):
        found = layout(IR50())
    assert found == published_layout()
    assert found["body.23.res_layer.3.weight"] == (512, 512, 3, 3)
    assert found["body.21.shortcut_layer.0.weight"] == (512, 256, 1, 1)
    assert "body.0.shortcut_layer.0.weight" not in found


def test_names_and_shapes_have_not_changed() -> None:
    assert layout_digest(IR50) == "f0e819d34801db21be291d96c18f9b19c391241802547f49b257affb24644488"


@pytest.mark.parametrize("image_size", [19, 32])
def test_the_forward_pass_equals_the_definition_in_numpy(image_size: int) -> None:
    net = IR50(image_size=image_size, embedding_dim=5, width=2)
    state = reference.randomise(net, 7)
    images = torch.rand(3, 3, image_size, image_size, dtype=torch.float64) - 0.5
    with torch.inference_mode():
        found = net(images).numpy()
    assert found.shape == (3, 5)
    np.testing.assert_allclose(found, reference.ir50(images.numpy(), state), rtol=1e-9)


@pytest.mark.slow
def test_an_image_of_112_pixels_ends_in_512_values_and_a_map_of_7_by_7() -> None:
    net = IR50().eval()
    with torch.inference_mode():
        image = torch.zeros(1, 3, 112, 112)
        assert net(image).shape == (1, 512)
        assert net.feature_map(image).shape == (1, 512, 7, 7)


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((2, 3, 17, 16), torch.float32, r"\(N, 3, 16, 16\), got \(2, 3, 17, 16\).*resize to 16x16"),
        ((2, 1, 16, 16), torch.float32, r"got \(2, 1, 16, 16\)"),
        ((3, 16, 16), torch.float32, r"got \(3, 16, 16\)"),
        ((2, 3, 16, 16), torch.uint8, r"float and normalised, got torch.uint8"),
    ],
)
def test_images_of_another_shape_or_kind_are_refused(
    shape: tuple[int, ...], dtype: torch.dtype, message: str
) -> None:
    net = IR50(image_size=16, embedding_dim=3, width=2).eval()
    images = torch.zeros(shape, dtype=dtype)
    with pytest.raises(ValueError, match=message):
        net(images)
    with pytest.raises(ValueError, match=message):
        net.feature_map(images)
