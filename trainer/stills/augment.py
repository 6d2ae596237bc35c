"""Vary training images: a warp, light, erasing and mixing, all drawn from one generator."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from extractors.images import luma
from trainer.data.augment import blend
from trainer.stills.film import as_film
from trainer.stills.images.stills import Stills
from trainer.stills.settings import FinetuneSettings, ImageAugmentSettings

ERASE_AREA = (0.02, 0.2)
ERASE_ASPECT = (0.5, 2.0)
# More than a training has updates, so that no two seeds share the draws of one.
SEEDS_APART = 1_000_003


def to_float(images: Tensor, *, grey: bool) -> Tensor:
    """Turn uint8 images into float ones, channels first: (N, 1 or 3, S, S), 0 to 255.

    Args:
        images: (N, S, S) or (N, S, S, 3), uint8, RGB.
        grey: reduce colours to their luma (ITU-R BT.601).
    """
    if images.ndim == 3:
        return images.unsqueeze(1).float()
    pixels = images.permute(0, 3, 1, 2).float()
    return luma(pixels) if grey else pixels


def vary(
    images: Tensor, size: int, settings: ImageAugmentSettings, draw: torch.Generator
) -> Tensor:
    """Warp, light and erase images.

    Shapes (N images):
        ``images``: (N, C, S, S), float, 0 to 255.
        result: (N, C, ``size``, ``size``), float, 0 to 255.
    """
    count = len(images)
    angle = symmetric(count, math.radians(settings.rotation_degrees), draw)
    zoom = symmetric(count, math.log(settings.scale), draw).exp()
    mirror = torch.ones(count)
    if settings.flip:
        mirror = torch.where(torch.rand(count, generator=draw) < 0.5, -1.0, 1.0)
    shift = symmetric(2 * count, 2 * settings.shift, draw).view(count, 2)
    light = symmetric(count, 255 * settings.brightness, draw)
    contrast = symmetric(count, math.log(settings.contrast), draw).exp()

    cosine, sine = angle.cos() / zoom, angle.sin() / zoom
    matrices = torch.stack(
        [
            torch.stack([cosine * mirror, -sine, shift[:, 0]], dim=1),
            torch.stack([sine * mirror, cosine, shift[:, 1]], dim=1),
        ],
        dim=1,
    )
    # The draws are the CPU's on every device, so that a device changes nothing but rounding.
    light, contrast = light.to(images.device), contrast.to(images.device)
    result = warp(images, matrices.to(images.device), size)
    mean = result.mean(dim=(1, 2, 3), keepdim=True)
    result = (result - mean) * contrast.view(-1, 1, 1, 1) + mean + light.view(-1, 1, 1, 1)
    result = result.clamp(0, 255)
    if settings.erase:
        covered = rectangles(count, size, settings.erase, draw).to(images.device)
        result = torch.where(covered.unsqueeze(1), mean, result)
    return result


def warp(images: Tensor, matrices: Tensor, size: int) -> Tensor:
    """Sample images at the places that (N, 2, 3) affine matrices say, bilinearly."""
    grid = functional.affine_grid(matrices, [len(images), 1, size, size], align_corners=False)
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def resize(images: Tensor, size: int) -> Tensor:
    """Scale (N, C, S, S) images, bilinearly and without aliasing."""
    if images.shape[-1] == size:
        return images
    return functional.interpolate(
        images, (size, size), mode="bilinear", align_corners=False, antialias=True
    )


def rectangles(count: int, size: int, probability: float, draw: torch.Generator) -> Tensor:
    """Draw which pixels are covered: (N, ``size``, ``size``), bool."""
    chosen = torch.rand(count, generator=draw) < probability
    area = ERASE_AREA[0] + (ERASE_AREA[1] - ERASE_AREA[0]) * torch.rand(count, generator=draw)
    aspect = symmetric(count, math.log(ERASE_ASPECT[1]), draw).exp()
    half = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()]) / 2  # of the image's side
    centre = torch.rand(2, count, generator=draw)
    place = (torch.arange(size) + 0.5) / size
    inside = (place - centre.unsqueeze(-1)).abs() <= half.unsqueeze(-1)  # (2, N, size)
    return inside[0].unsqueeze(2) & inside[1].unsqueeze(1) & chosen.view(-1, 1, 1)


def mix(
    images: Tensor, targets: Tensor, alpha: float, draw: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mix every image and target with another of the batch, each in a share of its own."""
    # Two gamma draws make a Beta one; PyTorch's own Beta takes no generator.
    gammas = torch._standard_gamma(torch.full((2, len(images)), alpha), generator=draw)
    share = gammas[0] / gammas.sum(dim=0).clamp_min(1e-12)
    share = torch.maximum(share, 1 - share)
    other = torch.randperm(len(images), generator=draw).to(images.device)
    share = share.to(images.device)
    return (
        blend(images, other, share.view(-1, 1, 1, 1)),
        blend(targets, other, share.unsqueeze(1)),
    )


def symmetric(count: int, limit: float, draw: torch.Generator) -> Tensor:
    """Draw ``count`` numbers from -``limit`` to ``limit``."""
    return (2 * torch.rand(count, generator=draw) - 1) * limit


def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order of the training images in one epoch."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def draw_batch(
    train: Stills,
    chosen: NDArray[np.int64],
    settings: FinetuneSettings,
    epoch: int,
    update: int,
    device: str | torch.device = "cpu",
) -> tuple[Tensor, Tensor]:
    """Make the varied images (N, C, S, S), 0 to 255, and targets (N, classes) of one update."""
    draw = torch.Generator().manual_seed(settings.seed * SEEDS_APART + update)
    pixels = torch.from_numpy(train.images[chosen])
    if settings.augment.film.share:  # JPEG is on the CPU
        film = as_film(to_float(pixels, grey=settings.grey), settings.augment.film, draw)
        images = film.to(device)
    else:
        images = to_float(pixels.to(device), grey=settings.grey)
    size = settings.size_at(epoch)
    images = vary(images, size, settings.augment, draw)
    if settings.target == "majority":
        targets = functional.one_hot(
            torch.from_numpy(train.labels[chosen]), len(train.classes)
        ).float()
    else:
        targets = torch.from_numpy(train.targets[chosen])
    targets = targets.to(device)
    if settings.label_smoothing:
        spread = settings.label_smoothing
        targets = (1 - spread) * targets + spread / len(train.classes)
    if settings.augment.mixup:
        images, targets = mix(images, targets, settings.augment.mixup, draw)
    return images, targets
