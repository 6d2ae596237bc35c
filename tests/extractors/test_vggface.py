from __future__ import annotations

import numpy as np
import pytest
import torch

from extractors.vggface import VGGFace
from tests.extractors import reference
from tests.extractors.pins import layout, layout_digest


def test_names_and_shapes_are_those_of_vgg_face_dag_up_to_fc6() -> None:
    with torch.device("meta"):
        net = VGGFace()
    found = layout(net)
    convs = ["1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3"]
    convs += ["5_1", "5_2", "5_3"]
    expected = [f"conv{conv}.{kind}" for conv in convs for kind in ("weight", "bias")]
    assert list(found) == [*expected, "fc6.weight", "fc6.bias"]
    assert found["conv1_1.weight"] == (64, 3, 3, 3)
    assert found["conv3_1.weight"] == (256, 128, 3, 3)
    assert found["conv5_3.bias"] == (512,)
    assert found["fc6.weight"] == (4096, 25088)
    # VGG-16's 138,357,544 parameters less its fc7 and its classifier of 1000.
    assert sum(p.numel() for p in net.parameters()) == 138_357_544 - 4096 * 4097 - 4097 * 1000


def test_names_and_shapes_have_not_changed() -> None:
    assert (
        layout_digest(VGGFace) == "d12d4bdf52c0e1653003f3f9d5d07b8936f92663d5004c6d4fb650f24e5a74d2"
    )


def test_the_forward_pass_equals_the_definition_in_numpy() -> None:
    net = VGGFace(image_size=67, embedding_dim=5, width=2)
    state = reference.randomise(net, 17)
    images = torch.rand(3, 3, 67, 67, dtype=torch.float64) - 0.5
    with torch.inference_mode():
        found = net(images).numpy()
        assert net.feature_map(images).shape == (3, 16, 2, 2)
    assert found.shape == (3, 5)
    np.testing.assert_allclose(found, reference.vggface(images.numpy(), state), rtol=1e-9)


def test_fc6_is_given_before_its_relu() -> None:
    net = VGGFace(image_size=32, embedding_dim=3, width=2).eval()
    with torch.no_grad():
        net.fc6.bias.fill_(-100.0)
        assert (net(torch.zeros(1, 3, 32, 32)) < -50).all()


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="image_size must be at least 32, got 31"):
        VGGFace(image_size=31)
    with pytest.raises(ValueError, match="at least 1, got 0 and 64"):
        VGGFace(embedding_dim=0)
    with pytest.raises(ValueError, match="at least 1, got 4096 and -2"):
        VGGFace(width=-2)


def test_images_of_another_shape_or_kind_are_refused() -> None:
    net = VGGFace(image_size=32, embedding_dim=3, width=2).eval()
    for call in (net, net.feature_map):
        with pytest.raises(ValueError, match=r"\(N, 3, 32, 32\), got \(1, 3, 33, 32\)"):
            call(torch.zeros(1, 3, 33, 32))
        with pytest.raises(ValueError, match=r"float and normalised, got torch\.uint8"):
            call(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
