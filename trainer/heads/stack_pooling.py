"""The attentions of ``trainer.attention``, for the P heads of every stream at once.

Each yields the maps by which it wants every row mapped, so that one product serves all that look
at a batch, and pools a block from what came of it. Parameters are (P, S, ...), weights among them
(P, S, out, in). Sources and meaning: see ``trainer.attention``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.heads.stack_ops import Block, bag_softmax, mean_weights, sum_rows
from trainer.settings import ModalitySettings


class StackedPooling(Protocol):
    """Pools one modality of the P heads of each stream in one way."""

    def maps(self) -> tuple[Tensor, Tensor | None] | None:
        """Return the map of a row: (S, K, D) weights and (S, K) biases; None for no map."""

    def pool(self, block: Block, mapped: Tensor, /) -> Tensor:
        """Pool a block from its rows and the (n, K) they are mapped to: (P, b, length)."""


@dataclass(frozen=True)
class StackedMean:
    """The mean of each clip's rows, for ``heads`` heads."""

    heads: int

    def maps(self) -> None:
        """Return None: a mean maps no rows."""
        return

    def pool(self, block: Block, _: Tensor) -> Tensor:
        """Return (P, b, D) means, in memory that the heads share."""
        return sum_rows(mean_weights(block), block).expand(self.heads, -1, -1)


@dataclass(frozen=True)
class StackedSelf:
    """Weights that each row earns on its own: ``alpha`` is (P, S, 1, D)."""

    alpha: Tensor

    def maps(self) -> tuple[Tensor, None]:
        """Return the alphas of the heads side by side."""
        return _side_by_side(self.alpha), None

    def pool(self, block: Block, mapped: Tensor) -> Tensor:
        """Return (P, b, D)."""
        return sum_rows(bag_softmax(F.logsigmoid(_as_scores(mapped)), block), block)


@dataclass(frozen=True)
class StackedRelation:
    """Weights that compare each row with its clip: ``alpha`` (P, S, 1, D), ``beta`` (.., 2 D)."""

    alpha: Tensor
    beta: Tensor

    def maps(self) -> tuple[Tensor, None]:
        """Return all alphas, then the half of all betas that sees the row."""
        of_row = self.beta[..., : self.alpha.shape[-1]]
        return _side_by_side(torch.cat([self.alpha, of_row])), None

    def pool(self, block: Block, mapped: Tensor) -> Tensor:
        """Return (P, b, 2 D)."""
        alpha, of_row = torch.split(mapped, len(self.alpha), dim=1)
        log_alpha = F.logsigmoid(_as_scores(alpha))
        whole = sum_rows(bag_softmax(log_alpha, block), block)
        beta = self.beta[:, block.stream, :, self.alpha.shape[-1] :]  # (P, 1, D)
        of_whole = torch.bmm(whole, beta.transpose(1, 2))  # (P, b, 1)
        log_beta = F.logsigmoid(_as_scores(of_row) + of_whole)  # (P, b, n)
        own = sum_rows(bag_softmax(log_alpha + log_beta, block), block)
        return torch.cat([own, whole], dim=-1)


@dataclass(frozen=True)
class StackedTransformer:
    """Weights that a small perceptron scores.

    Args:
        reduce: (P, S, H, D) weights.
        bias: (P, S, H) of the same map.
        score: (P, S, 1, H) weights.
        settings: scale, and what is summed.
    """

    reduce: Tensor
    bias: Tensor
    score: Tensor
    settings: ModalitySettings

    def maps(self) -> tuple[Tensor, Tensor]:
        """Return the reducing maps of the heads side by side."""
        return _side_by_side(self.reduce), self.bias.transpose(0, 1).flatten(1)

    def pool(self, block: Block, mapped: Tensor) -> Tensor:
        """Return (P, b, H), or (P, b, D) of the rows themselves."""
        heads, _, length, _ = self.reduce.shape
        reduced = mapped.reshape(len(mapped), heads, length)
        # tanh(v) is 2 sigmoid(2 v) - 1, and sigmoid takes a fifth of its time. The -1 shifts all
        # scores of a head alike, which a softmax does not see.
        score = 2.0 * self.settings.scale * self.score[:, block.stream, 0]  # (P, H)
        scores = _as_scores(((2.0 * reduced).sigmoid() * score).sum(dim=-1))
        weights = bag_softmax(scores, block)
        if self.settings.pooled == "unreduced":
            return sum_rows(weights, block)
        return torch.bmm(weights, reduced.transpose(0, 1))


def make_stacked_pooling(
    settings: ModalitySettings, heads: int, get: Callable[[str], Tensor]
) -> StackedPooling:
    """Build the pooling that a setting names.

    Args:
        settings: the attention and its numbers.
        heads: P.
        get: a parameter of all these heads, by its name in the pooling of one.
    """
    if settings.attention == "mean":
        return StackedMean(heads)
    if settings.attention == "self":
        return StackedSelf(get("alpha.weight"))
    if settings.attention == "relation":
        return StackedRelation(get("alpha.weight"), get("beta.weight"))
    return StackedTransformer(
        get("reduce.weight"), get("reduce.bias"), get("score.weight"), settings
    )


def _side_by_side(weight: Tensor) -> Tensor:
    """Turn (P, S, k, D) into (S, P k, D)."""
    return weight.transpose(0, 1).flatten(1, 2)


def _as_scores(mapped: Tensor) -> Tensor:
    """Turn (n, P) into (P, 1, n)."""
    return mapped.t().unsqueeze(1)
