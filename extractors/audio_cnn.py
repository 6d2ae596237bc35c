"""A small convolutional network over log-mel spectrograms, cheap enough to train on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from extractors.alexnet import clear_padding

CHANNELS = (16, 32, 64)
OUT_DIM = 128
# Steps averaged before the first convolution: emotion needs no 10 ms, and it costs the most.
TIME_POOL = 4
POOL = 2  # after each convolution, in time and frequency
STRIDE: int = TIME_POOL * POOL ** len(CHANNELS)
NORM_EPS, NORM_MOMENTUM = 1e-5, 0.1


def min_steps() -> int:
    """Count the spectrogram steps that the network needs for one step of its result."""
    return STRIDE


def min_bins() -> int:
    """Count the bins that a spectrogram must have, to be halved after each convolution."""
    return int(POOL ** len(CHANNELS))


def grid_steps(num_steps: int) -> int:
    """Count the result's steps for a spectrogram of ``num_steps``; 0 below ``min_steps()``."""
    return num_steps // STRIDE


def step_times(num_steps: int) -> Tensor:
    """Say where each step of the result looks: (``num_steps``,), in steps of the spectrogram."""
    return (STRIDE - 1) / 2 + STRIDE * torch.arange(num_steps, dtype=torch.float64)


class MaskedBatchNorm(nn.Module):
    """Normalise each channel by its mean and variance over the batch's real positions.

    In evaluation the running mean and variance are used, so that a clip's result does not depend
    on its batch. Padding takes no part in either; a batch without a real position changes nothing.

    Shapes (B clips, C channels, T steps, F bins):
        ``grid``: (B, C, T, F), 0 past a clip's length.
        ``lengths``: (B,) steps of each clip.
        result: (B, C, T, F); not 0 past a clip's length.

    Args:
        channels: C.

    Source:
        Ioffe and Szegedy, "Batch Normalization", 2015. Differs from it: the mask.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, grid: Tensor, lengths: Tensor) -> Tensor:
        """Normalise a batch; shapes and guarantees are in the class docstring."""
        mean, variance = self.mean, self.variance
        count = int(lengths.sum()) * grid.shape[3]
        if self.training and count:
            mean = grid.sum((0, 2, 3)) / count
            variance = (grid.square().sum((0, 2, 3)) / count - mean.square()).clamp(min=0.0)
            with torch.no_grad():
                self.mean.lerp_(mean, NORM_MOMENTUM)
                self.variance.lerp_(variance, NORM_MOMENTUM)
        factor = self.scale / (variance + NORM_EPS).sqrt()
        return grid * factor[:, None, None] + (self.shift - mean * factor)[:, None, None]


class AudioCNN(nn.Module):
    """Encode a log-mel spectrogram into a sequence of vectors, one every ``STRIDE`` steps.

    Steps are averaged by ``TIME_POOL``; then come 3x3 convolutions, each with 2x2 max pooling,
    batch normalisation (of the pooled map, a quarter of the work) and ReLU; the last convolution
    sees all frequencies at once.

    Shapes (B clips, C channels, T steps and F bins of the spectrogram):
        ``spectrogram``: (B, C, T, F), float; content past a clip's length never matters.
        ``lengths``: (B,), int: steps of each clip, from 0 to T.
        result: (B, T', D) with D = ``out_dim``, 0 past a clip's own length, and the lengths (B,),
        int64, on T'. T' is at least 1. In evaluation a batch equals the loop over its clips.

    Args:
        in_channels: C; 1 for a spectrogram, 3 for a log-mel with its two deltas.
        num_bins: F, at least 8.
        channels: of the convolutions.
        out_dim: D.

    Raises:
        ValueError: ``num_bins`` is too small to be pooled so often, or a size is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        num_bins: int,
        channels: Sequence[int] = CHANNELS,
        out_dim: int = OUT_DIM,
    ) -> None:
        super().__init__()
        bands = num_bins // min_bins()
        if bands < 1:
            raise ValueError(
                f"num_bins must be at least {min_bins()}, so that it can be halved "
                f"{len(CHANNELS)} times, got {num_bins}"
            )
        if len(channels) != len(CHANNELS) or min(in_channels, out_dim, *channels) < 1:
            raise ValueError(
                f"in_channels, out_dim and {len(CHANNELS)} channels must be at least 1, "
                f"got {in_channels}, {out_dim} and {tuple(channels)}"
            )
        self.in_channels = in_channels
        self.num_bins = num_bins
        dims = [in_channels, *channels]
        self.convs = nn.ModuleList(
            nn.Conv2d(dims[i], dims[i + 1], 3, padding=1, bias=False) for i in range(len(channels))
        )
        self.norms = nn.ModuleList(MaskedBatchNorm(count) for count in channels)
        self.last = nn.Conv2d(channels[-1], out_dim, (3, bands), padding=(1, 0), bias=False)
        self.last_norm = MaskedBatchNorm(out_dim)
        for conv in (*self.convs, self.last):
            assert isinstance(conv, nn.Conv2d)  # noqa: S101  # ModuleList forgets the type
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")

    def forward(self, spectrogram: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode each clip; shapes and guarantees are in the class docstring.

        Raises:
            ValueError: ``spectrogram`` is not (B, ``in_channels``, T, ``num_bins``), or
                ``lengths`` is not (B,) integers from 0 to T.
        """
        expected = (self.in_channels, self.num_bins)
        if spectrogram.ndim != 4 or (spectrogram.shape[1], spectrogram.shape[3]) != expected:
            raise ValueError(
                f"spectrogram must have shape (B, {self.in_channels}, T, {self.num_bins}), "
                f"got {tuple(spectrogram.shape)}"
            )
        if (
            lengths.shape != spectrogram.shape[:1]
            or torch.is_floating_point(lengths)
            or bool(((lengths < 0) | (lengths > spectrogram.shape[2])).any())
        ):
            raise ValueError(
                f"lengths must be {spectrogram.shape[0]} integers in 0..{spectrogram.shape[2]}, "
                f"got {lengths.tolist()}"
            )
        lengths = lengths.to(device=spectrogram.device, dtype=torch.int64)
        missing = max(0, min_steps() - spectrogram.shape[2])
        grid = F.pad(spectrogram, (0, 0, 0, missing))
        grid, lengths = F.avg_pool2d(grid, (TIME_POOL, 1)), lengths // TIME_POOL
        # The layout in which a processor's convolutions and pools of few channels take two thirds
        # of the time.
        on_cpu = grid.device.type == "cpu"
        layout = torch.channels_last if on_cpu else torch.contiguous_format
        grid = grid.clone(memory_format=layout)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            # Steps past a clip's own length would pass for its neighbours.
            grid, lengths = F.max_pool2d(conv(clear_padding(grid, lengths)), POOL), lengths // POOL
            grid = F.relu(norm(clear_padding(grid, lengths), lengths))
        bands = self.last.kernel_size[1]
        grid = self.last(clear_padding(grid, lengths)[..., :bands])  # (B, D, T', 1)
        grid = F.relu(self.last_norm(clear_padding(grid, lengths), lengths))
        return clear_padding(grid, lengths)[..., 0].transpose(1, 2), lengths
