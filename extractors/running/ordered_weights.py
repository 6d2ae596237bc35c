"""Ordered weights: those of convolutions, in the order in which a processor reads them.

oneDNN puts them into its own order at each forward pass otherwise. That is little beside a large
batch; beside the small ones whose maps stay near the processor it is 3 to 7 % of the time
(benchmarks/NOTES.md).
"""

from __future__ import annotations

import functools
from typing import cast

import torch
from torch import Tensor, nn


class OrderedConv2d(nn.Module):
    """A convolution that is only evaluated, in float32 on a processor.

    Shapes (N images):
        ``images``: (N, C, H, W).
        result: (N, K, H', W'), those of ``convolution``, and its numbers: channels-last the same
        bits, with every other layout beyond rounding (tried on one kind of processor).

    Args:
        convolution: what it computes.
        shape: of the images it will mostly see; others are computed too. Always the same, so that
            the order of the weights doesn't depend on what comes first.
    """

    def __init__(self, convolution: nn.Conv2d, shape: torch.Size) -> None:
        super().__init__()
        self.bias = convolution.bias
        self._how = (
            convolution.padding,
            convolution.stride,
            convolution.dilation,
            convolution.groups,
        )
        self._weight: Tensor = torch._C._nn.mkldnn_reorder_conv2d_weight(  # type: ignore[call-arg]  # the stub is short of arguments
            convolution.weight.detach().to_mkldnn(),
            *self._how,  # type: ignore[arg-type]  # as above
            shape,
        )

    def forward(self, images: Tensor) -> Tensor:
        """Apply it; shapes are in the class docstring."""
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(
            images, self._weight, self.bias, *self._how, "none", [], ""
        )
        return result


def can_order_weights() -> bool:
    """Whether this PyTorch has the private functions that ordering needs."""
    return (
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch's
        and hasattr(torch._C._nn, "mkldnn_reorder_conv2d_weight")
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    )


def order_weights(module: nn.Module, num_images: int, image_size: int) -> int:
    """Order the weights of every convolution of a network in place.

    Args:
        module: a network in evaluation mode, in float32 on a processor. Its state dict lacks the
            convolutions' weights afterwards.
        num_images: of most forward passes.
        image_size: height and width of the images.

    Returns:
        The number of convolutions changed; 0 where ``can_order_weights`` says no.

    Raises:
        ValueError: ``module`` is in training mode: ordered weights can't learn.
    """
    if module.training:
        raise ValueError("weights are ordered in evaluation mode only; call eval() first")
    if not can_order_weights():
        return 0
    shapes: dict[nn.Module, torch.Size] = {}

    def note(convolution: nn.Conv2d, images: Tensor) -> Tensor:
        """Note the shape that comes, and pass on one of that which would follow."""
        shapes[convolution] = torch.Size([num_images, *images.shape[1:]])
        sizes = [
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, padding, dilation, kernel, stride in zip(
                images.shape[2:],
                cast("tuple[int, ...]", convolution.padding),
                convolution.dilation,
                convolution.kernel_size,
                convolution.stride,
                strict=True,
            )
        ]
        return images.new_zeros(len(images), convolution.out_channels, *sizes)

    places = [
        (parent, name, child)
        for parent in module.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Conv2d)
        and child.padding_mode == "zeros"
        and not isinstance(child.padding, str)
    ]
    for _, _, child in places:  # which are replaced below
        child.forward = functools.partial(note, child)  # type: ignore[method-assign]
    with torch.inference_mode():
        module(torch.zeros(1, 3, image_size, image_size))
    for parent, name, child in places:
        setattr(parent, name, OrderedConv2d(child, shapes[child]))
    return len(places)
