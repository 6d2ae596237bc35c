from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from extractors import alexnet
from extractors.alexnet import (
    AlexNetFCN,
    clear_padding,
    cut,
    grid_steps,
    local_response_norm,
    min_steps,
    step_times,
)
from tests.extractors import reference
from tests.extractors.pins import layout

TINY = (7, 5, 3, 2, 11)


def tiny(in_channels: int, seed: int = 3) -> AlexNetFCN:
    net = AlexNetFCN(in_channels, TINY)
    reference.randomise(net, seed)
    return net


def test_names_and_shapes_are_those_of_alexnet_without_its_linear_layers() -> None:
    assert layout(AlexNetFCN(1)) == {
        "convs.0.weight": (96, 1, 11, 11),
        "convs.0.bias": (96,),
        "convs.1.weight": (256, 96, 5, 5),
        "convs.1.bias": (256,),
        "convs.2.weight": (384, 256, 3, 3),
        "convs.2.bias": (384,),
        "convs.3.weight": (384, 384, 3, 3),
        "convs.3.bias": (384,),
        "convs.4.weight": (256, 384, 3, 3),
        "convs.4.bias": (256,),
    }


def test_sixty_seven_steps_are_the_least_that_yield_one() -> None:
    assert min_steps() == 67
    assert [grid_steps(n) for n in (0, 1, 66, 67, 98, 99, 131)] == [0, 0, 0, 1, 1, 2, 3]


def test_grid_steps_says_what_the_network_yields() -> None:
    net = tiny(1)
    for steps in (67, 98, 99, 230):
        grid, lengths = net(torch.rand(1, 1, steps, 11).double(), torch.tensor([steps]))
        assert grid.shape[1] == lengths.item() == grid_steps(steps)


def test_each_grid_step_is_placed_at_the_centre_of_what_it_sees() -> None:
    # By hand: 67 steps of which the middle one is the 33rd, then 4 * 2 * 2 * 2 further each.
    assert step_times(3).tolist() == [33.0, 65.0, 97.0]
    assert step_times(0).shape == (0,)
    # And by the gradient: the input steps that a grid step depends on lie evenly about its time.
    net = tiny(1)
    spectrogram = torch.rand(1, 1, 515, 11, dtype=torch.float64, requires_grad=True)
    grid, _ = net(spectrogram, torch.tensor([515]))
    middle = 7
    (gradient,) = torch.autograd.grad(
        (grid[0, middle] * torch.rand(grid[0, middle].shape)).sum(), spectrogram
    )
    reached = gradient.abs().sum(dim=(0, 1, 3)).nonzero()
    centre = float(step_times(grid.shape[1])[middle])
    assert abs((int(reached.min()) + int(reached.max())) / 2 - centre) <= 16
    assert reached.min() >= centre - 97
    assert reached.max() <= centre + 97


@pytest.mark.parametrize(("channels", "bins", "bands"), [(1, 200, 5), (3, 40, 1), (2, 11, 1)])
def test_the_forward_pass_equals_the_definition_in_numpy(
    channels: int, bins: int, bands: int
) -> None:
    net = AlexNetFCN(channels, TINY)
    state = reference.randomise(net, 5)
    spectrogram = torch.randn(1, channels, 103, bins, dtype=torch.float64)
    grid, lengths = net(spectrogram, torch.tensor([103]))
    assert grid.shape == (1, 2, bands, 11)
    assert lengths.tolist() == [2]
    expected = reference.alexnet(spectrogram.numpy(), state)
    np.testing.assert_allclose(grid[0].detach().numpy(), expected, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("bins", [200, 40])
@pytest.mark.parametrize("junk", [0.0, 1e4, float("nan")])
def test_a_padded_batch_equals_the_loop_over_its_clips_in_output_and_gradient(
    junk: float, bins: int
) -> None:
    net = tiny(1)
    lengths = [67, 131, 229, 98, 99, 66, 3, 0, 230]
    total = 233
    clips = [torch.randn(1, 1, n, bins, dtype=torch.float64) for n in lengths]
    batch = torch.full((len(lengths), 1, total, bins), junk, dtype=torch.float64)
    for row, clip in zip(batch, clips, strict=True):
        row[:, : clip.shape[2]] = clip[0]

    batch.requires_grad_()
    grid, steps = net(batch, torch.tensor(lengths))
    weights = torch.randn(grid.shape, dtype=torch.float64)
    (grid * weights).sum().backward()
    batched = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}

    net.zero_grad()
    for index, clip in enumerate(clips):
        clip.requires_grad_()
        alone, count = net(clip, torch.tensor([clip.shape[2]]))
        assert count.item() == steps[index] == grid_steps(clip.shape[2])
        torch.testing.assert_close(grid[index, :count], alone[0, :count], rtol=1e-9, atol=1e-12)
        assert (grid[index, count:] == 0).all()
        (alone[0, :count] * weights[index, :count]).sum().backward()
        assert batch.grad is not None
        of_clip = torch.zeros_like(clip) if clip.grad is None else clip.grad
        own = batch.grad[index : index + 1, :, : clip.shape[2]]
        torch.testing.assert_close(own, of_clip, rtol=1e-9, atol=1e-12)
        assert (batch.grad[index, :, clip.shape[2] :] == 0).all()
    assert len(batched) == 10
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(batched[name], parameter.grad, rtol=1e-9, atol=1e-12)


