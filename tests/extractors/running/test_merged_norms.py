from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from extractors.running.merged_norms import EveryNth, merge_norms
from tests.extractors.small import give_statistics, small_specs

SPECS = small_specs()
# Norms that don't follow a convolution stay: before a padded one, after or before a linear layer.
MERGED = {
    "ir50": (28, 54),
    "iresnet50": (53, 79),
    "resnet18": (20, 20),
    "resnet29": (29, 29),
    "vggface": (0, 0),
}


def norms(module: nn.Module) -> int:
    return sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in module.modules())


@pytest.mark.parametrize("name", list(SPECS))
def test_every_network_of_the_table_stays_the_same_function(name: str) -> None:
    module = SPECS[name].build().eval().double()
    give_statistics(module)
    images = torch.rand(3, 3, 32, 32, dtype=torch.float64)
    merged = copy.deepcopy(module)
    assert (merge_norms(merged), norms(module)) == MERGED[name]
    assert norms(merged) == MERGED[name][1] - MERGED[name][0]
    with torch.no_grad():
        for one, two in ((module, merged), (module.feature_map, merged.feature_map)):
            torch.testing.assert_close(two(images), one(images), rtol=0, atol=1e-12)  # type: ignore[operator]  # both can be called
    assert merge_norms(merged) == 0


def test_a_merged_convolution_is_the_norm_of_the_convolution_worked_out() -> None:
    convolution, norm = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0.0)
    with torch.no_grad():
        convolution.weight.fill_(3.0)
        convolution.bias.fill_(5.0)  # type: ignore[union-attr]  # there by default
        norm.weight.fill_(7.0)
        norm.bias.fill_(11.0)
        norm.running_mean.fill_(2.0)  # type: ignore[union-attr]  # there by default
        norm.running_var.fill_(4.0)  # type: ignore[union-attr]  # there by default
    module = nn.Sequential(convolution, norm).eval()
    assert merge_norms(module) == 1
    # (3 x + 5 - 2) / 2 * 7 + 11 = 10.5 x + 21.5
    assert module[0].weight.item() == 10.5
    assert module[0].bias.item() == 21.5
    assert module(torch.full((1, 1, 1, 1), 2.0)).item() == 42.5


def test_a_norm_with_other_channels_than_the_convolution_before_it_stays() -> None:
    class Unrelated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 1)
            self.norm = nn.BatchNorm2d(7)

    assert merge_norms(Unrelated().eval()) == 0


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_every_nth_pixel_is_what_a_max_pool_over_single_pixels_yields(stride: int) -> None:
    images = torch.rand(2, 3, 7, 11)
    pool = nn.Sequential(nn.MaxPool2d(1, stride)).eval()
    expected = pool(images)
    merge_norms(pool)
    assert isinstance(pool[0], EveryNth)
    assert torch.equal(pool(images), expected)


def test_a_network_in_training_is_refused() -> None:
    with pytest.raises(ValueError, match="only a network in evaluation mode can be merged"):
        merge_norms(nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5)))
