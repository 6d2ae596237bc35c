"""Views: the augmented variants of a face crop, made where the crop lies in one batched warp."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from extractors.view_settings import PADDING_MODES, VIEW_SETS, View, ViewSettings

__all__ = [
    "VIEW_SETS",
    "View",
    "ViewSettings",
    "make_views",
    "resize_crops",
    "view_matrices",
    "view_statistics",
]


def view_matrices(settings: ViewSettings, size: int) -> np.ndarray:
    """Write the views as affine maps from crop to view, the form that cv2.warpAffine takes.

    Returns:
        (V, 2, 3) float64, in pixels of a ``size`` x ``size`` image whose first pixel's centre is
        at (0, 0); V as in ``settings.views``.
    """
    x, y = (share * size - 0.5 for share in settings.centre)
    matrices = np.empty((len(settings.views), 2, 3))
    for matrix, view in zip(matrices, settings.views, strict=True):
        angle = math.radians(view.rotation)
        cos, sin = view.scale * math.cos(angle), view.scale * math.sin(angle)
        # Rows of pixels run down, so that this turns counter-clockwise as one sees it.
        turn = np.array([[cos, sin, (1 - cos) * x - sin * y], [-sin, cos, sin * x + (1 - cos) * y]])
        mirror = np.diag([-1.0 if view.flip else 1.0, 1.0, 1.0])
        mirror[0, 2] = size - 1.0 if view.flip else 0.0
        matrix[:] = turn @ mirror
    return matrices


def resize_crops(crops: Tensor | np.ndarray, size: int) -> Tensor:
    """Bring crops to a network's size: (N, 3, ``size``, ``size``) float32, values still 0 to 255.

    Bilinear with anti-aliasing, so that halving a crop averages its pixels; the same size is
    passed through untouched.

    Raises:
        ValueError: see ``make_views``.
    """
    images = torch.as_tensor(crops)
    if images.ndim != 4 or images.shape[3] != 3 or images.shape[1] != images.shape[2]:
        raise ValueError(
            f"crops must be square RGB images of shape (N, S, S, 3), got {tuple(images.shape)}"
        )
    if images.dtype != torch.uint8 and not torch.is_floating_point(images):
        raise ValueError(f"crops must be uint8 or float from 0 to 255, got {images.dtype}")
    if size < 1 or images.shape[1] < 1:
        raise ValueError(f"crops and size must have a pixel, got {tuple(images.shape)} and {size}")
    images = images.permute(0, 3, 1, 2).to(torch.float32)
    if images.shape[0] == 0:
        return images.new_zeros(0, 3, size, size)
    if images.shape[2] == size:
        return images
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)


def make_views(
    crops: Tensor | np.ndarray, settings: ViewSettings | None = None, size: int | None = None
) -> Tensor:
    """Make every view of every crop, on the crops' device and in one warp.

    Crops are brought to ``size`` first, with anti-aliasing, and warped there. A view that neither
    rotates nor scales is copied, not interpolated: view 0 equals the resized crop exactly.

    Shapes (N crops, V views):
        ``crops``: (N, S, S, 3), RGB, uint8 or float, values from 0 to 255.
        result: (N, V, 3, ``size``, ``size``), float32, values from 0 to 255; views in the order of
        ``settings.views``. Each network normalises by its own mean and deviation.

    Args:
        crops: aligned face crops.
        settings: which views; the default 18 if left out.
        size: height and width of a view in pixels; that of the crops if left out.

    Raises:
        ValueError: ``crops`` is not (N, S, S, 3), neither uint8 nor float, or has no pixel;
            ``size`` is below 1.

    Source:
        Zhou et al., "Exploring Emotion Features and Fusion Strategies", ICMI 2019, table 3. What it
        leaves open is taken thus: the full product, about the centre, mirrored at the border.
    """
    settings = ViewSettings() if settings is None else settings
    if size is None:
        size = int(crops.shape[1]) if len(crops.shape) == 4 else 1
    images = resize_crops(crops, size)
    views = settings.views
    result = images.new_empty(images.shape[0], len(views), 3, size, size)
    for index, view in enumerate(views):
        if not view.is_warped:
            result[:, index] = images.flip(3) if view.flip else images
    warped = [index for index, view in enumerate(views) if view.is_warped]
    if warped and images.shape[0]:
        grids = _warped_grids(settings, size, images.device)
        # All crops share a view's grid, so they travel as channels of one image per view.
        stacked = images.reshape(1, -1, size, size).expand(len(warped), -1, -1, -1)
        sampled = F.grid_sample(
            stacked,
            grids,
            mode=settings.interpolation,
            padding_mode=PADDING_MODES[settings.border],
            align_corners=False,
        )
        if settings.interpolation == "bicubic":
            sampled = sampled.clamp(0.0, 255.0)
        # One by one: a list as an index would be brought to a GPU, and wait for all that it does.
        for index, view in zip(warped, sampled, strict=True):
            result[:, index] = view.reshape(-1, 3, size, size)
    return result


@lru_cache(maxsize=8)
def _warped_grids(settings: ViewSettings, size: int, device: torch.device) -> Tensor:
    """Grids of the views that are warped, made once and kept where they are used."""
    warped = [index for index, view in enumerate(settings.views) if view.is_warped]
    return sampling_grids(view_matrices(settings, size)[warped], size).to(device)


def sampling_grids(matrices: np.ndarray, size: int) -> Tensor:
    """Say for each pixel of each view where in the crop it comes from.

    Returns:
        (V, ``size``, ``size``, 2) float32, x and y in grid_sample's units: -1 and 1 are the outer
        edges of the image.
    """
    square = np.concatenate([matrices, np.tile([[[0.0, 0.0, 1.0]]], (len(matrices), 1, 1))], axis=1)
    back = np.linalg.inv(square)[:, :2]
    rows, columns = np.mgrid[:size, :size].astype(np.float64)
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    sources = np.einsum("vij,yxj->vyxi", back, pixels)
    return torch.from_numpy((2 * sources + 1) / size - 1).to(torch.float32)


def view_statistics(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of an embedding over a crop's views.

    Both are taken of the differences from the first view. Those are small, so that neither loses
    digits, and exactly zero where all views are the same: then the mean is that embedding and the
    deviation 0, bit for bit.

    Shapes (N crops, V views, D = length of an embedding):
        ``embeddings``: (N, V, D), float, V at least 1.
        result: mean and population deviation, each (N, D); the deviation is not negative.

    Args:
        embeddings: one per view, of one network.

    Raises:
        ValueError: ``embeddings`` is not (N, V, D) or has no view.

    Source:
        Zhou et al., ICMI 2019, "Feature Enhancement": F-Mean and F-MeanStd. The deviation over the
        views themselves, dividing by V, since they are all there are.
    """
    if embeddings.ndim != 3 or embeddings.shape[1] < 1:
        raise ValueError(
            f"embeddings must have shape (N, V, D) with a view, got {tuple(embeddings.shape)}"
        )
    first = embeddings[:, :1]
    shifts = embeddings - first
    mean_shift = shifts.mean(dim=1, keepdim=True)
    deviation = (shifts - mean_shift).square().mean(dim=1).sqrt()
    return (first + mean_shift).squeeze(1), deviation
