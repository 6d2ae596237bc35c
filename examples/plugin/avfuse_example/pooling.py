"""A pooling over time: steps with more energy weigh more."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EnergyPooling(nn.Module):
    """Reduce a clip's steps by a softmax over their energy, as sharp as is learned.

    Weights are ``softmax(sharpness * mean(f_i^2))``; with ``sharpness`` 0, where training starts,
    this is the mean.

    Shapes (B clips, T steps after padding, D = ``dim``):
        ``features``: (B, T, D), float; padding is 0.
        ``mask``: (B, T), bool; True where the step is real. A clip may have no real step.
        result: (B, ``out_dim``) pooled embeddings, and (B, T) weights that sum to 1 over the real
        steps. What a clip without a step gets only has to be finite: avfuse sets it to 0.

    Args:
        dim: length D of one embedding.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_dim = dim
        self.sharpness = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Pool each clip; shapes are in the class docstring."""
        scores = self.sharpness * features.square().mean(dim=-1)  # (B, T)
        # Not -inf: a clip without a real step would have gradients that are nan.
        weights = scores.masked_fill(~mask, -1e30).softmax(dim=1)
        return (weights.unsqueeze(-1) * features).sum(dim=1), weights
