"""Images as face networks take them: their check, and their luma."""

from __future__ import annotations

import torch
from torch import Tensor


def check_images(images: Tensor, size: int | None = None) -> None:
    """Refuse anything but a batch of normalised RGB images.

    Args:
        images: what a network was given.
        size: height and width in pixels that the network's parameters fit; None where any does.

    Raises:
        ValueError: ``images`` is not float, not (N, 3, ``size``, ``size``), or has no pixel.
    """
    height_width = ("H", "W") if size is None else (str(size), str(size))
    wrong_size = 0 in images.shape[2:] if size is None else tuple(images.shape[2:]) != (size, size)
    if images.ndim != 4 or images.shape[1] != 3 or wrong_size:
        hint = "" if size is None else f"; the parameters fit one size, so resize to {size}x{size}"
        raise ValueError(
            f"images must have shape (N, 3, {', '.join(height_width)}), "
            f"got {tuple(images.shape)}{hint}"
        )
    if not torch.is_floating_point(images):
        raise ValueError(f"images must be float and normalised, got {images.dtype}")


def luma(pixels: Tensor) -> Tensor:
    """Return the grey level of RGB pixels, (N, 3, H, W) to (N, 1, H, W) (ITU-R BT.601)."""
    weights = pixels.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (pixels * weights).sum(dim=1, keepdim=True)
