"""Statistics pooling: against numbers worked out by hand, and on what is missing."""

from __future__ import annotations

import math

import pytest
import torch

from trainer.attention import StatisticsPooling


def test_mean_and_deviation_are_those_of_the_real_steps() -> None:
    features = torch.tensor([[[1.0, 2.0], [5.0, 2.0], [math.nan, 7.0]]])
    mask = torch.tensor([[True, True, False]])
    pooled, weights = StatisticsPooling(2)(features, mask)
    # Values 1 and 5: mean 3, deviation 2. Values 2 and 2: mean 2, deviation sqrt(1e-6).
    torch.testing.assert_close(pooled, torch.tensor([[3.0, 2.0, 2.0, 1e-3]]))
    assert weights.tolist() == [[0.5, 0.5, 0.0]]


def test_a_clip_without_a_step_is_zero_and_no_gradient_is_broken() -> None:
    features = torch.full((2, 3, 5), math.nan)
    features[0, :1] = 1.0
    features.requires_grad_()
    mask = torch.tensor([[True, False, False], [False, False, False]])
    pooled, weights = StatisticsPooling(5)(features, mask)
    assert not pooled[1].any()
    assert not weights[1].any()
    pooled.sum().backward()
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()
    assert not features.grad[~mask].any()


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="dim must be at least 1, got 0"):
        StatisticsPooling(0)
    pooling = StatisticsPooling(5)
    with pytest.raises(ValueError, match=r"\(B, T, 5\), got \(2, 3, 7\)"):
        pooling(torch.zeros(2, 3, 7), torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"\(2, 3\) and dtype bool, got \(2, 3\) and torch.float"):
        pooling(torch.zeros(2, 3, 5), torch.ones(2, 3))
