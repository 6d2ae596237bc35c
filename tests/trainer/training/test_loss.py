"""The loss: cross-entropy, class weights, and late fusion's two heads."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from trainer.heads.head import HeadOutput
from trainer.training.loss import class_targets, class_weights, head_loss

ONES = torch.ones(2)
LABELS = torch.tensor([1, 0])
LOGITS = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])  # probabilities 1/4 3/4, 1/2 1/2


def test_the_loss_is_the_mean_negative_log_probability_of_the_label() -> None:
    loss = head_loss(HeadOutput(LOGITS, {}, {}), LABELS, ONES, 0.0)
    assert float(loss) == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)


def test_label_smoothing_spreads_a_share_over_all_classes() -> None:
    loss = head_loss(HeadOutput(LOGITS[:1], {}, {}), LABELS[:1], ONES, 0.2)
    assert float(loss) == pytest.approx(0.9 * math.log(4 / 3) + 0.1 * math.log(4))


def test_targets_by_class_give_what_cross_entropy_gives_each_clip() -> None:
    logits, labels = torch.randn(9, 4), torch.arange(9) % 4
    weights = torch.tensor([0.5, 2.0, 0.0, 1.0])
    ours = -(logits.log_softmax(dim=-1) * class_targets(weights, 0.2)[labels]).sum(dim=-1)
    theirs = F.cross_entropy(logits, labels, weights, reduction="none", label_smoothing=0.2)
    torch.testing.assert_close(ours, theirs)


def test_the_loss_of_late_fusion_trains_each_modality_on_its_own() -> None:
    video = LOGITS.clone().requires_grad_()
    audio = (2 * LOGITS).requires_grad_()
    output = HeadOutput(torch.full((2, 2), math.nan), {}, {"video": video, "audio": audio})
    head_loss(output, LABELS, ONES, 0.0).backward()
    alone = (2 * LOGITS).requires_grad_()
    head_loss(HeadOutput(alone, {}, {}), LABELS, ONES, 0.0).backward()
    torch.testing.assert_close(audio.grad, alone.grad)


def test_balanced_classes_weigh_by_the_inverse_of_their_training_counts() -> None:
    labels = np.array([0, 0, 0, 2])
    counts = np.array([3.0, 0.0, 1.0])
    weights = class_weights("balanced", counts)
    torch.testing.assert_close(weights, torch.tensor([2 / 3, 0.0, 2.0]))
    assert float(weights[torch.from_numpy(labels)].mean()) == pytest.approx(1.0)
    assert class_weights("none", counts).tolist() == [1.0, 1.0, 1.0]
