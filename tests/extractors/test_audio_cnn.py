"""The small audio network: padding, lengths, normalisation, refusals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from extractors.audio_cnn import AudioCNN, MaskedBatchNorm, grid_steps, min_steps, step_times

LENGTHS = (71, 0, 33, 31)
F, C, D = 11, 3, 7


def make(seed: int = 3) -> AudioCNN:
    torch.manual_seed(seed)
    return AudioCNN(C, F, (2, 3, 5), D)


def batch(fill: float = 0.0, steps: int = 73) -> tuple[Tensor, Tensor]:
    grid = torch.randn(len(LENGTHS), C, steps, F, generator=torch.Generator().manual_seed(5))
    lengths = torch.tensor(LENGTHS)
    past = torch.arange(steps) >= lengths[:, None]
    return grid.masked_fill(past[:, None, :, None], fill), lengths


def test_a_clip_has_a_step_for_every_stride_and_none_below_it() -> None:
    result, lengths = make()(*batch())
    assert result.shape == (4, 73 // 32, D)
    assert lengths.tolist() == [2, 0, 1, 0]
    assert [grid_steps(n) for n in LENGTHS] == [2, 0, 1, 0]
    assert min_steps() == 32
    assert step_times(2).tolist() == [15.5, 47.5]


def test_in_evaluation_a_batch_equals_the_loop_over_its_clips() -> None:
    network = make().eval()
    grid, lengths = batch()
    result, found = network(grid, lengths)
    for i, n in enumerate(LENGTHS):
        alone, _ = network(grid[i : i + 1, :, :n], lengths[i : i + 1])
        torch.testing.assert_close(result[i, : found[i]], alone[0, : found[i]])
        assert not result[i, found[i] :].any()


@pytest.mark.parametrize("fill", [math.nan, 1e6])
@pytest.mark.parametrize("extra", [0, 37])
def test_padding_reaches_neither_result_nor_gradient_nor_statistics(
    fill: float, extra: int
) -> None:
    def outcome(fill: float, extra: int) -> list[Tensor]:
        network = make().double()  # sums of other lengths round otherwise
        grid, lengths = batch(fill, 73)
        grid = torch.nn.functional.pad(grid.double(), (0, 0, 0, extra), value=fill)
        result, _ = network(grid, lengths)
        result.square().sum().backward()
        return [result[:, :2], *(p.grad for p in network.parameters()), *network.buffers()]

    torch.testing.assert_close(outcome(fill, extra), outcome(0.0, 0))


def test_batch_normalisation_is_that_of_the_real_positions_in_numpys_words() -> None:
    norm = MaskedBatchNorm(2)
    grid = torch.zeros(2, 2, 3, 1)
    grid[0, :, :2, 0] = torch.tensor([[1.0, 3.0], [2.0, 2.0]])
    grid[1, :, :1, 0] = torch.tensor([[5.0], [2.0]])
    result = norm(grid, torch.tensor([2, 1]))
    # Channel 0 holds 1, 3, 5: mean 3, variance 8/3. Channel 1 is constant.
    deviation = math.sqrt(8 / 3 + 1e-5)
    torch.testing.assert_close(result[0, 0, :2, 0], torch.tensor([-2.0, 0.0]) / deviation)
    assert result[1, 0, 0, 0].item() == pytest.approx(2 / deviation)
    torch.testing.assert_close(norm.mean, torch.tensor([0.3, 0.2]))
    torch.testing.assert_close(norm.variance, torch.tensor([0.9 + 0.8 / 3, 0.9]))


def test_a_batch_without_a_real_position_changes_nothing() -> None:
    norm = MaskedBatchNorm(2)
    norm(torch.zeros(2, 2, 3, 1), torch.tensor([0, 0]))
    assert norm.mean.tolist() == [0, 0]
    assert norm.variance.tolist() == [1, 1]


def test_too_few_bins_and_sizes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match=r"num_bins must be at least 8.*got 7"):
        AudioCNN(1, 7)
    with pytest.raises(ValueError, match="must be at least 1, got 0, 128"):
        AudioCNN(0, 40)
    with pytest.raises(ValueError, match=r"3 channels must be at least 1.*\(2, 3\)"):
        AudioCNN(1, 40, (2, 3))


def test_other_shapes_and_lengths_are_refused() -> None:
    network = make()
    with pytest.raises(ValueError, match=r"\(B, 3, T, 11\), got \(2, 3, 5, 13\)"):
        network(torch.zeros(2, 3, 5, 13), torch.tensor([5, 5]))
    with pytest.raises(ValueError, match=r"2 integers in 0..5, got \[5, 6\]"):
        network(torch.zeros(2, 3, 5, 11), torch.tensor([5, 6]))
    with pytest.raises(ValueError, match="2 integers"):
        network(torch.zeros(2, 3, 5, 11), torch.tensor([5.0, 5.0]))