def test_a_batch_of_clips_too_short_yields_one_empty_step() -> None:
    grid, lengths = tiny(1)(torch.rand(2, 1, 13, 200).double(), torch.tensor([13, 7]))
    assert grid.shape == (2, 1, 5, 11)
    assert lengths.tolist() == [0, 0]
    assert (grid == 0).all()


def test_the_norm_equals_the_definition_and_pytorchs() -> None:
    values = torch.randn(2, 7, 3, 5, dtype=torch.float64) * 50
    found = local_response_norm(values)
    np.testing.assert_allclose(found.numpy(), reference.local_response(values.numpy()), rtol=1e-12)
    torch.testing.assert_close(found, F.local_response_norm(values, 5, 1e-4, 0.75, 2.0))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_norms_gradient_is_that_of_its_definition(layout: torch.memory_format) -> None:
    values = torch.randn(2, 7, 3, 5, dtype=torch.float64) * 50  # where alpha counts
    values = values.contiguous(memory_format=layout).requires_grad_()
    assert torch.autograd.gradcheck(local_response_norm, values)
    (found,) = torch.autograd.grad(local_response_norm(values).sin().sum(), values)
    theirs = F.local_response_norm(values, 5, 1e-4, 0.75, 2.0)
    (expected,) = torch.autograd.grad(theirs.sin().sum(), values)
    torch.testing.assert_close(found, expected)


def test_clearing_padding_keeps_the_layout_of_values_and_gradients() -> None:
    grid = torch.randn(2, 3, 7, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    cleared = clear_padding(grid, torch.tensor([7, 4]))
    assert cleared.stride() == grid.stride()
    assert torch.equal(cleared[0], grid[0])
    assert (cleared[1, :, 4:] == 0).all()
    (gradient,) = torch.autograd.grad(cleared, grid, torch.ones_like(grid))
    assert gradient.stride() == grid.stride()
    assert gradient.sum(dim=(1, 2, 3)).tolist() == [3 * 7 * 5, 3 * 4 * 5]


@pytest.mark.parametrize("steps", [66, 67, 67 + 32 * 6, 67 + 32 * 11 + 13])
def test_blocks_one_behind_the_other_are_the_grid_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(alexnet, "BLOCK", 3)
    net = tiny(1)
    sound = torch.randn(1, 1, steps, 11, dtype=torch.float64)
    whole, _ = net(sound, torch.tensor([steps]))
    parts = []
    for block in cut(steps):
        length = block.last - block.first
        grid, _ = net(sound[:, :, block.first : block.last], torch.tensor([length]))
        parts.append(grid[0, block.lead : block.lead + block.steps])
    assert [len(part) for part in parts] == [
        min(3, grid_steps(steps) - start) for start in range(0, grid_steps(steps), 3)
    ]
    if parts:
        torch.testing.assert_close(torch.cat(parts), whole[0], rtol=1e-9, atol=1e-12)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="channels must be 5 numbers, got 4"):
        AlexNetFCN(1, TINY[:4])
    with pytest.raises(ValueError, match="at least 1, got 0 and"):
        AlexNetFCN(0)
    with pytest.raises(ValueError, match=r"at least 1, got 1 and \(7, 5, 0, 2, 11\)"):
        AlexNetFCN(1, (7, 5, 0, 2, 11))


@pytest.mark.parametrize(
    ("shape", "lengths", "message"),
    [
        ((2, 3, 67, 40), [67, 67], r"\(B, 1, T, F\) with F at least 11, got \(2, 3, 67, 40\)"),
        ((2, 1, 67, 10), [67, 67], r"got \(2, 1, 67, 10\)"),
        ((2, 67, 40), [67, 67], r"got \(2, 67, 40\)"),
        ((2, 1, 67, 40), [67], "lengths must be 2 integers"),
        ((2, 1, 67, 40), [67.0, 67.0], "lengths must be 2 integers, one a clip, got torch.float"),
        ((2, 1, 67, 40), [67, 68], r"lengths must lie in 0..67, got \[67, 68\]"),
        ((2, 1, 67, 40), [-1, 67], r"lengths must lie in 0..67, got \[-1, 67\]"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    shape: tuple[int, ...], lengths: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        AlexNetFCN(1, TINY)(torch.zeros(shape), torch.tensor(lengths))
