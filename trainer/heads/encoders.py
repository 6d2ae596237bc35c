"""The audio branch's encoder: a spectrogram becomes a grid of steps that attention can pool."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from extractors import alexnet, audio_cnn

# Each has min_steps, grid_steps and step_times: how a spectrogram's steps become the encoder's.
REACH = {"alexnet": alexnet, "cnn": audio_cnn}


class Encoded(NamedTuple):
    """Output of an encoder: steps (B, L, D), their mask (B, L), lengthened clips (B,) bool."""

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
        self.out_dim = alexnet.CHANNELS[-1]
        self.network = alexnet.AlexNetFCN(in_channels)

    def forward(self, features: Tensor, mask: Tensor) -> Encoded:
        """Encode each clip; shapes and guarantees are in the class docstring.

        Raises:
            ValueError: ``features`` is neither (B, T, F) nor (B, T, F, ``in_channels``).
        """
        features, lengths, lengthened = _prepare(features, mask, self.in_channels, "alexnet")
        grid, lengths = self.network(features, lengths)
        steps = torch.arange(grid.shape[1], device=grid.device) < lengths.unsqueeze(1)
        return Encoded(
            grid.flatten(1, 2), steps.repeat_interleave(grid.shape[2], dim=1), lengthened
        )


class CnnEncoder(nn.Module):
    """Encode log-mel spectrograms into sequences of vectors, by a small network.

    Shorter and silent clips are treated as ``AlexNetEncoder`` treats them; the reach is 0.32 s.

    Shapes (B clips, T steps, F bins, C channels):
        ``features``: (B, T, F) for one channel, else (B, T, F, C), float.
        ``mask``: (B, T), bool; the real steps of a clip come first.
        result: ``Encoded``, with steps of length D = ``out_dim``.

    Args:
        in_channels: C; 1 for a spectrogram, 3 for a log-mel with its two deltas.
        num_bins: F.
    """

    def __init__(self, in_channels: int, num_bins: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_dim = audio_cnn.OUT_DIM
        self.network = audio_cnn.AudioCNN(in_channels, num_bins)

    def forward(self, features: Tensor, mask: Tensor) -> Encoded:
        """Encode each clip; shapes and guarantees are in the class docstring.

        Raises:
            ValueError: ``features`` is neither (B, T, F) nor (B, T, F, ``in_channels``).
        """
        features, lengths, lengthened = _prepare(features, mask, self.in_channels, "cnn")
        steps, lengths = self.network(features, lengths)
        real = torch.arange(steps.shape[1], device=steps.device) < lengths.unsqueeze(1)
        return Encoded(steps, real, lengthened)


def make_encoder(kind: str, shape: tuple[int, ...]) -> AlexNetEncoder | CnnEncoder:
    """Build the encoder that a setting names.

    Args:
        kind: "alexnet" or "cnn".
        shape: of one step: (F,) or (F, C).

    Raises:
        ValueError: ``kind`` is unknown; the known ones are named.
    """
    in_channels = shape[1] if len(shape) == 2 else 1
    if kind == "alexnet":
        return AlexNetEncoder(in_channels)
    if kind == "cnn":
        return CnnEncoder(in_channels, shape[0])
    raise ValueError(f"unknown encoder {kind!r}; known: {', '.join(REACH)}")


def _prepare(
    features: Tensor, mask: Tensor, in_channels: int, encoder: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Lengthen what is below an encoder's reach: (B, C, T, F), lengths, and who was lengthened."""
    if features.ndim == 3:
        features = features.unsqueeze(-1)
    if features.ndim != 4 or features.shape[-1] != in_channels:
        raise ValueError(
            f"features must have shape (B, T, F) or (B, T, F, {in_channels}), "
            f"got {tuple(features.shape)}"
        )
    least = REACH[encoder].min_steps()
    lengths = mask.sum(dim=1)
    lengthened = (lengths > 0) & (lengths < least)
    features = features.masked_fill(~mask[:, :, None, None], 0.0).permute(0, 3, 1, 2)
    missing = max(0, least - features.shape[2])
    features = nn.functional.pad(features, (0, 0, 0, missing))
    return features, lengths.masked_fill(lengthened, least), lengthened


def grid_times(
    times: NDArray[np.float64], num_bands: int, encoder: str = "alexnet"
) -> NDArray[np.float64]:
    """Say when each element of an encoded clip is, so that its attention weight can be shown there.

    Args:
        times: seconds of the spectrogram's steps.
        num_bands: elements of one time: AlexNet's F'; 1 for the small network.
        encoder: which one.

    Returns:
        (L,) seconds: the centre of each element's receptive field, inside the clip. Empty for a
        clip without sound.
    """
    if not len(times):
        return np.zeros(0)
    reach = REACH[encoder]
    num_steps = reach.grid_steps(max(len(times), reach.min_steps()))
    seconds = np.interp(reach.step_times(num_steps).numpy(), np.arange(len(times)), times)
    return np.repeat(seconds, num_bands)
