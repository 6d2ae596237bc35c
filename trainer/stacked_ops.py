"""What stacked heads compute on packed rows: steps of many clips behind each other, no padding.

Padding costs a third of the matrix products of a batch; packed rows have none. A *stream* is one
order of batches, that of one seed; a batch of S streams holds the rows of all of them, stream by
stream, and every clip is a *bag*: a stretch of rows that is pooled to one vector.

Letters: N rows, D numbers a row, S streams, B bags a stream, P heads a stream, K outputs a row.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Packed(NamedTuple):
    """The steps of one modality of a batch.

    Args:
        rows: (N, D) features; the gradient never reaches them.
        bounds: (S + 1) where each stream's rows start, and N.
        starts: (S B,) where each bag's rows start; a bag may be empty.
        place: (S B, T) the row of each step of each bag; N where there is none, N + 1 in the
            first place of an empty bag.
        real: (N,) position in the flat ``place`` of each row.
        bag: (N,) bag of each row.
        has: (S, B, 1) 1 for a bag with a row, else 0.
    """

    rows: Tensor
    bounds: tuple[int, ...]
    starts: Tensor
    place: Tensor
    real: Tensor
    bag: Tensor
    has: Tensor


class _PackedLinear(torch.autograd.Function):
    """A linear map of rows whose gradient is wanted for the map alone, one map a stream."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, bounds: tuple[int, ...], weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        out = rows.new_empty((len(rows), weight.shape[1]))
        for stream, (start, end) in enumerate(pairwise(bounds)):
            part, matrix = rows[start:end], weight[stream].t()
            if bias is None:
                torch.mm(part, matrix, out=out[start:end])
            else:
                torch.addmm(bias[stream], part, matrix, out=out[start:end])
        ctx.save_for_backward(rows)
        ctx.bounds, ctx.shape, ctx.biased = bounds, weight.shape, bias is not None
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor, Tensor | None]:
        (grad,) = grads
        (rows,) = ctx.saved_tensors
        weight = grad.new_empty(ctx.shape)
        bias = grad.new_empty(ctx.shape[:2]) if ctx.biased else None
        for stream, (start, end) in enumerate(pairwise(ctx.bounds)):
            part = grad[start:end]
            torch.mm(part.t(), rows[start:end], out=weight[stream])
            if bias is not None:
                torch.sum(part, dim=0, out=bias[stream])
        return None, None, weight, bias


def packed_linear(batch: Packed, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Map each stream's rows by its own (S, K, D) weight and (S, K) bias to (N, K)."""
    result: Tensor = _PackedLinear.apply(batch.rows, batch.bounds, weight, bias)  # type: ignore[no-untyped-call]
    return result


def bag_softmax(scores: Tensor, batch: Packed) -> Tensor:
    """Turn (P, N) scores into weights that sum to 1 over the rows of each bag."""
    edge = scores.new_tensor([float("-inf"), 0.0]).expand(len(scores), 2)
    padded = torch.cat([scores, edge], dim=1)[:, batch.place.flatten()]
    weights = padded.reshape(-1, *batch.place.shape).softmax(dim=-1)
    return weights.flatten(1).index_select(1, batch.real)


def bag_sums(weights: Tensor, batch: Packed) -> Tensor:
    """Sum each bag's rows with (P, N) weights: (P, S, B, D), 0 for an empty bag."""
    streams, bags, _ = batch.has.shape
    row = torch.arange(len(batch.rows), device=weights.device)
    sums = [
        F.embedding_bag(row, batch.rows, batch.starts, mode="sum", per_sample_weights=part)
        for part in weights.unbind()
    ]
    return torch.stack(sums).reshape(len(sums), streams, bags, -1)


def mean_weights(batch: Packed) -> Tensor:
    """Weights (1, N) that make a bag's sum its mean."""
    ends = torch.cat([batch.starts[1:], batch.starts.new_tensor([len(batch.rows)])])
    sizes = (ends - batch.starts).clamp(min=1).to(batch.rows.dtype)
    return sizes.reciprocal().index_select(0, batch.bag).unsqueeze(0)
