"""The AlexNet branch: grids of any length, and where their elements lie in time."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from extractors import alexnet, audio_cnn
from extractors.alexnet import AlexNetFCN, grid_steps, min_steps
from trainer.heads import encoders
from trainer.heads.encoders import (
    AlexNetEncoder,
    CnnEncoder,
    Encoded,
    _group,
    _Piece,
    grid_times,
    make_encoder,
)

REACH = min_steps()
LENGTHS = (REACH + 64, 0, REACH, REACH - 30)
F = 40


@pytest.fixture(scope="module")
def encoder() -> AlexNetEncoder:
    torch.manual_seed(3)
    return AlexNetEncoder(1).eval()


def batch(fill: float = 0.0, steps: int = max(LENGTHS)) -> tuple[Tensor, Tensor]:
    features = torch.randn(len(LENGTHS), steps, F, generator=torch.Generator().manual_seed(5))
    mask = torch.arange(steps) < torch.tensor(LENGTHS)[:, None]
    return features.masked_fill(~mask.unsqueeze(-1), fill), mask


def test_a_grid_has_the_encoders_steps_and_a_clip_without_sound_none(
    encoder: AlexNetEncoder,
) -> None:
    encoded = encoder(*batch())
    assert encoded.features.shape == (4, grid_steps(LENGTHS[0]), encoder.out_dim)  # F' is 1
    assert encoded.mask.sum(1).tolist() == [grid_steps(LENGTHS[0]), 0, 1, 1]
    assert encoded.mask.dtype == torch.bool


def test_a_clip_below_the_encoders_reach_is_lengthened_with_zeros_and_reported(
    encoder: AlexNetEncoder,
) -> None:
    features, mask = batch()
    encoded = encoder(features, mask)
    assert encoded.lengthened.tolist() == [False, False, False, True]
    short = torch.zeros(1, REACH, F)
    short[0, : LENGTHS[3]] = features[3, : LENGTHS[3]]
    alone = encoder(short, torch.ones(1, REACH, dtype=torch.bool))
    torch.testing.assert_close(encoded.features[3, :1], alone.features[0])


@pytest.mark.slow
@pytest.mark.parametrize("fill", [math.nan, math.inf, 1e6])
def test_padding_content_reaches_neither_grid_nor_gradient(
    encoder: AlexNetEncoder, fill: float
) -> None:
    def outcome(fill: float) -> tuple[Encoded, Tensor]:
        encoder.zero_grad()
        encoded = encoder(*batch(fill))
        (encoded.features * encoded.mask.unsqueeze(-1)).square().sum().backward()
        gradient = encoder.network.get_parameter("convs.0.weight").grad
        assert gradient is not None
        return encoded, gradient.clone()

    (got, got_grad), (want, want_grad) = outcome(fill), outcome(-1.0)
    assert torch.equal(got.features[got.mask], want.features[want.mask])
    assert torch.equal(got_grad, want_grad)


def test_a_batch_equals_its_clips_one_by_one(encoder: AlexNetEncoder) -> None:
    features, mask = batch()
    encoded = encoder(features, mask)
    for clip, length in enumerate(LENGTHS):
        alone = encoder(features[clip : clip + 1, :length], mask[clip : clip + 1, :length])
        real = encoded.features[clip][encoded.mask[clip]]
        torch.testing.assert_close(alone.features[0][alone.mask[0]], real, rtol=1e-4, atol=1e-5)


def _outcome(encoder: AlexNetEncoder, clips: list[Tensor], size: int) -> list[Tensor]:
    """Elements of each clip and all gradients, the clips taken ``size`` at a time."""
    encoder.zero_grad()
    elements = []
    for start in range(0, len(clips), size):
        part = clips[start : start + size]
        features = torch.nn.utils.rnn.pad_sequence(part, batch_first=True, padding_value=math.nan)
        lengths = torch.tensor([len(clip) for clip in part])
        mask = torch.arange(features.shape[1]) < lengths[:, None]
        encoded = encoder(features, mask)
        assert not encoded.features[~encoded.mask].any()
        elements += [own[real] for own, real in zip(encoded.features, encoded.mask, strict=True)]
    weights = torch.Generator().manual_seed(7)
    loss = sum(
        (own * torch.rand(own.shape, generator=weights, dtype=own.dtype)).sum() for own in elements
    )
    assert isinstance(loss, Tensor)
    torch.autograd.backward(loss)
    gradients = [parameter.grad for parameter in encoder.parameters()]
    return [*(own.detach() for own in elements), *(g.clone() for g in gradients if g is not None)]


@pytest.fixture(scope="module")
def one_by_one() -> tuple[AlexNetEncoder, list[Tensor], list[Tensor]]:
    """An encoder, clips, and what it makes of them one by one, in whole."""
    encoder = AlexNetEncoder(1)
    encoder.network, encoder.out_dim = AlexNetFCN(1, (7, 5, 3, 2, 13)).double(), 13
    lengths = (131, 0, 229, 67, 40, 131, 358)
    draw = torch.Generator().manual_seed(5)
    clips = [torch.randn(n, 11, generator=draw, dtype=torch.float64) for n in lengths]
    return encoder, clips, _outcome(encoder, clips, 1)


@pytest.mark.parametrize("pass_steps", [0, 64, 10_000])
@pytest.mark.parametrize("kept", [0, 150 * 11, 10**9])
@pytest.mark.parametrize("block", [2, 100])
def test_however_a_batch_is_divided_it_equals_its_clips_in_output_and_gradient(
    monkeypatch: pytest.MonkeyPatch,
    one_by_one: tuple[AlexNetEncoder, list[Tensor], list[Tensor]],
    pass_steps: int,
    kept: int,
    block: int,
) -> None:
    encoder, clips, alone = one_by_one
    assert [len(own) for own in alone[: len(clips)]] == [3, 0, 6, 1, 1, 3, 10]
    assert len(alone) == len(clips) + 10
    monkeypatch.setattr(encoders, "PASS_STEPS", pass_steps)
    monkeypatch.setattr(encoders, "KEPT", kept)
    monkeypatch.setattr(alexnet, "BLOCK", block)
    together = _outcome(encoder, clips, len(clips))
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-12)


def test_blocks_go_together_while_their_padding_costs_less_than_a_pass() -> None:
    pieces = [
        _Piece(clip, steps, next(alexnet.cut(steps)))
        for clip, steps in enumerate((300, 100, 290, 1700, 250, 1690, 236, 99))
    ]
    groups = [[piece.length for piece in group] for group in _group(pieces)]
    # 50 + 10 steps of padding are still less than 64; two of 1,700 are more than 3,200.
    assert groups == [[1700], [1690], [300, 290, 250], [236], [100, 99]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "most"), [((13.5, *[3.0] * 15), 500), ((300.0, 10.0), 900)], ids=["batch", "long"]
)
def test_an_update_needs_little_memory_whatever_the_clips(
    seconds: tuple[float, ...], most: int
) -> None:
    measure = f"""
