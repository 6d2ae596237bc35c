"""Statistics pooling: mean and deviation of a clip's steps, side by side."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# The slope of the square root at 0 is infinite; with this the largest is 5e2.
ROOT_EPS = 1e-6


class StatisticsPooling(nn.Module):
    """Reduce a clip's sequence of embeddings to the mean and deviation of its real steps.

    Shapes (B clips, T steps after padding, D = ``dim``):
        ``features``: (B, T, D), float.
        ``mask``: (B, T), bool; True where the step is real.
        result: (B, 2 D), D means and then D deviations, and (B, T) weights, 1/n on each of n real
        steps. A clip without a real step gets zeros.

    Args:
        dim: length D of one embedding.

    Raises:
        ValueError: ``dim`` is below 1.

    Source:
        Snyder et al., "Deep Neural Network Embeddings for Text-Independent Speaker
        Verification", Interspeech 2017. Neither of the two papers has it.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"dim must be at least 1, got {dim}")
        self.dim = dim
        self.out_dim = 2 * dim

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Pool each clip; shapes and guarantees are in the class docstring.

        Raises:
            ValueError: ``features`` is not (B, T, ``dim``), or ``mask`` is not (B, T) bool.
        """
        if features.ndim != 3 or features.shape[-1] != self.dim:
            raise ValueError(
                f"features must have shape (B, T, {self.dim}), got {tuple(features.shape)}"
            )
        if mask.shape != features.shape[:2] or mask.dtype != torch.bool:
            raise ValueError(
                f"mask must have shape {tuple(features.shape[:2])} and dtype bool, "
                f"got {tuple(mask.shape)} and {mask.dtype}"
            )
        features = features.masked_fill(~mask.unsqueeze(-1), 0.0)
        weights = mask.to(features.dtype) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        mean = (weights.unsqueeze(-1) * features).sum(dim=1)
        variance = (weights.unsqueeze(-1) * (features - mean.unsqueeze(1)).square()).sum(dim=1)
        deviation = (variance + ROOT_EPS).sqrt() * mask.any(dim=1, keepdim=True)
        return torch.cat([mean, deviation], dim=1), weights
