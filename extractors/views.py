"""Views: the augmented variants of a face crop, made where the crop lies in one batched warp."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Border = Literal["reflect", "edge", "zeros"]
PADDING_MODES = {"reflect": "reflection", "edge": "border", "zeros": "zeros"}


@dataclass(frozen=True)
class View:
    """One augmented variant: mirror where ``flip``, rotate by degrees, enlarge by ``scale``."""

    rotation: float
    scale: float
    flip: bool

    @property
    def is_warped(self) -> bool:
        """Whether pixels are interpolated; if not, the view is the crop or its mirror image."""
        return self.rotation != 0 or self.scale != 1


@dataclass(frozen=True)
class ViewSettings:
    """Which views are made of a crop, and how: every rotation with every scale, and mirrored.

    Attributes:
        rotations: degrees, counter-clockwise; 0 must be among them.
        scales: factors; above 1 enlarges the face; 1 must be among them.
        flip: whether each of them is also made of the mirror image.
        border: what lies outside the crop: ``reflect`` mirrors at its outer edge
            (cv2.BORDER_REFLECT), ``edge`` repeats the last pixel, ``zeros`` is black.
        interpolation: ``bilinear`` or ``bicubic`` (clamped to 0..255).
        centre: of rotation and scale, as a share of width and height.

    Raises:
        ValueError: a value is outside these limits or repeated.
    """

    rotations: tuple[float, ...] = (-2.0, 0.0, 2.0)
    scales: tuple[float, ...] = (1.0, 1.03, 1.07)
    flip: bool = True
    border: Border = "reflect"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    centre: tuple[float, float] = (0.5, 0.5)

    def __post_init__(self) -> None:
        numbers = (*self.rotations, *self.scales, *self.centre)
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"rotations, scales and centre must be finite, got {numbers}")
        if 0 not in self.rotations or 1 not in self.scales:
            raise ValueError(
                "rotations must hold 0 and scales 1, because the view that is the crop itself "
                f"yields the basic embedding; got {self.rotations} and {self.scales}"
            )
        if min(self.scales) <= 0:
            raise ValueError(f"scales must be above 0, got {self.scales}")
        for name in ("rotations", "scales"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name} must not repeat a value, got {values}")
        if self.border not in PADDING_MODES:
            raise ValueError(f"border must be one of {sorted(PADDING_MODES)}, got {self.border!r}")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(
                f"interpolation must be bilinear or bicubic, got {self.interpolation!r}"
            )
        if len(self.centre) != 2:
            raise ValueError(f"centre must be two shares, x and y, got {self.centre}")

    @property
    def views(self) -> tuple[View, ...]:
        """Every view, the crop itself first, then by rising rotation and scale, mirrors last."""
        rotations = sorted(self.rotations, key=lambda angle: (abs(angle), angle))
        scales = sorted(self.scales, key=lambda scale: (abs(scale - 1), scale))
        flips = (False, True) if self.flip else (False,)
        return tuple(View(r, s, f) for f in flips for r in rotations for s in scales)


# The papers' two sets (icmi19, table 3), and the crop alone.
VIEW_SETS: dict[str, ViewSettings] = {
    "default": ViewSettings(),
    "wide": ViewSettings(rotations=(-15.0, 0.0, 15.0), scales=(0.75, 1.0, 1.25)),
    "basic": ViewSettings(rotations=(0.0,), scales=(1.0,), flip=False),
}


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
        result[:, warped] = sampled.reshape(len(warped), -1, 3, size, size).transpose(0, 1)
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
