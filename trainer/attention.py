"""Pooling over time within one modality: the mean, both papers' attentions, and statistics.

Each pools a padded batch of embedding sequences ``(B, T, D)`` into ``(B, out_dim)`` and returns
the weight of every step. What they share:

- Padding is cleared before any arithmetic, so that its content (nan included) reaches neither
  the output nor a gradient.
- The papers' quotients ``sum(y_i f_i) / sum(y_i)`` are computed as a masked softmax over
  ``log y_i``, which they equal: nothing overflows, and nothing divides by zero.
- Weights are exactly 0 on padding and sum to 1 over the real steps. A clip without a real step
  gets zero weights and a zero embedding.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The slope of the square root at 0 is infinite; with this the largest is 5e2.
ROOT_EPS = 1e-6


Pooled = Literal["reduced", "unreduced"]


class MeanPooling(nn.Module):
    """Reduce a clip's sequence of embeddings to their mean over real steps.

    Shapes (B clips, T steps after padding, D = ``dim``):
        ``features``: (B, T, D), float.
        ``mask``: (B, T), bool; True where the step is real.
        result: (B, D) means and (B, T) weights, 1/n on each of n real steps.

    Args:
        dim: length D of one embedding.

    Raises:
        ValueError: ``dim`` is below 1.

    Source:
        The comparison of both papers; deep-fusion eq. 3 with lambda 0.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        _check_sizes(dim=dim)
        self.dim = dim
        self.out_dim = dim

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Pool each clip; shapes and guarantees are in the class docstring.

        Raises:
            ValueError: ``features`` is not (B, T, ``dim``), or ``mask`` is not (B, T) bool.
        """
        features = _clear_padding(features, mask, self.dim)
        weights = masked_softmax(torch.zeros_like(features[..., 0]), mask)
        return _weighted_sum(weights, features), weights


class SelfAttention(nn.Module):
    """Reduce a clip's sequence by weights that each step earns on its own.

    A linear score through a sigmoid is the step's weight ``alpha_i = sigmoid(f_i . w)`` (eq. 1);
    the pooled embedding is ``sum(alpha_i f_i) / sum(alpha_i)`` (eq. 2).

    Shapes (B clips, T steps after padding, D = ``dim``):
        ``features``: (B, T, D), float.
        ``mask``: (B, T), bool; True where the step is real.
        result: (B, D) pooled embeddings and (B, T) weights ``alpha_i / sum(alpha)``.

    Args:
        dim: length D of one embedding.

    Raises:
        ValueError: ``dim`` is below 1.

    Source:
        Zhou et al., "Exploring Emotion Features and Fusion Strategies for Audio-Video Emotion
        Recognition", ICMI 2019, eq. 1-2. Differs from it: the mask.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        _check_sizes(dim=dim)
        self.dim = dim
        self.out_dim = dim
        self.alpha = nn.Linear(dim, 1, bias=False)

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Pool each clip; shapes and guarantees are in the class docstring.

        Raises:
            ValueError: ``features`` is not (B, T, ``dim``), or ``mask`` is not (B, T) bool.
        """
        features = _clear_padding(features, mask, self.dim)
        weights = masked_softmax(F.logsigmoid(self.alpha(features).squeeze(-1)), mask)
        return _weighted_sum(weights, features), weights


class RelationAttention(nn.Module):
    """Reduce a clip's sequence by weights that compare each step with the whole clip.

    Self-attention first yields the clip's embedding ``f_s``. A second linear score sees each
    step beside it: ``beta_i = sigmoid([f_i : f_s] . w)`` (eq. 3). The result is
    ``sum(alpha_i beta_i [f_i : f_s]) / sum(alpha_i beta_i)`` (eq. 4), in training and in
    evaluation alike.

    Shapes (B clips, T steps after padding, D = ``dim``):
        ``features``: (B, T, D), float.
        ``mask``: (B, T), bool; True where the step is real.
        result: (B, 2 D) pooled embeddings and (B, T) weights
        ``alpha_i beta_i / sum(alpha beta)``.

    Args:
        dim: length D of one embedding.

    Raises:
        ValueError: ``dim`` is below 1.

    Source:
        Zhou et al., ICMI 2019, eq. 1-4. Differs from it: the mask; eq. 4's sums start at i = 1
        (the 0 printed there has no f_0).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        _check_sizes(dim=dim)
        self.dim = dim
        self.out_dim = 2 * dim
        self.alpha = nn.Linear(dim, 1, bias=False)
        self.beta = nn.Linear(2 * dim, 1, bias=False)

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Pool each clip; shapes and guarantees are in the class docstring.

        Raises:
            ValueError: ``features`` is not (B, T, ``dim``), or ``mask`` is not (B, T) bool.
        """
        features = _clear_padding(features, mask, self.dim)
        log_alpha = F.logsigmoid(self.alpha(features).squeeze(-1))  # (B, T)
        whole = _weighted_sum(masked_softmax(log_alpha, mask), features)  # f_s: (B, D)
        # [f_i : f_s] . w without writing f_s beside every step.
        of_step, of_whole = self.beta.weight[:, : self.dim], self.beta.weight[:, self.dim :]
        scores = F.linear(features, of_step).squeeze(-1) + F.linear(whole, of_whole)
        weights = masked_softmax(log_alpha + F.logsigmoid(scores), mask)
        # The weights sum to 1, so the second half of eq. 4 is f_s itself.
        return torch.cat([_weighted_sum(weights, features), whole], dim=-1), weights


class TransformerAttention(nn.Module):
    """Reduce a clip's sequence by a softmax over scores of a small perceptron.

    Each step is reduced to ``v_i = W f_i + b`` and scored by ``e_i = u . tanh(v_i)``; its weight
    is ``exp(scale e_i) / sum_k exp(scale e_k)``. What is summed with these weights is the
    reduced ``v_i`` or the ``f_i`` themselves.

    Shapes (B clips, T steps after padding, D = ``dim``, H = ``hidden_dim``):
        ``features``: (B, T, D), float.
        ``mask``: (B, T), bool; True where the step is real.
        result: (B, H) pooled embeddings if ``pooled`` is "reduced", (B, D) if "unreduced", and
        (B, T) weights. With ``scale`` 0 each real step weighs the same.

    Args:
        dim: length D of one embedding.
        hidden_dim: length H of a reduced embedding.
        scale: the papers' lambda, in [0, 1]: 0 is the mean, 1 the ordinary softmax.
        pooled: "reduced" sums the v_i, as deep-fusion eq. 9 does for video; "unreduced" sums
            the f_i, as icmi19 eq. 7 prints it and as deep-fusion eq. 4 does for audio.

    Raises:
        ValueError: a size is below 1, ``scale`` is outside [0, 1], or ``pooled`` is neither.

    Source:
        Zhou et al., ICMI 2019, eq. 5-7 (with ``scale`` 1), and Zhang, Wang, Du, "Deep Fusion",
        2019 (arXiv:1901.04889), eq. 2-4 (audio) and 6-9 (video). Differs from icmi19: u is in
        R^m as W f has length m (eq. 6 prints d), and the reduced embeddings are pooled unless
        asked otherwise.
    """

    def __init__(
        self, dim: int, hidden_dim: int, scale: float = 1.0, *, pooled: Pooled = "reduced"
    ) -> None:
        super().__init__()
        _check_sizes(dim=dim, hidden_dim=hidden_dim)
        if not 0.0 <= scale <= 1.0:
            raise ValueError(f"scale (the papers' lambda) must be in [0, 1], got {scale}")
        if pooled not in ("reduced", "unreduced"):
            raise ValueError(f"pooled must be 'reduced' or 'unreduced', got {pooled!r}")
        self.dim = dim
        self.scale = scale
        self.pooled = pooled
        self.out_dim = hidden_dim if pooled == "reduced" else dim
        self.reduce = nn.Linear(dim, hidden_dim)
        self.score = nn.Linear(hidden_dim, 1, bias=False)

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Pool each clip; shapes and guarantees are in the class docstring.

        Raises:
            ValueError: ``features`` is not (B, T, ``dim``), or ``mask`` is not (B, T) bool.
        """
        features = _clear_padding(features, mask, self.dim)
        reduced = self.reduce(features)  # (B, T, H)
        scores = self.scale * self.score(torch.tanh(reduced)).squeeze(-1)
        weights = masked_softmax(scores, mask)
        return _weighted_sum(weights, reduced if self.pooled == "reduced" else features), weights


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
        _check_sizes(dim=dim)
        self.dim = dim
        self.out_dim = 2 * dim

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Pool each clip; shapes and guarantees are in the class docstring.

        Raises:
            ValueError: ``features`` is not (B, T, ``dim``), or ``mask`` is not (B, T) bool.
        """
        features = _clear_padding(features, mask, self.dim)
        weights = mask.to(features.dtype) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        mean = (weights.unsqueeze(-1) * features).sum(dim=1)
        variance = (weights.unsqueeze(-1) * (features - mean.unsqueeze(1)).square()).sum(dim=1)
        deviation = (variance + ROOT_EPS).sqrt() * mask.any(dim=1, keepdim=True)
        return torch.cat([mean, deviation], dim=1), weights


_Simple = MeanPooling | SelfAttention | RelationAttention | StatisticsPooling
Pooling = _Simple | TransformerAttention
POOLINGS: dict[str, type[_Simple]] = {
    "mean": MeanPooling,
    "self": SelfAttention,
    "relation": RelationAttention,
    "statistics": StatisticsPooling,
}


def make_pooling(
    kind: str, dim: int, *, hidden_dim: int, scale: float = 1.0, pooled: Pooled = "reduced"
) -> Pooling:
    """Build the pooling that a setting names.

    Args:
        kind: "mean", "self", "relation", "statistics" or "transformer".
        dim: length of one embedding.
        hidden_dim: of "transformer" only: length of a reduced embedding.
        scale: of "transformer" only: the papers' lambda.
        pooled: of "transformer" only: what the weights sum.

    Raises:
        ValueError: ``kind`` is unknown; the known ones are named.
    """
    if kind == "transformer":
        return TransformerAttention(dim, hidden_dim, scale, pooled=pooled)
    if kind not in POOLINGS:
        known = ", ".join([*POOLINGS, "transformer"])
        raise ValueError(f"unknown attention {kind!r}; known: {known}")
    return POOLINGS[kind](dim)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Turn (B, T) scores into weights over the real steps; a clip without one gets zeros."""
    # A row without a real step keeps its scores until the end: softmax over -inf alone is nan.
    has_step = mask.any(dim=1, keepdim=True)
    scores = scores.masked_fill(~mask & has_step, float("-inf"))
    return scores.softmax(dim=1).masked_fill(~mask, 0.0)


def _weighted_sum(weights: Tensor, features: Tensor) -> Tensor:
    """Sum (B, T, D) features over T with (B, T) weights."""
    return (weights.unsqueeze(1) @ features).squeeze(1)


def _clear_padding(features: Tensor, mask: Tensor, dim: int) -> Tensor:
    """Check the shapes and set the padding to 0: 0 * nan is nan, in the sums and the gradients."""
    if features.ndim != 3 or features.shape[-1] != dim:
        raise ValueError(f"features must have shape (B, T, {dim}), got {tuple(features.shape)}")
    if mask.shape != features.shape[:2] or mask.dtype != torch.bool:
        raise ValueError(
            f"mask must have shape {tuple(features.shape[:2])} and dtype bool, "
            f"got {tuple(mask.shape)} and {mask.dtype}"
        )
    return features.masked_fill(~mask.unsqueeze(-1), 0.0)


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
