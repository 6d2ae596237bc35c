"""Poolings and encoders of plug-ins: what a head may count on is tried before it is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from extractors.plugins import ENCODERS, POOLINGS, PluginError
from tests.plugin_dists import install
from trainer.heads.head import make_head
from trainer.heads.plugins import LENGTHS, PluginEncoder, PluginPooling
from trainer.settings import AudioSettings, FusionSettings, HeadSettings, ModalitySettings

D, F = 5, 7

POOLING = """
import torch
from torch import nn
class Mine(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.out_dim = 3
        self.last = nn.Linear(dim, 3)
    def weigh(self, features, mask):
        return mask.float() / mask.sum(dim=1, keepdim=True).clamp(min=1)
    def forward(self, features, mask):
        weights = self.weigh(features, mask)
        return self.last((weights.unsqueeze(-1) * features).sum(dim=1)), weights
"""
ENCODER = """
import torch
from torch import nn
class Mine(nn.Module):
    out_dim = 3
    def __init__(self, num_bins, in_channels):
        super().__init__()
        self.last = nn.Linear(num_bins * in_channels, 3)
    def num_steps(self, length):
        return (length + 1) // 2
    def forward(self, features):
        return self.last(features[:, ::2].flatten(2))
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def change(source: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in source
        source = source.replace(old, new)
    return source


def test_a_pooling_gets_zeros_for_padding_and_a_clip_without_a_step_is_zero(site: Path) -> None:
    install(site, "a", POOLING, {POOLINGS: {"mine": "Mine"}})
    pooling = PluginPooling("mine", D)
    features = torch.full((2, 4, D), torch.nan)
    features[0, :2] = torch.arange(2.0 * D).view(2, D)
    mask = torch.tensor([[True, True, False, False], [False] * 4])
    pooled, weights = pooling(features, mask)
    last = pooling.module.last
    torch.testing.assert_close(pooled[0], last.weight @ features[0, :2].mean(0) + last.bias)
    assert pooled[1].tolist() == [0.0] * 3  # and not the bias
    assert weights.tolist() == [[0.5, 0.5, 0.0, 0.0], [0.0] * 4]


def test_an_encoder_says_which_steps_are_real_and_when_they_are(site: Path) -> None:
    install(site, "a", ENCODER, {ENCODERS: {"mine": "Mine"}})
    encoder = PluginEncoder("mine", (F,))
    mask = torch.arange(6) < torch.tensor([[5], [0], [2]])
    features, real, lengthened = encoder(torch.randn(3, 6, F), mask)
    assert features.shape == (3, 3, 3)
    assert real.sum(dim=1).tolist() == [3, 0, 1]
    assert features[~real].abs().max() == 0
    assert not lengthened.any()
    # Five steps of 0.1 s into three: their centres are 5/6, 15/6 and 25/6 steps from the start.
    times = encoder.times(np.arange(5) * 0.1)
    np.testing.assert_allclose(times, (np.array([5, 15, 25]) / 6 - 0.5) * 0.1)
    assert encoder.times(np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("kind", ["fbp", "late"])
def test_a_head_of_plugins_classifies_clips_that_lack_a_modality(site: Path, kind: str) -> None:
    both = {POOLINGS: {"mine": "Mine"}, ENCODERS: {"mine": "Enc"}}
    install(site, "a", POOLING + change(ENCODER, ("class Mine", "class Enc")), both, "3")
    settings = HeadSettings(
        video=ModalitySettings(attention="mine"),
        audio=AudioSettings(attention="mine", encoder="mine"),
        fusion=FusionSettings(kind),  # type: ignore[arg-type]  # two of its values
    )
    assert [(one["group"], one["version"]) for one in settings.plugins()] == [
        (POOLINGS, "3"),
        (ENCODERS, "3"),
    ]
    head = make_head(settings, {"video": (D,), "audio": (F, 2)}, 2)
    assert head.training
    masks = torch.tensor([[True], [False]]), torch.tensor([[False] * 4, [True] * 4])
    output = head(video=(torch.randn(2, 1, D), masks[0]), audio=(torch.randn(2, 4, F, 2), masks[1]))
    assert output.logits.isfinite().all()
    assert output.weights["audio"].sum(dim=1).tolist() == pytest.approx([0.0, 1.0])


def test_a_trial_leaves_the_random_numbers_and_gradients_alone(site: Path) -> None:
    draws = change(POOLING, ("self.last(", "torch.rand(1) * 0 + self.last("))
    install(site, "a", draws, {POOLINGS: {"mine": "Mine"}})
    torch.manual_seed(3)
    first = PluginPooling("mine", D)  # with the trial
    after = torch.rand(2)
    torch.manual_seed(3)
    second = PluginPooling("mine", D)  # without
    assert torch.equal(torch.rand(2), after)
    torch.testing.assert_close(first.state_dict(), second.state_dict())
    assert all(parameter.grad is None for parameter in first.parameters())


SUM = "(weights.unsqueeze(-1) * features).sum(dim=1)"
WRONG_POOLINGS = {
    "needs an attribute out_dim": [("self.out_dim = 3", "pass")],
    "can't be built with the sizes": [("__init__(self, dim)", "__init__(self, dim, more)")],
    "must be a torch module": [("nn.Module", "object"), ("super().__init__()", "pass")],
    "fails on a small batch: RuntimeError": [("nn.Linear(dim, 3)", "nn.Linear(dim + 1, 3)")],
    rf"the pooled embeddings of shape \({len(LENGTHS)}, 2\)": [("out_dim = 3", "out_dim = 2")],
    "the weights of shape": [("dim=1)), weights", "dim=1)), weights[:, :1]")],
    "sum to 1 over the real steps": [(" / mask.sum(dim=1, keepdim=True).clamp(min=1)", "")],
    "clip of 29 steps alone than": [(SUM, "features.mean(dim=1)")],
    "yields nan or inf for": [(SUM, f"(0 * {SUM}).log()")],
    # The root's slope is infinite at 0, where a clip without a step is.
    "gradients that are nan": [(SUM, f"({SUM} * self.last.weight.sum()).square().sqrt()")],
}


@pytest.mark.parametrize(("told", "changes"), WRONG_POOLINGS.items(), ids=WRONG_POOLINGS)
def test_a_wrong_pooling_is_refused_with_the_reason(
    site: Path, told: str, changes: list[tuple[str, str]]
) -> None:
    install(site, "a", change(POOLING, *changes), {POOLINGS: {"mine": "Mine"}}, "2")
    with pytest.raises(PluginError, match=f"^the pooling mine of the plug-in a 2 .*{told}"):
        PluginPooling("mine", D)


STEPS = "features[:, ::2]"
WRONG_ENCODERS = {
    r"num_steps\(length\) that is at least 1": [("(length + 1) // 2", "length // 2")],
    "doesn't fall as length grows": [("(length + 1) // 2", "max(1, 40 - length)")],
    r"steps of shape \(4, L, 2\)": [("out_dim = 3", "out_dim = 2")],
    r"at least num_steps\(31\) = 16 steps for 31; got 8": [(STEPS, "features[:, ::4]")],
    "clip of 29 steps alone than": [(STEPS, f"({STEPS} / features.shape[1])")],
    "fails on a small batch: RuntimeError": [(STEPS, "features[:, ::2, 1:]")],
}


@pytest.mark.parametrize(("told", "changes"), WRONG_ENCODERS.items(), ids=WRONG_ENCODERS)
def test_a_wrong_encoder_is_refused_with_the_reason(
    site: Path, told: str, changes: list[tuple[str, str]]
) -> None:
    install(site, "a", change(ENCODER, *changes), {ENCODERS: {"mine": "Mine"}}, "2")
    with pytest.raises(PluginError, match=f"^the audio encoder mine of the plug-in a 2 .*{told}"):
        PluginEncoder("mine", (F, 2))
