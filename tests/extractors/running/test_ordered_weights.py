"""Ordered weights yield the same numbers, and leave no second copy behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from extractors.running import ordered_weights as ordering
from extractors.running.ordered_weights import OrderedConv2d, order_weights
from extractors.weights.random import initialise
from tests.extractors.small import ROUNDING, give_statistics, small_specs

SPECS = small_specs()


@pytest.mark.parametrize(
    "options",
    [{}, {"stride": 2}, {"bias": False}, {"kernel_size": 1, "padding": 0}, {"groups": 4}],
)
def test_a_convolution_with_ordered_weights_yields_the_same_for_batches_of_any_size(
    options: dict[str, int],
) -> None:
    generator = torch.Generator().manual_seed(4)
    plain = nn.Conv2d(16, 32, **{"kernel_size": 3, "padding": 1, **options})  # type: ignore[arg-type]  # keywords
    ordered = OrderedConv2d(plain, torch.Size([5, 16, 14, 14]))
    with torch.inference_mode():
        for count, size in ((5, 14), (2, 14), (7, 9)):
            images = torch.randn(count, 16, size, size, generator=generator)
            images = images.contiguous(memory_format=torch.channels_last)
            torch.testing.assert_close(ordered(images), plain(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", list(SPECS))
def test_a_network_has_all_its_convolutions_ordered_and_yields_the_same(name: str) -> None:
    module = SPECS[name].build().eval()
    initialise(module, 3)
    give_statistics(module)
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    images = images.contiguous(memory_format=torch.channels_last)
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    with torch.inference_mode():
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a stub lacks it
        expected = module(images)
        assert order_weights(module, 3, 32) == len(convolutions) > 0
        scale = float(expected.abs().max())
        torch.testing.assert_close(module(images), expected, rtol=0, atol=ROUNDING * scale)
    left = sum(p.numel() for p in module.parameters() if p.ndim == 4)
    assert left == 0


def test_a_pytorch_without_ordering_and_a_network_in_training_are_left_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1))
    with pytest.raises(ValueError, match=r"ordered in evaluation mode only; call eval\(\)"):
        order_weights(module, 3, 32)
    monkeypatch.setattr(ordering, "can_order_weights", lambda: False)
    assert order_weights(module.eval(), 3, 32) == 0
    assert isinstance(module[0], nn.Conv2d)


def test_this_pytorch_can_order_weights() -> None:
    """Where this fails after an update of PyTorch, 4 % of IR-50's speed is lost, nothing else."""
    assert ordering.can_order_weights()
