"""Merged norms: the same function of a trained network with fewer passes over its maps.

In evaluation a batch norm is a scale and a shift per channel. Where it follows a convolution both
go into that convolution's parameters, and one pass over the map is saved.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class EveryNth(nn.Module):
    """Take every ``stride``-th row and column: what a max pool over single pixels yields.

    Shapes (N images):
        ``images``: (N, C, H, W).
        result: (N, C, ceil(H / ``stride``), ceil(W / ``stride``)), the same numbers, not copied.

    Args:
        stride: pixels from one that is taken to the next.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, images: Tensor) -> Tensor:
        """Apply it; shapes are in the class docstring."""
        return images[:, :, :: self.stride, :: self.stride]


def merge_norms(module: nn.Module) -> int:
    """Merge what can be merged, in place.

    Batch norms that are registered right after a convolution with as many channels become part of
    it, computed in float64 and rounded once; max pools over single pixels become plain indexing.
    A norm in front of a padded convolution stays: the padding is of zeros after the norm.

    Args:
        module: a network of ``NETWORKS`` in evaluation mode, with its parameters loaded. Its key
            names are no longer those of published weights afterwards.

    Returns:
        The number of norms merged.

    Raises:
        ValueError: ``module`` is in training mode, where a norm depends on the batch.
    """
    if module.training:
        raise ValueError("only a network in evaluation mode can be merged; call eval() first")
    count = 0
    for parent in list(module.modules()):
        children = list(parent.named_children())
        for (name, child), (next_name, following) in pairwise(children):
            if (
                isinstance(child, nn.Conv2d)
                and isinstance(following, nn.BatchNorm2d)
                and child.out_channels == following.num_features
                and following.running_var is not None
            ):
                setattr(parent, name, _with_norm(child, following))
                setattr(parent, next_name, nn.Identity())
                count += 1
        for name, child in children:
            if isinstance(child, nn.MaxPool2d) and child.kernel_size == 1:
                setattr(parent, name, EveryNth(child.stride))  # type: ignore[arg-type]  # an int or a pair
    return count


def _with_norm(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Return a convolution that is followed by the norm already."""
    mean, variance = (norm.get_buffer(name).double() for name in ("running_mean", "running_var"))
    scale = (variance + norm.eps).rsqrt()
    shift = -mean
    if convolution.bias is not None:
        shift = shift + convolution.bias.detach().double()
    shift = shift * scale
    if norm.affine:
        gain = norm.weight.detach().double()
        scale, shift = scale * gain, shift * gain + norm.bias.detach().double()
    dtype = convolution.weight.dtype
    weight = convolution.weight.detach().double() * scale.view(-1, 1, 1, 1)
    with torch.device("meta"):  # its own random parameters are never needed
        merged = nn.Conv2d(
            convolution.in_channels,
            convolution.out_channels,
            convolution.kernel_size,  # type: ignore[arg-type]  # two, as these three are
            convolution.stride,  # type: ignore[arg-type]
            convolution.padding,  # type: ignore[arg-type]
            convolution.dilation,  # type: ignore[arg-type]
            convolution.groups,
            padding_mode=convolution.padding_mode,
        )
    merged.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    merged.bias = nn.Parameter(shift.to(dtype), requires_grad=False)
    return merged.eval()
