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
        number: (N,) 0 to N - 1.
        bag: (N,) bag of each row.
        has: (S, B, 1) 1 for a bag with a row, else 0.
    """

    rows: Tensor
    bounds: tuple[int, ...]
    starts: Tensor
    number: Tensor
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
    result: Tensor = _PackedLinear.apply(batch.rows, batch.bounds, weight, bias)  # type: ignore[no-untyped-call]  # torch's
    return result


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


class _BagSoftmax(torch.autograd.Function):
    """Softmax over the rows of each bag."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, bag: Tensor, num_bags: int) -> Tensor:
        shape = len(scores), num_bags
        place = bag.expand_as(scores)
        most = scores.new_full(shape, float("-inf")).scatter_reduce_(1, place, scores, "amax")
        weights = (scores - most.gather(1, place)).exp_()
        total = scores.new_zeros(shape).scatter_add_(1, place, weights)
        weights /= total.gather(1, place)
        ctx.save_for_backward(weights, bag)
        ctx.shape = shape
        return weights

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        weights, bag = ctx.saved_tensors
        place = bag.expand_as(weights)
        part = grads[0] * weights
        total = part.new_zeros(ctx.shape).scatter_add_(1, place, part)
        return part.addcmul_(weights, total.gather(1, place), value=-1.0), None, None


def bag_softmax(scores: Tensor, batch: Packed) -> Tensor:
    """Turn (P, N) scores into weights that sum to 1 over the rows of each bag."""
    result: Tensor = _BagSoftmax.apply(scores, batch.bag, len(batch.starts))  # type: ignore[no-untyped-call]  # torch's
    return result


def bag_sums(weights: Tensor, batch: Packed) -> Tensor:
    """Sum each bag's rows with (P, N) weights: (P, S, B, D), 0 for an empty bag."""
    streams, bags, _ = batch.has.shape
    sums = [
        F.embedding_bag(batch.number, batch.rows, batch.starts, mode="sum", per_sample_weights=part)
        for part in weights.unbind()
    ]
    return torch.stack(sums).reshape(len(sums), streams, bags, -1)


def mean_weights(batch: Packed) -> Tensor:
    """Weights (1, N) that make a bag's sum its mean."""
    ends = torch.cat([batch.starts[1:], batch.starts.new_tensor([len(batch.rows)])])
    sizes = (ends - batch.starts).clamp(min=1).to(batch.rows.dtype)
    return sizes.reciprocal().index_select(0, batch.bag).unsqueeze(0)
