"""Make still photographs look like faces in film: turned, dark, covered, coarse, compressed."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from trainer.stills.settings import FilmSettings

KERNEL = 9  # pixels of the blurs' kernels, which reach less than half of it
SHARPEST, COARSEST_JPEG = 70, 5  # quality of JPEG, from 1 to 95


def as_film(images: Tensor, settings: FilmSettings, draw: torch.Generator) -> Tensor:
    """Turn, cover, darken, blur, reduce and compress a share of the images, each to its own degree.

    An image that is chosen goes through each step with the probability ``step``, in the order in
    which a camera and a codec would: pose, cover, light, focus, motion, resolution, noise, JPEG.

    Shapes (N images):
        ``images``: (N, C, S, S), float, 0 to 255, on the CPU.
        result: the same, new where an image was chosen.

    Args:
        images: see above.
        settings: how many images, and how far each step may go.
        draw: all is drawn from it, as many numbers for one image as for another.
    """
    count = len(images)
    chosen = torch.rand(count, generator=draw) < settings.share
    steps = torch.rand(8, count, generator=draw) < settings.step
    how = torch.rand(12, count, generator=draw)
    grain = torch.randn(images.shape, generator=draw)
    pose, cover, light, focus, motion, coarse, noise, jpeg = steps & chosen
    images = turn(images, torch.where(pose, (2 * how[0] - 1) * settings.turn, 0.0))
    images = cover_side(images, torch.where(cover, how[1] * settings.cover, 0.0), how[2], how[3])
    images = relight(
        images,
        torch.where(light, settings.gamma ** (2 * how[4] - 1), 1.0),
        torch.where(light, how[5] * settings.shade, 0.0),
        how[6] * 2 * math.pi,
    )
    spread = torch.where(focus, how[7] * settings.blur, 0.0) * images.shape[-1]
    streak = torch.where(motion, how[8] * settings.motion, 0.0) * images.shape[-1]
    images = blur(images, spread, streak, how[9] * math.pi)
    size = images.shape[-1]
    least = min(size, settings.pixels)
    images = reduce(images, torch.where(coarse, least + (how[10] * (size - least)).long(), size))
    images = images + torch.where(noise, how[11], 0.0).view(-1, 1, 1, 1) * settings.noise * (
        255 * grain
    )
    images = images.clamp(0, 255)
    # The turn's number again: one of its own would change every draw after it, and the network that
    # comes with avfuse could not be made again.
    qualities = settings.quality + (how[0] * (SHARPEST - settings.quality)).round().long()
    for index in jpeg.nonzero().flatten().tolist():
        images[index] = compress(images[index], int(qualities[index]))
    return images


def turn(images: Tensor, amounts: Tensor) -> Tensor:
    """See the images from the side: one side nearer than the other.

    Args:
        images: (N, C, S, S).
        amounts: (N,), from -1 to 1 exclusive: how much farther the right side is than the left.
    """
    size = images.shape[-1]
    place = (2 * torch.arange(size) + 1) / size - 1
    x = place.view(1, 1, size).expand(len(images), size, size)
    y = place.view(1, size, 1).expand(len(images), size, size)
    # A plane turned about its upright middle line: what is farther is smaller.
    depth = 1 - amounts.view(-1, 1, 1) * x
    narrow = 1 - amounts.abs().view(-1, 1, 1) / 2
    grid = torch.stack([x / (depth * narrow), y / depth], dim=3)
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="border", align_corners=False
    )


def cover_side(images: Tensor, shares: Tensor, sides: Tensor, levels: Tensor) -> Tensor:
    """Cover the images from one side by an even grey.

    Args:
        images: (N, C, S, S).
        shares: (N,), of the image that is covered, 0 to 1.
        sides: (N,), 0 to 1: by quarters left, right, top, bottom.
        levels: (N,), of the grey, 0 to 1.
    """
    size = images.shape[-1]
    place = (torch.arange(size) + 0.5) / size
    side = (sides * 4).long().clamp(max=3).view(-1, 1, 1)
    x, y = place.view(1, 1, size), place.view(1, size, 1)
    edges = torch.stack(
        [v.expand(len(images), size, size) for v in (x, 1 - x, y, 1 - y)]
    )  # (4, N, S, S)
    distance = edges.gather(0, side.expand(-1, size, size).unsqueeze(0)).squeeze(0)
    covered = distance < shares.view(-1, 1, 1)
    return torch.where(covered.unsqueeze(1), 255 * levels.view(-1, 1, 1, 1), images)


def relight(images: Tensor, gammas: Tensor, shades: Tensor, angles: Tensor) -> Tensor:
    """Darken or brighten by a power, and let the light fall off towards one side.

    Args:
        images: (N, C, S, S), 0 to 255.
        gammas: (N,), above 0; above 1 darkens.
        shades: (N,), 0 to 1: share of the light that is lost at the far side.
        angles: (N,), of that side, in radians.
    """
    size = images.shape[-1]
    place = (2 * torch.arange(size) + 1) / size - 1
    along = angles.cos().view(-1, 1, 1) * place.view(1, 1, size)
    along = (along + angles.sin().view(-1, 1, 1) * place.view(1, size, 1)) / math.sqrt(2)
    light = 1 - shades.view(-1, 1, 1) * (1 + along) / 2  # along is from -1 to 1
    return 255 * (images / 255) ** gammas.view(-1, 1, 1, 1) * light.unsqueeze(1)


def blur(images: Tensor, spreads: Tensor, streaks: Tensor, angles: Tensor) -> Tensor:
    """Blur each image by a Gaussian, and along a line as if it had moved.

    Args:
        images: (N, C, S, S).
        spreads: (N,), standard deviation of the Gaussian in pixels.
        streaks: (N,), standard deviation of the movement in pixels.
        angles: (N,), direction of the movement, in radians.
    """
    count, channels, size = images.shape[:3]
    place = torch.arange(KERNEL) - KERNEL // 2
    x, y = place.view(1, 1, -1), place.view(1, -1, 1)
    along = angles.cos().view(-1, 1, 1) * x + angles.sin().view(-1, 1, 1) * y
    # Covariance: the Gaussian's in all directions, and the movement's along its own.
    round_ = spreads.view(-1, 1, 1).square() + 1e-2
    line = round_ + streaks.view(-1, 1, 1).square()
    across = x.square() + y.square() - along.square()
    kernels = torch.exp(-along.square() / (2 * line) - across / (2 * round_))
    kernels = kernels / kernels.sum(dim=(1, 2), keepdim=True)
    margin = KERNEL // 2
    padded = functional.pad(images, [margin] * 4, mode="replicate")
    stacked = padded.reshape(1, count * channels, size + 2 * margin, size + 2 * margin)
    weights = kernels.repeat_interleave(channels, dim=0).unsqueeze(1)
    return functional.conv2d(stacked, weights, groups=count * channels).view_as(images)


def reduce(images: Tensor, sizes: Tensor) -> Tensor:
    """Reduce each image to a size of its own, and enlarge it again: (N, C, S, S), sizes (N,)."""
    result = images.clone()
    size = images.shape[-1]
    for small in sorted(set(sizes.tolist())):
        if small < size:
            where = (sizes == small).nonzero().flatten()
            little = functional.interpolate(
                images[where], (small, small), mode="bilinear", align_corners=False, antialias=True
            )
            result[where] = functional.interpolate(
                little, (size, size), mode="bilinear", align_corners=False
            )
    return result


def compress(image: Tensor, quality: int) -> Tensor:
    """Write one image, (1 or 3, S, S) from 0 to 255, as JPEG of a quality, and read it again."""
    pixels = image.round().to(torch.uint8).permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels[..., 0] if len(image) == 1 else pixels)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    found = np.array(Image.open(buffer), dtype=np.float32).reshape(pixels.shape)
    return torch.from_numpy(found).permute(2, 0, 1)
