"""AlexNet as a fully convolutional network over spectrograms of any length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

CHANNELS = (96, 256, 384, 384, 256)
NORM_SIZE, NORM_ALPHA, NORM_BETA, NORM_BIAS = 5, 1e-4, 0.75, 2.0


@dataclass(frozen=True)
class Layer:
    """One layer's reach along an axis: ``kernel`` positions, every ``stride``-th, ``padding``."""

    kind: str
    kernel: int
    stride: int = 1
    padding: int = 0


# The one statement of the architecture; sizes, minimum length and times all derive from it.
LAYERS = (
    Layer("conv", 11, 4),
    Layer("norm", 1),
    Layer("pool", 3, 2),
    Layer("conv", 5, 1, 2),
    Layer("norm", 1),
    Layer("pool", 3, 2),
    Layer("conv", 3, 1, 1),
    Layer("conv", 3, 1, 1),
    Layer("conv", 3, 1, 1),
    Layer("pool", 3, 2),
)


# Steps of the spectrogram: from one step of the grid to the next; those that one step looks at; and
# of them, those before ``STRIDE`` times its number.
STRIDE, REACH, BEFORE = 1, 1, 0
for _layer in LAYERS:
    REACH += (_layer.kernel - 1) * STRIDE
    BEFORE += _layer.padding * STRIDE
    STRIDE *= _layer.stride
# Steps of the grid that are computed at once, about half a minute: memory doesn't grow with length.
BLOCK = 100


def min_steps() -> int:
    """Count the spectrogram steps that the encoder needs for one step of its grid."""
    steps = 1
    for layer in reversed(LAYERS):
        steps = (steps - 1) * layer.stride + layer.kernel - 2 * layer.padding
    return steps


def min_bins() -> int:
    """Count the bins that a spectrogram must have."""
    return LAYERS[0].kernel


def grid_steps(num_steps: int) -> int:
    """Count the grid's steps for a spectrogram of ``num_steps``; 0 below ``min_steps()``."""
    for layer in LAYERS:
        num_steps = (num_steps + 2 * layer.padding - layer.kernel) // layer.stride + 1
        if num_steps < 1:
            return 0
    return num_steps


def step_times(num_steps: int) -> Tensor:
    """Say where each step of the grid looks, so that its attention weight can be shown there.

    Args:
        num_steps: steps of the grid.

    Returns:
        (``num_steps``,) float64: the centre of each step's receptive field, in steps of the
        spectrogram; with the spectrogram's own times it becomes seconds.
    """
    centre, stride = 0.0, 1
    for layer in LAYERS:
        centre += stride * ((layer.kernel - 1) / 2 - layer.padding)
        stride *= layer.stride
    return centre + stride * torch.arange(num_steps, dtype=torch.float64)


class Block(NamedTuple):
    """A stretch of a spectrogram, and what of its grid is the whole clip's.

    Args:
        first, last: its first step and the one behind its last.
        lead: steps of its grid to leave out: what they see before the cut is not what is there.
        steps: how many to take behind them.
    """

    first: int
    last: int
    lead: int
    steps: int


