"""Shapes and shortcuts of dlib's network, by hand."""

from __future__ import annotations

import pytest
import torch

from extractors.other_networks.resnet29 import SMALLEST, ResidualUnit, ResNet29, fill_up


def test_an_image_below_the_smallest_size_is_refused_and_that_size_is_not() -> None:
    network = ResNet29(width=1).eval()
    assert network(torch.zeros(1, 3, SMALLEST, SMALLEST)).shape == (1, 8)
    with pytest.raises(ValueError, match="at least 11 pixels"):
        network(torch.zeros(1, 3, SMALLEST - 1, SMALLEST - 1))


def test_images_must_be_square() -> None:
    with pytest.raises(ValueError, match="square images"):
        ResNet29(width=1)(torch.zeros(1, 3, 112, 120))


@pytest.mark.parametrize(("size", "expected"), [(35, 17), (8, 4), (3, 1), (2, 1), (1, 1)])
def test_a_unit_that_halves_keeps_the_larger_of_its_two_maps(size: int, expected: int) -> None:
    unit = ResidualUnit(2, 4, halves=True).eval()
    assert unit(torch.rand(1, 2, size, size)).shape == (1, 4, expected, expected)


def test_the_shortcut_is_the_mean_of_four_pixels_in_the_first_channels() -> None:
    unit = ResidualUnit(1, 2, halves=True).eval()
    torch.nn.init.zeros_(unit.conv2.weight)  # nothing but the shortcut is left
    images = torch.tensor([[[[1.0, 3, 0, 0], [5, 7, 0, 0], [0, 0, 2, 2], [0, 0, 2, 2]]]])
    expected = torch.tensor([[[[4.0, 0], [0, 2]], [[0, 0], [0, 0]]]])
    torch.testing.assert_close(unit(images), expected)


def test_zeros_stand_right_below_and_behind() -> None:
    filled = fill_up(torch.ones(1, 1, 2, 2), 3, 2)
    assert filled.shape == (1, 2, 3, 3)
    assert filled[0, 0].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert not filled[0, 1].any()