import torch
from pathlib import Path
from trainer.heads.encoders import AlexNetEncoder
def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) // 1024
lengths = torch.tensor({[int(100 * s) for s in seconds]})
mask = torch.arange(int(lengths.max())) < lengths[:, None]
encoder, before = AlexNetEncoder(1), memory("VmRSS")
encoder(torch.zeros(*mask.shape, 200), mask).features.sum().backward()
print(memory("VmHWM") - before)
"""
    ended = subprocess.run(
        [sys.executable, "-c", measure], capture_output=True, text=True, check=True
    )
    assert int(ended.stdout) < most  # MiB; padded to the longest with all maps kept 2,200 and 7,000


def test_elements_of_one_time_follow_each_other_lowest_frequency_first() -> None:
    torch.manual_seed(3)
    encoder = AlexNetEncoder(1).eval()
    steps = REACH + 32
    low = torch.zeros(1, steps, 200)
    low[..., :20] = 1.0  # only the lowest bins sound
    mask = torch.ones(1, steps, dtype=torch.bool)
    silence = encoder(torch.zeros(1, steps, 200), mask)
    changed = (encoder(low, mask).features - silence.features).abs().sum(-1)[0]
    times, bands = grid_steps(steps), 5
    assert changed.shape == (times * bands,)
    by_band = changed.reshape(times, bands).sum(0)
    assert by_band.argmax() == 0
    assert by_band[-1] == 0


def test_a_mask_over_bands_ends_where_the_clips_time_does() -> None:
    mask = torch.arange(REACH + 64) < torch.tensor([REACH + 64, REACH])[:, None]
    encoded = AlexNetEncoder(1).eval()(torch.ones(2, REACH + 64, 200), mask)
    assert encoded.mask.tolist() == [[True] * 15, [True] * 5 + [False] * 10]


def test_a_log_mel_with_deltas_has_three_channels() -> None:
    encoder = AlexNetEncoder(3)
    mask = torch.ones(1, REACH, dtype=torch.bool)
    assert encoder(torch.zeros(1, REACH, F, 3), mask).features.shape == (1, 1, encoder.out_dim)


@pytest.mark.parametrize("shape", [(1, 70), (1, 70, 40, 3), (1, 70, 40, 1, 1)])
def test_features_of_other_channels_are_refused(
    encoder: AlexNetEncoder, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=rf"\(B, T, F, 1\), got \({', '.join(map(str, shape))}\)"):
        encoder(torch.zeros(shape), torch.ones(1, 70, dtype=torch.bool))


def test_a_grid_element_is_shown_at_the_centre_of_what_it_saw() -> None:
    steps = REACH + 32
    times = grid_times(0.5 + 0.01 * np.arange(steps), 5)
    centre = (REACH - 1) / 2  # of the first element, in steps; the next is 32 steps on
    np.testing.assert_allclose(times[:5], 0.5 + 0.01 * centre)
    np.testing.assert_allclose(times[5:10], 0.5 + 0.01 * (centre + 32))
    assert len(times) == 5 * grid_steps(steps)


def test_a_lengthened_clips_element_is_shown_inside_the_clip() -> None:
    np.testing.assert_allclose(grid_times(np.array([0.0, 0.01, 0.02]), 2), [0.02, 0.02])
    assert grid_times(np.zeros(0), 5).shape == (0,)


def test_the_small_network_lengthens_short_clips_and_leaves_silent_ones_without_a_step() -> None:
    torch.manual_seed(3)
    small = make_encoder("cnn", (F, 3))
    assert isinstance(small, CnnEncoder)
    small.eval()
    reach = audio_cnn.min_steps()
    lengths = (2 * reach + 5, 0, reach - 3)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    features = torch.randn(3, max(lengths), F, 3).masked_fill(~mask[:, :, None, None], math.nan)
    encoded = small(features, mask)
    assert encoded.features.shape == (3, 2, small.out_dim)
    assert encoded.mask.sum(1).tolist() == [2, 0, 1]
    assert encoded.lengthened.tolist() == [False, False, True]
    short = torch.zeros(1, reach, F, 3)
    short[0, : lengths[2]] = features[2, : lengths[2]]
    alone = small(short, torch.ones(1, reach, dtype=torch.bool))
    torch.testing.assert_close(encoded.features[2, :1], alone.features[0])


def test_steps_of_the_small_network_lie_at_the_centre_of_what_they_see() -> None:
    times = np.arange(70) / 100
    np.testing.assert_allclose(grid_times(times, 1, "cnn"), [0.155, 0.475])
    assert len(grid_times(np.zeros(0), 1, "cnn")) == 0


def test_other_shapes_and_encoders_are_refused() -> None:
    with pytest.raises(ValueError, match=r"or \(B, T, F, 3\), got \(2, 5, 40, 1\)"):
        CnnEncoder(3, F)(torch.zeros(2, 5, F), torch.ones(2, 5, dtype=torch.bool))
    with pytest.raises(ValueError, match="unknown encoder 'vgg'; known: cnn, alexnet"):
        make_encoder("vgg", (F,))
