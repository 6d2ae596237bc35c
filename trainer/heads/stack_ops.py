"""Operations of stacked heads on blocks: the steps of a few clips behind each other, no padding.

Padding costs a third of the matrix products of a batch; rows behind each other have none. A
*stream* is one order of batches, that of one seed. Its clips of a batch lie in blocks of a few,
and every clip is a *bag*: a stretch of a block's rows that is pooled to one vector. Its weights are
a softmax over all rows of the block that leaves 0 to those of other bags, so that a block takes a
handful of operations, however many clips it has: a small head waits for calls, not for arithmetic.

Letters: n rows of a block, b bags of it, D numbers a row, P heads of a stream, S streams, B bags
of a stream, K outputs a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# Added to the score of a row that is not of the bag: its weight is 0. Finite, so that an empty bag
# has weights that are numbers; what they sum is cleared.
ELSEWHERE = -1e30


class Block(NamedTuple):
    """The steps of one modality of a few clips of a stream.

    Args:
        stream: whose clips they are.
        rows: (n, D) features; the gradient never reaches them.
        mask: (b, n) 0 on the rows of each bag, ``ELSEWHERE`` on the others.
        bag: (n,) bag of each row.
        starts: (b,) where each bag's rows start; a bag may be empty.
        number: (n,) 0 to n - 1.
    """

    stream: int
    rows: Tensor
    mask: Tensor
    bag: Tensor
    starts: Tensor
    number: Tensor


class Packed(NamedTuple):
    """The steps of one modality of a batch.

    Args:
        blocks: as many of each stream, stream by stream, all with as many bags.
        has: (S, B, 1) 1 for a bag with a row, else 0.
    """

    blocks: Sequence[Block]
    has: Tensor


def mask_table(bags: int, device: torch.device) -> Tensor:
    """Return (b, b) masks of one row of each bag: column by column those of ``Block``."""
    return torch.full((bags, bags), ELSEWHERE, device=device).fill_diagonal_(0.0)


def bag_softmax(scores: Tensor, block: Block) -> Tensor:
    """Turn (P, 1, n) scores into weights (P, b, n) that sum to 1 over the rows of each bag."""
    return (scores + block.mask).softmax(dim=-1)


def mean_weights(block: Block) -> Tensor:
    """Weights (1, b, n) that make a bag's sum its mean."""
    return block.mask.softmax(dim=-1).unsqueeze(0)


def sum_rows(weights: Tensor, block: Block) -> Tensor:
    """Sum a block's rows with (P, b, n) weights: (P, b, D), 0 for an empty bag."""
    # A row counts in its own bag alone: a product with all b of them would take five times as long.
    own = weights.gather(1, block.bag.expand(len(weights), 1, -1)).squeeze(1)
    sums = [
        F.embedding_bag(block.number, block.rows, block.starts, mode="sum", per_sample_weights=part)
        for part in own.unbind()
    ]
    return torch.stack(sums)


def join_blocks(pooled: Sequence[Tensor], has: Tensor) -> Tensor:
    """Put (P, b, length) of every block together: (P, S, B, length), 0 for an empty bag."""
    whole = torch.cat(list(pooled), dim=1) if len(pooled) > 1 else pooled[0]
    return whole.reshape(len(whole), *has.shape[:2], whole.shape[2]) * has


def by_stream(stacked: Tensor) -> Sequence[Tensor]:
    """Part (S, ...) parameters by stream; the gradient of a single stream is not copied."""
    return torch.unbind(stacked) if len(stacked) > 1 else [stacked.squeeze(0)]


class _StackedLinear(torch.autograd.Function):
    """One linear map a head, whose gradient has the layout of the weights: nothing is copied."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(values, weight)
        return torch.bmm(values, weight.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor]:
        (grad,) = grads
        values, weight = ctx.saved_tensors
        wanted = torch.bmm(grad, weight) if ctx.needs_input_grad[0] else None
        return wanted, torch.bmm(grad.transpose(1, 2), values)


def stacked_linear(values: Tensor, weight: Tensor) -> Tensor:
    """Map (P, S, B, d) values by each head's own (P, S, k, d) weight to (P, S, B, k)."""
    flat = values.expand(*weight.shape[:2], -1, -1).flatten(0, 1)
    result: Tensor = _StackedLinear.apply(flat, weight.flatten(0, 1))  # type: ignore[no-untyped-call]  # torch's
    return result.reshape(*weight.shape[:2], *result.shape[1:])