def cut(num_steps: int) -> Iterator[Block]:
    """Cut a spectrogram into blocks whose grids, one behind the other, are the grid of the whole.

    Args:
        num_steps: steps of the spectrogram; below ``min_steps()`` there is no block.

    Yields:
        Blocks of at most ``BLOCK`` steps of the grid.
    """
    count = grid_steps(num_steps)
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        lead = min(start, BEFORE // STRIDE)
        seen = num_steps if stop == count else (stop - 1) * STRIDE - BEFORE + REACH
        yield Block((start - lead) * STRIDE, min(seen, num_steps), lead, stop - start)


class AlexNetFCN(nn.Module):
    """Encode a spectrogram into a grid of vectors, one for each stretch of time and frequency.

    The convolutional layers of AlexNet without its linear ones, so that clips keep their length.
    Every layer sees a padded clip exactly as it sees the clip alone: steps past a clip's own
    length are set to zero before each convolution, and the result is cut where a pooled window
    would reach past it. A batch thus equals the loop over its clips, in output and gradient.

    Maps have the layout of the spectrogram; on a processor channels-last is the faster one.

    In frequency, a pool takes what is left where fewer than three bins are: 200 bins end as 5, and
    the 40 bins of a log-mel, which are 8, 3 and 1 before the three pools, end as 1.

    Shapes (B clips, C channels, T steps and F bins of the spectrogram, F at least 11):
        ``spectrogram``: (B, C, T, F), float; content past a clip's length never matters.
        ``lengths``: (B,), int: steps of each clip, from 0 to T.
        result: the grid (B, T', F', D), D = ``channels[-1]``, not negative and 0 past a clip's own
        length; and the lengths (B,), int64, on T'. T' is at least 1. A clip below ``min_steps()``
        has length 0 and a grid of zeros.

    Args:
        in_channels: C; 1 for a spectrogram, 3 for a log-mel with its two deltas.
        channels: of the five convolutions.

    Raises:
        ValueError: a number of channels is below 1, or not five are given.

    Source:
        Zhang, Wang, Du, "Deep Fusion", 2019 (arXiv:1901.04889), figure 2 and II.A; Krizhevsky et
        al., "ImageNet Classification with Deep Convolutional Neural Networks", 2012, 3.3-3.5.
        Differs from them: no channel groups; the norm's alpha is divided by its size, as in
        Krizhevsky's code and in PyTorch, not as in his paper.
    """

    def __init__(self, in_channels: int, channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        kernels = [layer for layer in LAYERS if layer.kind == "conv"]
        if len(channels) != len(kernels):
            raise ValueError(f"channels must be {len(kernels)} numbers, got {len(channels)}")
        if min(in_channels, *channels) < 1:
            raise ValueError(
                f"in_channels and channels must be at least 1, got {in_channels} and {channels}"
            )
        self.in_channels = in_channels
        dims = [in_channels, *channels]
        self.convs = nn.ModuleList(
            nn.Conv2d(dims[i], dims[i + 1], layer.kernel, layer.stride, layer.padding)
            for i, layer in enumerate(kernels)
        )
        for conv in self.convs:
            assert isinstance(conv, nn.Conv2d)  # noqa: S101  # ModuleList forgets the type
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]  # bias is on

    def forward(self, spectrogram: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode each clip; shapes and guarantees are in the class docstring.

        Raises:
            ValueError: ``spectrogram`` is not (B, ``in_channels``, T, F) with at least 11 bins, or
                ``lengths`` is not (B,) integers from 0 to T.
        """
        self._check(spectrogram, lengths)
        missing = min_steps() - spectrogram.shape[2]
        grid = F.pad(spectrogram, (0, 0, 0, max(0, missing)))
        # Where no clip is padded, nothing needs to be cleared.
        padded = bool((lengths < grid.shape[2]).any())
        lengths = lengths.to(device=spectrogram.device, dtype=torch.int64)
        convs = iter(self.convs)
        for layer in LAYERS:
            if layer.kind == "norm":
                grid = local_response_norm(grid)
                continue
            if layer.kind == "conv":
                grid = F.relu(next(convs)(clear_padding(grid, lengths) if padded else grid))
            else:
                bins = min(layer.kernel, grid.shape[3])
                grid = F.max_pool2d(grid, (layer.kernel, bins), layer.stride)
            lengths = (lengths + 2 * layer.padding - layer.kernel) // layer.stride + 1
            lengths = lengths.clamp(min=0)
        grid = clear_padding(grid, lengths) if padded else grid
        return grid.permute(0, 2, 3, 1), lengths

    def _check(self, spectrogram: Tensor, lengths: Tensor) -> None:
        if (
            spectrogram.ndim != 4
            or spectrogram.shape[1] != self.in_channels
            or spectrogram.shape[3] < min_bins()
        ):
            raise ValueError(
                f"spectrogram must have shape (B, {self.in_channels}, T, F) with F at least "
                f"{min_bins()}, got {tuple(spectrogram.shape)}"
            )
        if lengths.shape != spectrogram.shape[:1] or torch.is_floating_point(lengths):
            raise ValueError(
                f"lengths must be {spectrogram.shape[0]} integers, one a clip, got "
                f"{lengths.dtype} of shape {tuple(lengths.shape)}"
            )
        if lengths.numel() and not 0 <= int(lengths.min()) <= int(lengths.max()) <= int(
            spectrogram.shape[2]
        ):
            raise ValueError(
                f"lengths must lie in 0..{spectrogram.shape[2]}, got {lengths.tolist()}"
            )


def clear_padding(grid: Tensor, lengths: Tensor) -> Tensor:
    """Set to zero what lies past each clip's length along the third axis of (B, C, T, F).

    The result and its gradient keep their layout, which ``masked_fill`` by itself would lose.
    """
    steps = torch.arange(grid.shape[2], device=grid.device)
    past = steps >= lengths.unsqueeze(1)
    result: Tensor = _Cleared.apply(grid, past[:, None, :, None])  # type: ignore[no-untyped-call]  # torch's
    return result


class _Cleared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grid: Tensor, past: Tensor) -> Tensor:
        ctx.save_for_backward(past)
        return grid.clone().masked_fill_(past, 0.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (past,) = ctx.saved_tensors
        return gradient.clone().masked_fill_(past, 0.0), None


def local_response_norm(grid: Tensor) -> Tensor:
    """Divide each value by the energy of its five neighbouring channels at the same place.

    The same numbers as ``torch.nn.functional.local_response_norm``. Of the maps on its way only two
    are kept for the gradient.
    """
    result: Tensor = _LocalResponseNorm.apply(grid)  # type: ignore[no-untyped-call]  # torch's
    return result


class _LocalResponseNorm(torch.autograd.Function):
    """With s = bias + alpha / size * (sum of x^2 over neighbours): y = x * s^-beta.

    Its gradient, from g: g * s^-beta - 2 beta alpha / size * x * (sum over neighbours of
    g * x * s^(-beta - 1)).
    """

    @staticmethod
    def forward(ctx: Any, grid: Tensor) -> Tensor:
        scale = sum_neighbours(grid * grid).mul_(NORM_ALPHA / NORM_SIZE).add_(NORM_BIAS)
        ctx.save_for_backward(grid, scale)
        return scale.pow(-NORM_BETA).mul_(grid)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        grid, scale = ctx.saved_tensors
        own = scale.pow(-NORM_BETA).mul_(gradient)
        others = sum_neighbours((own * grid).div_(scale)).mul_(grid)
        result: Tensor = own.sub_(others, alpha=2 * NORM_BETA * NORM_ALPHA / NORM_SIZE)
        return result


def sum_neighbours(grid: Tensor) -> Tensor:
    """Sum ``NORM_SIZE`` channels, the channel itself in the middle; beyond the last are zeros."""
    half, channels = NORM_SIZE // 2, grid.shape[1]
    padded = F.pad(grid, (0, 0, 0, 0, half, half))
    total = padded[:, :channels] + padded[:, 1 : 1 + channels]
    for shift in range(2, NORM_SIZE):
        total += padded[:, shift : shift + channels]
    return total
