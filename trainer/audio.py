"""The audio branch's encoder: a spectrogram becomes a grid of steps that attention can pool."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from extractors.alexnet import CHANNELS, AlexNetFCN, grid_steps, min_steps, step_times


class Encoded(NamedTuple):
    """What an encoder yields: steps (B, L, D), their mask (B, L), and who was lengthened (B,)."""

    features: Tensor
    mask: Tensor
    lengthened: Tensor


class AlexNetEncoder(nn.Module):
    """Encode spectrograms into sequences of grid elements, AlexNet's last pooled map cut up.

    Each element stands for a stretch of time and of frequency. Elements of one time follow each
    other, lowest frequency first: element l is at time l // F' of the grid's F' bands.

    A clip shorter than the encoder's reach (``min_steps()``, about 0.67 s) is lengthened with
    zeros, the mean of normalised features, so that it has one time step; a clip without sound
    has no element at all.

    Shapes (B clips, T steps, F bins, C channels):
        ``features``: (B, T, F) for one channel, else (B, T, F, C), float.
        ``mask``: (B, T), bool; the real steps of a clip come first.
        result: ``Encoded``, with L = T' F' elements of length D = ``out_dim``.

    Args:
        in_channels: C; 1 for a spectrogram, 3 for a log-mel with its two deltas.

    Source:
        Zhang, Wang, Du, "Deep Fusion", 2019 (arXiv:1901.04889), section II.A and eq. 1.
        Differs from it: clips below the encoder's reach are lengthened.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_dim = CHANNELS[-1]
        self.network = AlexNetFCN(in_channels)

    def forward(self, features: Tensor, mask: Tensor) -> Encoded:
        """Encode each clip; shapes and guarantees are in the class docstring.

        Raises:
            ValueError: ``features`` is neither (B, T, F) nor (B, T, F, ``in_channels``).
        """
        if features.ndim == 3:
            features = features.unsqueeze(-1)
        if features.ndim != 4 or features.shape[-1] != self.in_channels:
            raise ValueError(
                f"features must have shape (B, T, F) or (B, T, F, {self.in_channels}), "
                f"got {tuple(features.shape)}"
            )
        lengths = mask.sum(dim=1)
        lengthened = (lengths > 0) & (lengths < min_steps())
        features = features.masked_fill(~mask[:, :, None, None], 0.0).permute(0, 3, 1, 2)
        missing = max(0, min_steps() - features.shape[2])
        features = nn.functional.pad(features, (0, 0, 0, missing))
        grid, lengths = self.network(features, lengths.masked_fill(lengthened, min_steps()))
        steps = torch.arange(grid.shape[1], device=grid.device) < lengths.unsqueeze(1)
        return Encoded(
            grid.flatten(1, 2), steps.repeat_interleave(grid.shape[2], dim=1), lengthened
        )


def grid_times(times: NDArray[np.float64], num_bands: int) -> NDArray[np.float64]:
    """Say when each grid element of one clip is, so that its attention weight can be shown there.

    Args:
        times: seconds of the spectrogram's steps.
        num_bands: the grid's F', elements of one time.

    Returns:
        (L,) seconds: the centre of each element's receptive field, inside the clip. Empty for a
        clip without sound.
    """
    if not len(times):
        return np.zeros(0)
    centres = step_times(grid_steps(max(len(times), min_steps()))).numpy()
    seconds = np.interp(centres, np.arange(len(times)), times)
    return np.repeat(seconds, num_bands)
